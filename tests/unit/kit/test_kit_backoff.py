"""Delays between tries: grow, stay bounded, never overflow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.kit.backoff import Backoff

OUTAGE_OF_WEEKS = 20_000
"""More tries than a power of two survives as a float."""


def test_delays_double_up_to_the_limit() -> None:
    """Each delay is twice the last one, and never above the limit."""
    backoff = Backoff(1.0, 10.0, jitter=0.0)
    assert [backoff.delay() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_a_long_outage_overflows_nothing() -> None:
    """After thousands of tries the delay is still the limit."""
    backoff = Backoff(1.0, 60.0, jitter=0.0)
    assert {backoff.delay() for _ in range(OUTAGE_OF_WEEKS)} == {1, 2, 4, 8, 16, 32, 60}


@given(chance=st.floats(0.0, 1.0), jitter=st.floats(0.0, 0.9), tries=st.integers(1, 30))
def test_jitter_only_shortens(chance: float, jitter: float, tries: int) -> None:
    """A delay lies between the share that jitter leaves and the whole."""
    backoff = Backoff(1.0, 60.0, jitter=jitter, chance=lambda: chance)
    plain = Backoff(1.0, 60.0, jitter=0.0)
    for _ in range(tries):
        whole = plain.delay()
        assert whole * (1 - jitter) <= backoff.delay() <= whole


def test_jitter_is_applied_to_the_growing_delay_not_fed_back() -> None:
    """Random shortening of one delay does not slow the growth of the next ones."""
    backoff = Backoff(1.0, 60.0, jitter=0.5, chance=lambda: 1.0)
    assert [backoff.delay() for _ in range(3)] == [0.5, 1.0, 2.0]


def test_by_default_peers_do_not_try_in_step() -> None:
    """Two peers that were lost together spread over time."""
    first = [Backoff(60.0, 60.0).delay() for _ in range(20)]
    assert len(set(first)) > 1


def test_reset_begins_anew() -> None:
    """A peer that works is tried quickly after its next failure."""
    backoff = Backoff(1.0, 60.0, jitter=0.0)
    backoff.delay()
    backoff.delay()
    backoff.reset()
    assert backoff.delay() == 1.0


@pytest.mark.parametrize("error", [None, RuntimeError("x")], ids=["no-error", "error"])
def test_it_is_a_pace_that_ignores_why(error: Exception | None) -> None:
    """As a pace for `keep` it waits the same whatever happened."""
    assert Backoff(3.0, 60.0, jitter=0.0).after(error) == 3.0
