"""Following a guest: one listing, then a read for what its events name, and never more questions than needed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from roadstead.errors import EngineError, LinkError, PeerError
from roadstead.inventory.store import Store
from roadstead.kit import tasks
from roadstead.kit.gates import Budget
from roadstead.lab.guests.containers import CATALOGUE
from roadstead.lab.guests.engine import Engine
from roadstead.model import Container, Fact, Gone, Listed, Scope, Seen, container_id
from roadstead.peers.engine.client import SETTLING_SECONDS, EngineClient
from roadstead.settings.schema import EngineSettings
from roadstead.watch.guest import REREAD_LIMIT, GuestWatcher
from tests.unit.fakes import records
from tests.unit.fakes.ways import MemoryLink, keep_virtual_time, made_engine, named

pytestmark = pytest.mark.looptime
SOON = 0.1
"""Long enough for several questions and answers."""


@pytest.fixture(autouse=True)
def _virtual_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day is the loop's."""
    keep_virtual_time(monkeypatch)


class Guest:
    """A guest's engine, the way to it, and the inventory that follows its watcher."""

    def __init__(self, containers: int = 3, **settings: Any) -> None:
        self.engine: Engine = made_engine(containers)
        self.settings = EngineSettings(**settings)
        self.store = Store()
        self.store.apply(Seen(records.vm()), Seen(records.link()))
        self.told: list[tuple[float, str, list[Fact]]] = []
        self.hidden: list[tuple[int, int]] = []
        self.link: MemoryLink
        self.client: EngineClient

    def listed(self, facts: Sequence[Fact], hidden: int, total: int) -> None:
        """See `watch.guest.Listener`."""
        self.hidden.append((hidden, total))
        self._note("listed", facts)

    def changed(self, facts: Sequence[Fact]) -> None:
        """See `watch.guest.Listener`."""
        self._note("changed", facts)

    def _note(self, word: str, facts: Sequence[Fact]) -> None:
        self.told.append((_now(), word, list(facts)))
        self.store.apply(*facts)

    def forget(self) -> None:
        """Let the story begin here."""
        self.told.clear()
        self.link.asked.clear()

    def shown(self, name: str) -> Container:
        """The container of this name in the inventory."""
        return next(container for container in self.store.containers() if container.name == name)

    @property
    def words(self) -> list[str]:
        """Whether it was a listing or a change, each time."""
        return [word for _, word, _ in self.told]

    @property
    def truth(self) -> dict[str, tuple[str, str]]:
        """What the engine has."""
        return {one.id: (one.name, one.state) for one in self.engine.containers.values()}

    @property
    def known(self) -> dict[str, tuple[str, str]]:
        """What the inventory has."""
        return {one.engine_id: (one.name, one.state) for one in self.store.containers()}

    @asynccontextmanager
    async def watched(self, *, past_start: bool = True) -> AsyncIterator[MemoryLink]:
        """Watch it; with ``past_start`` the events of its containers' starts are already dealt with."""
        self.link = MemoryLink(self.engine)
        client = self.client = EngineClient(self.link, records.VM, self.settings, Budget(2**28, 2**23))
        async with asyncio.TaskGroup() as group:
            watcher = tasks.spawn(group, GuestWatcher(client, records.VM, self, self.settings).run(), "watcher")
            await asyncio.sleep(SOON)
            if past_start:
                self.forget()
            yield self.link
            await tasks.stop(watcher)
            client.close()


def _now() -> float:
    return asyncio.get_running_loop().time()


# ---- the beginning


async def test_events_are_opened_before_the_list_is_read() -> None:
    """What happens between the two is in the stream: nothing falls between."""
    guest = Guest()
    async with guest.watched(past_start=False) as link:
        paths = [asked.split("?")[0].removeprefix("GET ") for _, asked in link.asked]
        assert [path.rpartition("/")[2] for path in paths[:5]] == ["_ping", "version", "info", "events", "json"]
        assert "since=" in link.asked[3][1]


async def test_the_first_thing_told_is_a_complete_listing() -> None:
    """The engine, every container, and the word that there are no others."""
    guest = Guest()
    guest.store.apply(Seen(records.container(77)))
    async with guest.watched(past_start=False):
        _, word, facts = guest.told[0]
        assert word == "listed"
        assert isinstance(facts[0], Seen)
        assert facts[0].record == guest.store.vms[records.VM].engine
        assert facts[-1] == Listed(
            Scope("container", records.VM), frozenset(container_id(records.VM, id) for id in guest.truth)
        )
        assert guest.known == guest.truth


async def test_a_long_list_may_come_in_one_piece() -> None:
    """On a fast way head and body arrive together, far more than a head alone may be."""
    guest = Guest(containers=1000)
    async with guest.watched(past_start=False):
        assert len(guest.known) == 1000


async def test_what_happened_during_the_first_list_is_read_again() -> None:
    """A pause in that very moment is not missed."""
    guest = Guest()
    asyncio.get_running_loop().call_at(0.0112, lambda: guest.engine.pause(named(guest.engine, "c1")))
    async with guest.watched(past_start=False):
        assert guest.shown("c1").state == "paused"


# ---- events


def _rename(engine: Engine) -> None:
    engine.rename(named(engine, "c1"), "renamed")


def _start_another(engine: Engine) -> None:
    engine.start(engine.create("new", CATALOGUE[1]))


CHANGES: list[Any] = [
    pytest.param(lambda engine: engine.pause(named(engine, "c1")), id="pause"),
    pytest.param(_rename, id="rename"),
    pytest.param(lambda engine: engine.kill(named(engine, "c1"), 9), id="kill"),
    pytest.param(lambda engine: engine.oom(named(engine, "c1")), id="oom"),
    pytest.param(lambda engine: engine.remove(named(engine, "c1")), id="remove"),
    pytest.param(lambda engine: engine.create("new", CATALOGUE[0]), id="create"),
    pytest.param(_start_another, id="run"),
    pytest.param(lambda engine: engine.check_health(named(engine, "c1"), "unhealthy"), id="health"),
]


@pytest.mark.parametrize("change", CHANGES)
async def test_every_change_is_known_within_milliseconds(change: Callable[[Engine], None]) -> None:
    """A pause or a rename made elsewhere is seen like anything else."""
    guest = Guest()
    async with guest.watched():
        change(guest.engine)
        await asyncio.sleep(0.02)
        assert guest.told
        assert guest.told[0][0] < SOON + 0.005
        assert guest.known == guest.truth


async def test_an_event_makes_one_question_about_that_container() -> None:
    """The list of the others is not read."""
    guest = Guest(containers=50)
    async with guest.watched() as link:
        _rename(guest.engine)
        await asyncio.sleep(SOON)
        (asked,) = link.questions()
        assert named(guest.engine, "renamed").id in asked
        assert "filters" in asked
        assert [fact.record.name for fact in guest.told[0][2]] == ["renamed"]  # type: ignore[union-attr]


async def test_changes_at_the_same_time_are_read_together() -> None:
    """One question for all that is known by then."""
    guest = Guest(containers=50)
    async with guest.watched() as link:
        for number in range(40):
            guest.engine.rename(named(guest.engine, f"c{number}"), f"new-{number}")
        await asyncio.sleep(SOON)
        assert len(link.questions()) <= 2
        assert guest.known == guest.truth


async def test_events_during_a_read_cause_exactly_one_more() -> None:
    """However many there are while the answer is on its way."""
    guest = Guest()
    async with guest.watched() as link:
        link.latency = 1.0
        _rename(guest.engine)
        for number in range(20):
            await asyncio.sleep(0.04)
            guest.engine.rename(named(guest.engine, "renamed" if number == 0 else f"n{number - 1}"), f"n{number}")
        await asyncio.sleep(30)
        assert len(link.questions()) == 2
        assert guest.known == guest.truth


async def test_many_changed_containers_are_listed_instead_of_named() -> None:
    """Above some number a whole list is cheaper than a long filter."""
    guest = Guest(containers=REREAD_LIMIT + 50)
    async with guest.watched() as link:
        link.latency = 0.5
        for number in range(REREAD_LIMIT + 50):
            guest.engine.rename(named(guest.engine, f"c{number}"), f"new-{number}")
        await asyncio.sleep(30)
        assert any("limit=" in asked for asked in link.questions())
        assert guest.known == guest.truth


async def test_a_container_that_is_gone_when_it_is_read_is_told_as_gone() -> None:
    """Also one that came and went before anybody read it."""
    guest = Guest()
    async with guest.watched():
        made = guest.engine.create("short", CATALOGUE[0])
        guest.engine.remove(made)
        guest.engine.remove(named(guest.engine, "c0"))
        await asyncio.sleep(SOON)
        gone = [fact for _, _, facts in guest.told for fact in facts if isinstance(fact, Gone)]
        assert Gone("container", container_id(records.VM, made.id)) in gone
        assert guest.known == guest.truth


async def test_silence_costs_nothing_but_the_full_pass() -> None:
    """Two listings in twenty minutes, and no word to anybody who knew it all."""
    guest = Guest()
    async with guest.watched() as link:
        number = guest.store.number
        await asyncio.sleep(1201)
        assert [asked for asked in link.questions() if "limit=" not in asked] == []
        assert guest.words == ["listed", "listed"]
        assert guest.store.number == number


def _pause_with_a_lag(engine: Engine, name: str, seconds: float) -> None:
    """As Docker does it: the event first, the list later."""
    container = named(engine, name)
    engine.pause(container)
    container.state = "running"
    asyncio.get_running_loop().call_later(seconds, setattr, container, "state", "paused")


async def test_of_an_engine_that_lags_a_container_is_read_when_it_is_settled() -> None:
    """Once its list was behind an event, an inspection comes first: Docker answers it when the list is right."""
    guest = Guest()
    async with guest.watched() as link:
        _pause_with_a_lag(guest.engine, "c0", 0.02)
        await asyncio.sleep(SOON)
        assert guest.known == guest.truth
        assert all("filters=" in asked for asked in link.questions())

        guest.forget()
        guest.engine.pause(named(guest.engine, "c1"))
        await asyncio.sleep(SOON)
        assert [asked.partition("?")[0].rpartition("/")[2] for asked in link.questions()] == ["json", "json"]
        assert named(guest.engine, "c1").id in link.questions()[0].partition("?")[0]
        assert guest.known == guest.truth

        guest.forget()
        guest.engine.rename(named(guest.engine, "c1"), "renamed")
        await asyncio.sleep(SOON)
        assert len(link.questions()) == 1


async def test_a_container_that_never_settles_delays_nobody_for_long() -> None:
    """An engine may hold a container for minutes; the others are read all the same."""
    guest = Guest()
    async with guest.watched() as link:
        _pause_with_a_lag(guest.engine, "c0", 0.02)
        await asyncio.sleep(SOON)
        link.holds_containers = True
        guest.engine.pause(named(guest.engine, "c1"))
        guest.engine.rename(named(guest.engine, "c2"), "renamed")
        await asyncio.sleep(2 * SETTLING_SECONDS)
        assert guest.known == guest.truth


# ---- the full pass


async def test_the_full_pass_repairs_what_events_did_not_say() -> None:
    """An engine drops events for slow readers without a word."""
    guest = Guest()
    async with guest.watched():
        named(guest.engine, "c1").name = "changed in silence"
        del guest.engine.containers[named(guest.engine, "c2").id]
        await asyncio.sleep(599)
        assert guest.known != guest.truth
        await asyncio.sleep(2)
        assert guest.known == guest.truth


async def test_the_full_pass_comes_although_events_never_end() -> None:
    """A container that restarts all the time keeps nobody from repairing the others."""
    guest = Guest(full_pass_seconds=10)
    async with guest.watched() as link:
        link.latency = 0.2
        named(guest.engine, "c2").name = "changed in silence"
        for number in range(300):
            guest.engine.rename(
                named(guest.engine, "c0") if number == 0 else named(guest.engine, f"x{number - 1}"), f"x{number}"
            )
            await asyncio.sleep(0.05)
        assert "changed in silence" in {name for name, _ in guest.known.values()}


# ---- more than is taken


def _storm(guest: Guest, events: int) -> None:
    for _ in range(events // 2):
        guest.engine.pause(named(guest.engine, "c0"))
        guest.engine.unpause(named(guest.engine, "c0"))


async def test_a_flood_makes_listings_at_most_every_ten_seconds() -> None:
    """More events than the bound are not read one by one; the end of the storm is not missed."""
    guest = Guest(events_per_second=50)
    async with guest.watched() as link:
        for _ in range(300):
            _storm(guest, 60)
            await asyncio.sleep(0.2)
        guest.engine.pause(named(guest.engine, "c1"))
        ended = _now()
        await asyncio.sleep(25)
        listings = [at for at, asked in link.asked if "limit=" in asked]
        gaps = [later - earlier for earlier, later in pairwise(listings)]
        assert min(gaps) >= guest.settings.relist_seconds
        assert 6 <= len(listings) <= (ended - SOON) / 10 + 3
        assert guest.known == guest.truth


async def test_what_events_make_us_read_is_bounded_as_a_listing_is() -> None:
    """A guest that names ever new containers fills the inventory no further than one that lists them all at once."""
    guest = Guest(containers=0, kept_bytes=2**16, events_per_second=100_000)
    async with guest.watched():
        most = 0
        for number in range(600):
            guest.engine.create(f"new-{number}", CATALOGUE[0])
            await asyncio.sleep(0.01)
            most = max(most, len(guest.known))
        await asyncio.sleep(30)
        assert len(guest.engine.containers) == 600
        assert most < 450
        hidden, total = guest.hidden[-1]
        assert (total, hidden > 300) == (600, True)
        assert len(guest.known) == total - hidden


async def test_a_listing_tells_how_many_it_does_not_show() -> None:
    """The listener makes a problem of it."""
    guest = Guest(containers=9)
    guest.settings = EngineSettings(containers=5)
    async with guest.watched(past_start=False):
        assert guest.hidden[0] == (4, 9)


async def test_what_a_listing_left_out_does_not_come_in_by_its_events() -> None:
    """Else the number of those that are not shown would be wrong; the next listing may take it in."""
    guest = Guest(containers=9)
    guest.settings = EngineSettings(containers=5)
    async with guest.watched(past_start=False):
        shown = dict(guest.known)
        assert len(shown) == 5
        for container in guest.engine.containers.values():
            guest.engine.pause(container)
        await asyncio.sleep(SOON)
        assert guest.known == {id: (name, "paused") for id, (name, _) in shown.items()}
        for id in shown:
            guest.engine.remove(guest.engine.containers[id])
        await asyncio.sleep(700)
        assert guest.known == guest.truth


# ---- the time of a start


async def test_the_time_of_a_start_is_that_of_its_event() -> None:
    """Exact, and the same however often the container is read afterwards."""
    guest = Guest()
    async with guest.watched():
        await asyncio.sleep(100.5)
        made = guest.engine.create("new", CATALOGUE[0])
        guest.engine.start(made)
        at = records.at(_now())
        await asyncio.sleep(700)
        assert abs(guest.shown("new").started - at) < timedelta(milliseconds=1)  # type: ignore[operator]


async def test_a_time_that_is_worked_out_does_not_change_with_each_reading() -> None:
    """``Up 3 hours`` said again an hour later is no news: a day of full passes tells no reader anything."""
    guest = Guest()
    for number in range(3):
        named(guest.engine, f"c{number}").started_ns -= number * 3_000 * 10**9 + 1_800 * 10**9
    guest.engine.log = type(guest.engine.log)(0)
    async with guest.watched():
        number = guest.store.number
        await asyncio.sleep(86_400)
        assert set(guest.words) == {"listed"}
        assert len(guest.words) > 140
        assert guest.store.number == number


async def test_a_start_that_was_missed_is_noticed() -> None:
    """A phrase that does not fit the known time brings a new one."""
    guest = Guest()
    async with guest.watched():
        await asyncio.sleep(5000)
        named(guest.engine, "c0").started_ns = guest.engine.clock()
        await asyncio.sleep(600)
        assert guest.shown("c0").started >= records.at(4900)  # type: ignore[operator]


async def test_a_container_that_does_not_run_has_no_start() -> None:
    """And starts anew later."""
    guest = Guest()
    async with guest.watched():
        await asyncio.sleep(1000)
        guest.engine.kill(named(guest.engine, "c0"), 9)
        await asyncio.sleep(SOON)
        assert guest.shown("c0").started is None
        guest.engine.start(named(guest.engine, "c0"))
        await asyncio.sleep(SOON)
        assert guest.shown("c0").started >= records.at(1000)  # type: ignore[operator]


# ---- the end


async def _outcome(guest: Guest, happens: Callable[[MemoryLink], None], limit: float = 60) -> PeerError:
    guest.link = MemoryLink(guest.engine)
    client = EngineClient(guest.link, records.VM, guest.settings, Budget(2**28, 2**23))
    asyncio.get_running_loop().call_at(5, happens, guest.link)
    with pytest.raises(PeerError) as caught:
        async with asyncio.timeout(limit):
            await GuestWatcher(client, records.VM, guest, guest.settings).run()
    client.close()
    return caught.value


async def test_a_lost_link_ends_the_watch_at_once() -> None:
    """Whoever holds the link is told in the same moment."""
    error = await _outcome(Guest(), MemoryLink.close)
    assert isinstance(error, LinkError)
    assert _now() < 5.01


async def test_an_engine_that_ends_is_told_from_a_lost_link() -> None:
    """The way is still open; only nobody is at its end."""
    error = await _outcome(Guest(), MemoryLink.stop_engine)
    assert isinstance(error, EngineError)
    assert error.code == "engine-down"
    assert _now() < 5.01


async def test_a_lost_link_ends_the_watch_during_the_rest_after_a_flood() -> None:
    """The time between two listings is no time in which nobody looks."""
    guest = Guest(events_per_second=50)

    def flood(link: MemoryLink) -> None:
        _storm(guest, 200)
        asyncio.get_running_loop().call_later(1, link.close)

    error = await _outcome(guest, flood)
    assert isinstance(error, LinkError)
    assert _now() == pytest.approx(6, abs=0.01)


async def test_an_engine_that_hangs_in_silence_is_noticed() -> None:
    """Its socket is open and its link lives, and there is nothing to read: it is asked now and then all the same."""
    guest = Guest()
    error = await _outcome(guest, lambda link: setattr(link, "is_mute", True), limit=120)
    assert error.code == "engine-timed-out"
    assert _now() == pytest.approx(guest.settings.idle_seconds + guest.settings.answer_seconds, abs=0.1)


async def test_only_a_silent_engine_is_asked_whether_it_lives() -> None:
    """Once a minute; one whose containers change says so with each answer."""
    guest = Guest()
    async with guest.watched() as link:
        await asyncio.sleep(305)
        assert len(_pings(link)) == 5
        guest.forget()
        for _ in range(30):
            await asyncio.sleep(10)
            _storm(guest, 2)
        assert _pings(link) == []


async def test_an_action_that_goes_unanswered_has_the_engine_asked_at_once() -> None:
    """Either only that container hangs, or all of the engine does; an action that is refused says nothing of that."""
    guest = Guest(action_seconds=5.0)
    async with guest.watched(past_start=True) as link:
        with pytest.raises(EngineError):
            await guest.client.act("start", "f" * 64)
        await asyncio.sleep(SOON)
        assert _pings(link) == []
        asyncio.get_running_loop().call_later(0.0015, setattr, link, "is_mute", True)
        asyncio.get_running_loop().call_later(4, setattr, link, "is_mute", False)
        with pytest.raises(EngineError, match="5 s"):
            await guest.client.act("stop", named(guest.engine, "c0").id)
        await asyncio.sleep(SOON)
        assert len(_pings(link)) == 1


def _pings(link: MemoryLink) -> list[str]:
    return [asked for _, asked in link.asked if asked.endswith("/_ping")]


async def test_an_engine_that_no_longer_answers_is_given_up() -> None:
    """A read that gets no answer ends the watch after its limit."""
    guest = Guest()

    def fall_silent(link: MemoryLink) -> None:
        guest.engine.rename(named(guest.engine, "c0"), "new")
        asyncio.get_running_loop().call_later(0.0015, setattr, link, "is_mute", True)

    error = await _outcome(guest, fall_silent)
    assert error.code == "engine-timed-out"
    assert _now() == pytest.approx(5 + guest.settings.answer_seconds, abs=0.1)
