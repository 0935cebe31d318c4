"""Times of day."""

from datetime import UTC, datetime, timedelta

import pytest

from roadstead.kit import clocks


def test_now_is_aware_and_in_utc() -> None:
    """No naive time ever leaves this module."""
    assert clocks.now().utcoffset() == timedelta(0)


def test_seconds_since_the_epoch_become_a_time() -> None:
    """Fractions are kept."""
    assert clocks.at(86400.5) == datetime(1970, 1, 2, 0, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize("seconds", [1e20, -1e20, float("inf"), float("nan")], ids=str)
def test_figures_outside_the_calendar_are_no_time(seconds: float) -> None:
    """A guest may say any number."""
    assert clocks.at(seconds) is None
