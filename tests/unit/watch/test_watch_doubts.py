"""What an event said and the engine's list does not show yet is read again, and not for ever."""

import pytest

from roadstead.model import Container, VmId, container_id
from roadstead.peers.engine.messages.events import EngineEvent
from roadstead.watch.doubts import FIRST_SECONDS, LAST_SECONDS, LIMIT_SECONDS, Doubts
from tests.unit.fakes.records import START

ID = "a" * 64


def container(state: str) -> Container:
    """The container as it was read."""
    return Container(
        id=container_id(VmId("vm-1"), ID), engine_id=ID, name="web", vm=VmId("vm-1"), state=state, as_of=START
    )


def noted(*actions: str) -> Doubts:
    """What these events left in doubt."""
    doubts = Doubts()
    doubts.note([EngineEvent(action, ID) for action in actions], 0.0)
    return doubts


def test_a_list_that_lags_behind_its_event_is_not_believed() -> None:
    """A container that was paused and is listed as running is read again; as paused it is believed."""
    doubts = noted("pause")

    assert not doubts.settle(ID, container("running"), 0.1)
    assert list(doubts.engine_ids) == [ID]
    assert doubts.settle(ID, container("paused"), 0.2)
    assert not list(doubts.engine_ids)


def test_the_last_event_counts() -> None:
    """After a pause and an unpause a container that is listed as paused is read again."""
    doubts = noted("pause", "unpause")

    assert not doubts.settle(ID, container("paused"), 0.1)
    assert doubts.settle(ID, container("running"), 0.2)


@pytest.mark.parametrize("state", ["running", "paused"])
def test_who_died_does_not_run(state: str) -> None:
    """A container that ended and is listed as before is read again; it is believed when it ended or restarts."""
    assert not noted("die").settle(ID, container(state), 0.1)
    assert noted("die").settle(ID, container("exited"), 0.1)
    assert noted("die").settle(ID, container("restarting"), 0.1)
    assert noted("die", "start").settle(ID, container("running"), 0.1)


def test_other_states_and_other_events_leave_no_doubt() -> None:
    """A container that has ended meanwhile, or is gone, is believed; so is one that only started."""
    assert noted("pause").settle(ID, container("exited"), 0.1)
    assert noted("pause").settle(ID, None, 0.1)
    assert noted("start").settle(ID, container("created"), 0.1)


def test_doubts_end() -> None:
    """An engine that goes on contradicting its event is believed in the end."""
    doubts = noted("pause")

    assert not doubts.settle(ID, container("running"), LIMIT_SECONDS - 0.1)
    assert doubts.settle(ID, container("running"), LIMIT_SECONDS)


def test_waiting_grows() -> None:
    """Each fruitless reading is followed by a longer rest, up to a limit; without doubts there is no waiting at all."""
    doubts = noted("pause")

    assert doubts.seconds() == FIRST_SECONDS
    doubts.wait_longer()
    assert FIRST_SECONDS < doubts.seconds() < LAST_SECONDS
    for _ in range(50):
        doubts.wait_longer()
    assert doubts.seconds() == LAST_SECONDS
    assert Doubts().seconds() == float("inf")
