"""No input that once broke a parser breaks it again, nor do some new ones; ``scripts/fuzz`` tries more."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import corpus
from tests.fuzz.__main__ import once
from tests.fuzz.inputs import inputs
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_what_real_peers_say_breaks_nothing(name: str) -> None:
    """Nor does what was found and mended: see ``tests/fuzz/corpus``."""
    assert TARGETS[name].seeds
    for data in (*TARGETS[name].seeds, *corpus.kept(name)):
        once(name, data)


@pytest.mark.parametrize("name", TARGETS)
@given(choice=st.data())
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
def test_what_hostile_peers_say_breaks_nothing(name: str, choice: st.DataObject) -> None:
    """Errors of ours, bounded output, bounded time: the same inputs in each run."""
    once(name, choice.draw(inputs(TARGETS[name].seeds)))


def test_what_is_kept_belongs_to_a_target() -> None:
    """An input under a wrong name would never be tried."""
    assert {path.name for path in corpus.FOLDER.iterdir() if path.is_dir()} <= set(TARGETS)
