"""Keeping one guest: what is said of it and when, how politely it is called, what a closed keeper leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import structlog

from roadstead.act.guests.guest import FIXED_AT_SIGN_IN, LISTINGS_AT_ONCE, REFUSALS, Guest
from roadstead.errors import EngineError, LinkError, PeerError, PoolError
from roadstead.kit import clocks, tasks
from roadstead.lab.guests.containers import CATALOGUE
from roadstead.model import LinkState
from roadstead.peers.links.credentials import Expiry, Whose
from roadstead.settings.schema import EngineSettings, Settings
from tests.unit.fakes import records
from tests.unit.fakes.roads import SIGN_IN_SECONDS, Road, World
from tests.unit.fakes.ways import keep_virtual_time, named

pytestmark = pytest.mark.looptime
SOON = 0.5
DAY_SECONDS = 86_400.0
OTHER_FAILURES = ["refused", "timed-out", "unreachable", "ssh-refuses-us", "no-address", "address-claimed-twice"]


@pytest.fixture(autouse=True)
def _virtual_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day is the loop's."""
    keep_virtual_time(monkeypatch)


@asynccontextmanager
async def _kept(road: Road, world: World) -> AsyncIterator[Guest]:
    guest = Guest(records.VM, road.open, world.services)
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, guest.run(), "guest")
        await asyncio.sleep(0)
        yield guest
        await tasks.stop(task)


def _now() -> float:
    return asyncio.get_running_loop().time()


# ---- the ordinary life


async def test_a_guest_becomes_live_with_its_first_listing() -> None:
    """On the way first; then live, with where and how it was reached, and its containers in the same moment."""
    road, world = Road(), World()
    async with _kept(road, world) as guest:
        assert world.words() == ["connecting"]
        assert guest.engine is None
        await asyncio.sleep(SOON)
        assert world.words() == ["connecting", "live"]
        link = world.link()
        assert (link.address, link.relay, link.host_key) == ("192.0.2.1", "memory", "SHA256:abc")
        assert [container.stale for container in world.containers()] == [False] * 3
        assert guest.engine is not None


async def test_a_live_guest_can_be_acted_on() -> None:
    """The engine that the keeper gives away is the one it watches."""
    road, world = Road(), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(SOON)
        assert guest.engine is not None
        await guest.engine.act("pause", named(road.engine, "c0").id)
        await asyncio.sleep(SOON)
        assert world.containers()[0].state == "paused"


async def test_a_live_guest_says_little() -> None:
    """An hour of silence: one word for each full pass, no sign-in but the first."""
    road, world = Road(), World()
    async with _kept(road, world):
        await asyncio.sleep(3599)
        assert len(road.signed_in) == 1
        assert len(world.states()) == 2 + 5


# ---- losing it


async def test_a_lost_link_is_said_at_once() -> None:
    """In the same moment containers are stale, as of when the guest was last heard; nobody can act on it."""
    road, world = Road(), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(100)
        heard = road.link.heard
        road.cut()
        await asyncio.sleep(0.01)
        assert world.words()[-1] == "broken link-lost"
        assert {(one.stale, one.problem, one.as_of) for one in world.containers()} == {(True, "link-lost", heard)}
        assert guest.engine is None


async def test_a_lost_guest_is_called_again_at_once_and_then_patiently() -> None:
    """A link that lived long deserves a quick try; an outage of a day is said once for each reason."""
    road, world = Road(), World()
    async with _kept(road, world):
        await asyncio.sleep(100)
        road.cut()
        await asyncio.sleep(DAY_SECONDS)
        assert world.words() == ["connecting", "live", "broken link-lost", "broken timed-out"]
        assert len(world.states()) == 4
        assert road.signed_in[1] == pytest.approx(100.1, abs=0.1)
        assert max(road.gaps[5:]) <= 60.1
        assert len(road.signed_in) < DAY_SECONDS / 44


async def test_a_guest_that_comes_back_is_listed_anew() -> None:
    """What changed meanwhile is known, nothing stays stale, and the problem is gone."""
    road, world = Road(), World()
    async with _kept(road, world):
        await asyncio.sleep(100)
        road.cut()
        await asyncio.sleep(1000)
        road.engine.remove(named(road.engine, "c0"))
        road.engine.create("new", CATALOGUE[0])
        road.error = None
        await asyncio.sleep(61)
        assert world.words()[-1] == "live"
        assert world.link().problem is None
        assert [(one.name, one.stale, one.problem) for one in world.containers()] == [
            ("c1", False, ""),
            ("c2", False, ""),
            ("new", False, ""),
        ]


async def test_a_guest_that_still_starts_is_no_problem_until_it_takes_too_long() -> None:
    """It is being connected, without a problem, and becomes one by itself; it is asked about often, since it costs
    nothing, and called at once when there is something to call.
    """
    road, world = Road(error=LinkError("no-address-yet")), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(60)
        assert world.words() == ["connecting"]
        assert world.link().problem is None
        assert max(road.gaps) <= 5.1
        road.error = LinkError("no-address")
        await asyncio.sleep(6)
        assert world.words() == ["connecting", "broken no-address"]

    road, world = Road(error=LinkError("no-address-yet")), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(31)
        road.error = None
        guest.try_now()
        await asyncio.sleep(SOON)
        assert world.words() == ["connecting", "live"]


async def test_since_when_is_kept_through_an_outage() -> None:
    """A problem begins once, however often it is met; another one begins later."""
    road, world = Road(error=LinkError("refused")), World()
    async with _kept(road, world):
        await asyncio.sleep(1000)
        problem = world.link().problem
        assert problem is not None
        assert problem.since == records.at(SIGN_IN_SECONDS)
        assert world.link().since == records.at(SIGN_IN_SECONDS)
        road.error = LinkError("timed-out")
        await asyncio.sleep(1000)
        later = world.link().problem
        assert later is not None
        assert later.since > records.at(1000)
        assert world.link().since == records.at(SIGN_IN_SECONDS)


async def test_a_problem_speaks_of_names() -> None:
    """Texts name the VM and the pool as people call them, not by id."""
    road, world = Road(error=LinkError("key-rejected", vm=records.VM, user="core")), World()
    async with _kept(road, world):
        await asyncio.sleep(SOON)
        problem = world.link().problem
        assert problem is not None
        assert "name of pool-1" in problem.remedy


# ---- the engine behind a living link


async def test_an_engine_that_is_down_costs_no_sign_in() -> None:
    """The link is kept and asked again: soon at first, at least every half minute later."""
    road, world = Road(), World()
    async with _kept(road, world):
        await asyncio.sleep(10)
        road.link.stop_engine()
        await asyncio.sleep(3600)
        assert world.words() == ["connecting", "live", "broken engine-down"]
        assert len(road.signed_in) == 1
        assert {one.stale for one in world.containers()} == {True}
        road.link.start_engine()
        await asyncio.sleep(31)
        assert world.words()[-1] == "live"
        assert len(road.signed_in) == 1


async def test_an_engine_that_is_restarted_is_back_soon() -> None:
    """A restart of a few seconds is over a second or two after it ended."""
    road, world = Road(), World()
    async with _kept(road, world):
        await asyncio.sleep(10)
        road.link.stop_engine()
        await asyncio.sleep(2)
        road.link.start_engine()
        await asyncio.sleep(3)
        assert world.words()[-1] == "live"


async def _hang_up(road: Road, seconds: float) -> None:
    """Let the engine end its streams for so long, each soon after it was opened."""
    end = _now() + seconds
    while _now() < end:
        await asyncio.sleep(0.1)
        if road.links:
            road.link.stop_engine()
            road.link.start_engine()


async def test_a_guest_that_hangs_up_again_and_again_changes_ever_more_rarely() -> None:
    """Each time it works for a moment, its containers are current and stale again, which every reader is told of."""
    road, world = Road(), World()
    async with _kept(road, world):
        await _hang_up(road, 600)
        came = [at for at, state, _ in world.states() if state == "live"]
        assert len(came) < 30
        assert min(later - earlier for earlier, later in pairwise(came[-5:])) > 20


async def test_a_guest_that_hangs_up_now_and_then_is_back_soon() -> None:
    """Who was live for a while is tried at once, and needs no time between two listings."""
    road, world = Road(), World()
    async with _kept(road, world):
        await _hang_up(road, 100)
        await asyncio.sleep(100)
        for _ in range(3):
            await asyncio.sleep(60)
            await _hang_up(road, 0.05)
            await asyncio.sleep(0.01)
            assert world.words()[-1] == "broken engine-down"
            await asyncio.sleep(1.5)
            assert world.words()[-1] == "live"


async def test_a_guest_that_comes_back_again_and_again_is_listed_every_ten_seconds() -> None:
    """However often somebody asks for a try: a listing of thousands of containers is work for every reader."""
    road, world = Road(), World()
    async with _kept(road, world) as guest:
        for _ in range(600):
            await _hang_up(road, 0.05)
            guest.try_now(politely=False)
        came = [at for at, state, _ in world.states() if state == "live"]
        assert came[2] < 1
        assert 8 < len(came) <= 9 + LISTINGS_AT_ONCE
        assert min(later - earlier for earlier, later in pairwise(came[3:])) > 9


async def test_a_link_that_is_lost_while_the_engine_is_down_is_opened_anew() -> None:
    """One outage may turn into another; each is said once."""
    road, world = Road(), World()
    async with _kept(road, world):
        await asyncio.sleep(10)
        road.link.stop_engine()
        await asyncio.sleep(100)
        road.cut()
        await asyncio.sleep(100)
        # The link may be cut in the middle of a try: then that is said first, once.
        said = [word for word in world.words() if word != "broken link-lost"]
        assert said[-2:] == ["broken engine-down", "broken timed-out"]
        assert len(world.words()) <= len(said) + 1
        road.error = None
        await asyncio.sleep(61)
        assert world.words()[-1] == "live"


@pytest.mark.parametrize("code", sorted(FIXED_AT_SIGN_IN))
async def test_what_a_sign_in_fixes_is_tried_with_a_new_one(code: str) -> None:
    """A user who was put into a group is in it from the next sign-in on."""
    road, world = Road(), World()
    async with _kept(road, world):
        await asyncio.sleep(10)
        road.link.stop_engine(code)
        await asyncio.sleep(60)
        assert len(road.signed_in) > 1
        assert world.words()[-1] == "live"


async def test_an_engine_that_says_too_much_is_live_with_a_problem() -> None:
    """What is shown is current; how much is not shown is said."""
    road, world = Road(), World(Settings(engine=EngineSettings(containers=2)))
    async with _kept(road, world):
        await asyncio.sleep(SOON)
        link = world.link()
        assert (link.state, link.problem and link.problem.code) == (LinkState.LIVE, "engine-too-large")
        assert len(world.containers()) == 2
        assert {one.stale for one in world.containers()} == {False}


# ---- politeness


@pytest.mark.parametrize("code", OTHER_FAILURES)
async def test_there_are_five_seconds_between_two_sign_ins(code: str) -> None:
    """Whatever the failure, and however often somebody asks politely for a try."""
    road, world = Road(error=LinkError(code)), World()
    async with _kept(road, world) as guest:
        for _ in range(1000):
            await asyncio.sleep(0.3)
            guest.try_now()
        assert min(road.gaps) >= 5 - 1e-6
        assert len(road.signed_in) > 50


async def test_a_link_that_breaks_all_the_time_is_opened_politely_too() -> None:
    """A guest that lets us in and drops us at once is called at most every five seconds."""
    road, world = Road(), World()
    async with _kept(road, world):
        for _ in range(200):
            await asyncio.sleep(1)
            for link in road.links:
                link.close()
        assert min(road.gaps) >= 5 - 1e-6


@pytest.mark.parametrize("code", sorted(REFUSALS))
async def test_refusals_are_met_with_patience(code: str) -> None:
    """30 s, doubling to ten minutes: the guest's server may hold failures against our address, and our neighbours'."""
    road, world = Road(error=LinkError(code)), World()
    async with _kept(road, world):
        await asyncio.sleep(DAY_SECONDS)
        expected = [30, 60, 120, 240, 480, 600, 600]
        for gap, full in zip(road.gaps, expected, strict=False):
            assert 0.9 * full <= gap <= full + 1
        assert max(road.gaps) <= 601
        assert len(world.states()) == 2


async def test_a_flood_ends_a_link_under_its_own_name() -> None:
    """Not as one that was merely lost, which would be called again in seconds."""
    road, world = Road(), World()
    async with _kept(road, world):
        await asyncio.sleep(60)
        road.link.is_open = False
        for stream in tuple(road.link.streams):
            stream.end(LinkError("ssh-floods"))
        await asyncio.sleep(SOON)
        assert world.words()[-1] == "broken ssh-floods"
        await asyncio.sleep(60)
        assert 60 + 0.9 * 30 <= road.gaps[0] <= 60 + 31


async def test_other_failures_are_tried_every_minute_at_last() -> None:
    """Growing from five seconds; a pool that is away counts as such."""
    for error in (LinkError("refused"), PoolError("pool-unreachable")):
        road, world = Road(error=error), World()
        async with _kept(road, world):
            await asyncio.sleep(3600)
            assert all(later >= earlier * 0.74 for earlier, later in pairwise(road.gaps))
            assert 44 <= road.gaps[-1] <= 61


async def test_who_insists_is_served_at_once() -> None:
    """`why` and `enable` try without waiting for politeness, once; afterwards patience goes on growing."""
    road, world = Road(error=LinkError("key-rejected")), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(1)
        guest.try_now(politely=False)
        await asyncio.sleep(0.2)
        assert len(road.signed_in) == 2
        await asyncio.sleep(50)
        assert len(road.signed_in) == 2
        road.error = None
        guest.try_now(politely=False)
        await asyncio.sleep(SOON)
        assert world.words()[-1] == "live"


async def test_who_asks_waits_for_what_comes_of_the_try() -> None:
    """The same failure as before is an outcome, too; a try that politeness or the guest delays is not waited out."""
    road, world = Road(error=LinkError("key-rejected")), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(10)
        assert await guest.tried(3.0)
        assert (len(road.signed_in), world.words()[-1]) == (2, "broken key-rejected")
        assert not await guest.tried(3.0)
        await asyncio.sleep(10)
        road.error = None
        assert await guest.tried(3.0)
        assert world.words()[-1] == "live"


async def test_a_guest_that_works_again_is_forgiven() -> None:
    """After it was live, the next refusal is met with the first delay again."""
    road, world = Road(error=LinkError("key-rejected")), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(2000)
        road.error = None
        guest.try_now()
        await asyncio.sleep(100)
        assert world.words()[-1] == "live"
        road.error = LinkError("key-rejected")
        road.link.close()
        await asyncio.sleep(50)
        assert 27 <= road.gaps[-1] <= 31


# ---- being told


async def test_reconnecting_opens_a_new_link() -> None:
    """What it was opened under no longer holds; the new one comes as soon as politeness allows."""
    road, world = Road(), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(100)
        guest.reconnect()
        await asyncio.sleep(SOON)
        assert len(road.links) == 2
        assert not road.links[0].is_open
        assert world.words()[-1] == "live"


async def test_reconnecting_counts_for_a_link_that_is_just_being_opened() -> None:
    """What it is being opened under no longer holds either, so it is not used."""
    road, world = Road(), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(SIGN_IN_SECONDS / 2)
        guest.reconnect()
        await asyncio.sleep(6)
        assert [link.is_open for link in road.links] == [False, True]
        assert world.words()[-1] == "live"


async def test_a_way_that_leads_no_further_is_opened_anew() -> None:
    """A link whose streams fail, though it stands, is given up: the guest may be at another address by now."""
    road, world = Road(), World()
    async with _kept(road, world):
        await asyncio.sleep(SOON)
        road.link.stop_engine("refused", LinkError)
        await asyncio.sleep(30)
        assert "broken refused" in world.words()
        assert len(road.links) == 2
        assert world.words()[-1] == "live"


@pytest.mark.parametrize(("days", "word"), [(29, "live tls-expires-soon"), (31, "live")])
async def test_certificates_that_end_soon_are_warned_of(days: int, word: str) -> None:
    """From the first listing on, and while the link stands; the guest is live all the time."""
    road, world = Road(), World()
    end = clocks.now() + timedelta(days=days)
    road.expiry = Expiry(end, Whose.ENGINE)
    async with _kept(road, world) as guest:
        await asyncio.sleep(SOON)
        assert world.words()[-1] == word
        guest.listen(end - timedelta(days=20))
        assert world.words()[-1] == "live tls-expires-soon"
        road.expiry = Expiry(end + timedelta(days=700), Whose.ENGINE)
        guest.listen(end - timedelta(days=20))
        assert world.words()[-1] == "live"


async def test_a_closed_keeper_says_nothing_more() -> None:
    """The VM is off or no longer managed: whatever its link's end means, it is nobody's problem."""
    road, world = Road(), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(10)
        told = len(world.told)
        guest.close()
        assert not road.links[0].is_open
        await asyncio.sleep(1)
        assert len(world.told) == told
    assert len(world.told) == told


@pytest.mark.parametrize("moment", [0.01, SIGN_IN_SECONDS + 0.001, 10.0], ids=["signing-in", "greeting", "live"])
async def test_an_ended_keeper_leaves_no_link(moment: float) -> None:
    """Whenever it is cancelled."""
    road, world = Road(), World()
    async with _kept(road, world):
        await asyncio.sleep(moment)
    assert all(not link.is_open and not link.streams for link in road.links)


async def test_a_mistake_of_ours_is_one_guests_problem() -> None:
    """It is told with its code, logged with its traceback, and the guest is tried again, as patiently as ever."""
    road, world = Road(mistake=ExceptionGroup("", [ZeroDivisionError("by a certificate")])), World()
    with structlog.testing.capture_logs() as logs:
        async with _kept(road, world):
            await asyncio.sleep(SOON)
            problem = world.link().problem
            assert problem is not None
            assert (problem.code, "its log tells more" in problem.cause) == ("internal", True)
            await asyncio.sleep(3600)
            assert world.words() == ["connecting", "broken internal"]
            assert min(road.gaps) >= 2.5
            assert max(road.gaps[5:]) <= 60.1
            road.mistake = None
            await asyncio.sleep(61)
            assert world.words()[-1] == "live"
    told = [entry for entry in logs if entry["log_level"] == "error"]
    assert [str(entry["exc_info"].exceptions[0]) for entry in told] == ["by a certificate"]


async def test_a_mistake_while_a_guest_is_watched_ends_that_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """What state it is in nobody knows: it is closed, and opened anew."""
    road, world = Road(), World()
    async with _kept(road, world) as guest:
        await asyncio.sleep(SOON)
        monkeypatch.setattr(guest, "changed", _stumble)
        road.engine.create("new", CATALOGUE[0])
        await asyncio.sleep(SOON)
        assert world.words()[-1] == "broken internal"
        await asyncio.sleep(10)
        assert world.words()[-1] == "live"
        assert [link.is_open for link in road.links] == [False, True]


def _stumble(*_: Any) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("error", [LinkError("refused"), EngineError("no-engine-socket"), PoolError("pool-timed-out")])
async def test_every_kind_of_failure_is_said_with_its_texts(error: PeerError) -> None:
    """Code, cause and remedy stand in the VM's record."""
    road, world = Road(error=error), World()
    async with _kept(road, world):
        await asyncio.sleep(SOON)
        problem = world.link().problem
        assert problem is not None
        assert problem.code == error.code
        assert problem.cause
        assert problem.remedy
