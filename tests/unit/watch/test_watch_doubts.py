"""What an event said and the engine's list does not show yet is read again, and not for ever."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.model import Container, VmId, container_id
from roadstead.peers.engine.messages.events import EngineEvent
from roadstead.watch.doubts import (
    ECHO_SECONDS,
    ECHOED,
    FIRST_SECONDS,
    LAST_SECONDS,
    LIMIT_SECONDS,
    NOT_AFTER,
    PASSING_LAST_SECONDS,
    Doubts,
)
from tests.unit.fakes.records import START

ID = "a" * 64
OTHER = "b" * 64
READS_PER_EVENT = 30
"""At once, in the time for which it may be doubted, and once more: what one event may cost."""


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
    assert doubts.due(0.1) == [ID]
    assert doubts.settle(ID, container("paused"), 0.2)
    assert not doubts.due(0.2)


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


@pytest.mark.parametrize("state", ["running", "paused", "restarting"])
def test_who_was_stopped_is_not_started_again(state: str) -> None:
    """A container that was stopped runs no longer and waits for no restart; one that was started since does."""
    assert not noted("die", "stop").settle(ID, container(state), 0.1)
    assert noted("die", "stop").settle(ID, container("exited"), 0.1)
    assert noted("die", "stop", "start").settle(ID, container(state), 0.1)


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

    assert doubts.seconds(0.0) == FIRST_SECONDS
    doubts.wait_longer()
    assert FIRST_SECONDS < doubts.seconds(0.0) < LAST_SECONDS
    for _ in range(50):
        doubts.wait_longer()
    assert doubts.seconds(0.0) == LAST_SECONDS
    assert Doubts().seconds(0.0) == float("inf")


@pytest.mark.parametrize("state", ["restarting", "removing"])
def test_a_state_that_passes_without_a_word_is_read_again(state: str) -> None:
    """It is believed, and read again, ever more rarely while it lasts; no longer once it is over."""
    doubts, now, rests = noted("die"), 0.0, []
    for _ in range(20):
        assert doubts.settle(ID, container(state), now)
        assert not doubts.due(now)
        rests.append(doubts.seconds(now))
        now += rests[-1]
        assert doubts.due(now) == [ID]

    assert rests[0] < 1
    assert rests == sorted(rests)
    assert rests[-1] == pytest.approx(PASSING_LAST_SECONDS)
    for passed in (container("exited"), None):
        doubts.settle(ID, container(state), now)
        doubts.settle(ID, passed, now)
        assert doubts.seconds(now) == float("inf")


def test_a_listing_shows_what_passes() -> None:
    """What a listing finds in such a state is read again; what it contradicts stays in doubt, what it lacks is gone."""
    doubts = noted("pause")
    doubts.settle_all({ID: container("running"), OTHER: container("restarting")}, 0.0)

    assert doubts.due(0.0) == [ID]
    assert doubts.due(1.0) == [ID, OTHER]
    doubts.settle_all({}, 1.0)
    assert not doubts.due(100.0)


def test_events_say_when_to_read_again() -> None:
    """After an event about it a container in such a state is read because of that; its rest begins anew."""
    doubts, now = noted("die"), 0.0
    for _ in range(20):
        doubts.settle(ID, container("restarting"), now)
        now += doubts.seconds(now)
    doubts.note([EngineEvent("start", ID), EngineEvent("die", ID)], now)
    doubts.settle(ID, container("restarting"), now)

    assert doubts.seconds(now) < 1


@pytest.mark.parametrize("action", ["health_status", "rename"])
def test_who_had_a_health_check_or_another_name_is_read_once_more(action: str) -> None:
    """Not only at once, as an engine may keep what the check found after it told of it; that is then the end."""
    doubts = noted(action)

    assert doubts.settle(ID, container("running"), 0.1)
    assert (doubts.due(0.1), doubts.seconds(0.0)) == ([], ECHO_SECONDS)
    assert doubts.due(ECHO_SECONDS) == [ID]
    assert doubts.settle(ID, container("running"), ECHO_SECONDS)
    assert (doubts.due(LIMIT_SECONDS), doubts.seconds(LIMIT_SECONDS)) == ([], float("inf"))


def test_who_is_gone_after_a_health_check_is_not_read_for_ever() -> None:
    """Also when a listing came instead."""
    doubts = noted("health_status")

    doubts.settle_all({}, ECHO_SECONDS)
    assert doubts.seconds(0.0) == float("inf")


def test_a_second_read_that_is_due_and_not_believed_causes_no_other() -> None:
    """What is read once more counts as read, also where the answer contradicts a later event: then doubt rests."""
    doubts = noted("health_status")
    doubts.settle(ID, container("running"), 0.0)
    doubts.note([EngineEvent("pause", ID)], ECHO_SECONDS - 0.05)

    assert not doubts.settle(ID, container("running"), ECHO_SECONDS)
    assert doubts.seconds(ECHO_SECONDS) >= FIRST_SECONDS


Happening = tuple[float, str, str]
"""After how many seconds which event comes, and about whom."""


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 1.0),
            st.sampled_from(sorted({*NOT_AFTER, *ECHOED})),
            st.sampled_from([ID, OTHER]),
        ),
        max_size=12,
    ),
    st.sampled_from(["running", "paused", "exited", "created"]),
)
def test_whatever_events_say_they_lead_to_so_many_reads(happenings: Sequence[Happening], state: str) -> None:
    """Of containers that stay in one state, whichever events come about them, and however they follow each other."""
    doubts, now, reads = Doubts(), 0.0, 0
    coming = [*happenings, (10 * LIMIT_SECONDS, "", ID)]
    for wait, action, engine_id in coming:
        until = now + wait
        while (due := now + max(0.0, doubts.seconds(now))) < until:
            now, reads = due, reads + 1
            read(doubts, doubts.due(now), state, now)
            assert reads <= READS_PER_EVENT * len(happenings)
        now = until
        if action:
            doubts.note([EngineEvent(action, engine_id)], now)
            read(doubts, [engine_id, *doubts.due(now)], state, now)
            reads += 1
    assert doubts.seconds(now) == float("inf")


def read(doubts: Doubts, engine_ids: Sequence[str], state: str, now: float) -> None:
    """Read these containers, as a watcher does."""
    for engine_id in dict.fromkeys(engine_ids):
        doubts.settle(engine_id, container(state), now)
    doubts.wait_longer()
