"""The supervisor: an outage is said once, retried politely and for ever; so is a mistake of ours."""

import asyncio
from collections.abc import Callable

import pytest
import structlog

from roadstead.errors import ConflictError, LinkError, PeerError
from roadstead.kit.backoff import Backoff
from roadstead.kit.keep import Healthy, keep, pause
from roadstead.kit.waiter import Alarm

pytestmark = pytest.mark.looptime
DAY_SECONDS = 86_400.0


class Report:
    """Writes down what it is told, and when."""

    def __init__(self) -> None:
        self.said: list[tuple[float, str]] = []

    def began(self, error: PeerError) -> None:
        self.said.append((_now(), error.code))

    def ended(self) -> None:
        self.said.append((_now(), "works"))

    @property
    def words(self) -> list[str]:
        """What was said, without its times."""
        return [word for _, word in self.said]


class Peer:
    """A peer that does what ``behaviour`` says at the time; notes when it was tried."""

    def __init__(self, behaviour: Callable[[float], Exception | None]) -> None:
        self._behaviour = behaviour
        self.tried: list[float] = []

    async def run(self, healthy: Healthy) -> None:
        """Fail at once, or after an hour of work."""
        self.tried.append(_now())
        if error := self._behaviour(_now()):
            raise error
        healthy()
        await asyncio.sleep(3600)
        raise LinkError("link-lost")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _pace() -> Backoff:
    return Backoff(1.0, 60.0, jitter=0.0)


async def _kept(peer: Peer, seconds: float, wake: Alarm | None = None) -> Report:
    report = Report()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await keep(peer.run, whose="peer", pace=_pace(), report=report, wake=wake)
    return report


async def test_a_day_of_outage_is_said_once() -> None:
    """24 hours without the peer: one report, and tries whose distance stays bounded and does not shrink to nothing."""
    peer = Peer(lambda _: LinkError("link-lost"))
    report = await _kept(peer, DAY_SECONDS)
    assert report.said == [(0.0, "link-lost")]
    gaps = [later - earlier for earlier, later in zip(peer.tried, peer.tried[1:], strict=False)]
    assert gaps[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(gaps[6:]) == {60}


async def test_the_end_of_an_outage_is_said_once_however_often_the_peer_says_it_works() -> None:
    """`healthy` may be called at every sign of life; the report hears of the first."""
    report = Report()

    async def run(healthy: Healthy) -> None:
        for _ in range(5):
            healthy()
        await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await keep(run, whose="peer", pace=_pace(), report=report)
    assert report.words == ["works"]


async def test_another_reason_is_said_and_the_same_one_is_not() -> None:
    """Each change of the code is reported once."""

    def behaviour(at: float) -> PeerError | None:
        return LinkError("refused" if at < 100 else "timed-out" if at < 300 else "refused")

    report = await _kept(Peer(behaviour), 1000)
    assert report.words == ["refused", "timed-out", "refused"]


async def test_a_peer_that_comes_back_is_tried_quickly_after_its_next_failure() -> None:
    """Working resets the delays: the first retry comes after the first delay again."""
    peer = Peer(lambda at: None if 100 <= at < 1000 else LinkError("link-lost"))
    report = await _kept(peer, 4000)
    assert report.words == ["link-lost", "works", "link-lost"]
    back = report.said[1][0]
    assert [at for at in peer.tried if at > back][:3] == [back + 3601, back + 3603, back + 3607]


async def test_a_peer_that_works_for_a_moment_each_time_is_tried_ever_more_rarely() -> None:
    """Only a run that worked for the time to settle resets the delays; a single short one is followed quickly."""
    tried: list[float] = []

    async def run(healthy: Healthy) -> None:
        tried.append(_now())
        healthy()
        await asyncio.sleep(0.0 if _now() < 100 else 30.0)
        raise LinkError("link-lost")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(300):
            await keep(run, whose="peer", pace=_pace(), report=Report(), steady_seconds=30.0)
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 154, 185, 216, 247, 278]


async def test_a_run_that_returns_is_run_again_after_a_delay() -> None:
    """Returning is no outage, but no reason to spin either."""
    tried = []

    async def run(_: Healthy) -> None:
        tried.append(_now())
        await asyncio.sleep(0)

    report = Report()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(8):
            await keep(run, whose="peer", pace=_pace(), report=report)
    assert tried == [0, 1, 3, 7]
    assert report.said == []


@pytest.mark.parametrize(
    "mistake", [ZeroDivisionError(), ConflictError("vm-off", vm="x"), ExceptionGroup("", [KeyError()])]
)
async def test_a_mistake_of_ours_is_an_outage(mistake: Exception) -> None:
    """Of that peer alone, told and paced like others; of the mistake the log tells, once."""
    peer = Peer(lambda _: mistake)
    with structlog.testing.capture_logs() as logs:
        report = await _kept(peer, 10)
    assert report.said == [(0, "internal")]
    assert peer.tried == [0, 1, 3, 7]
    assert [(entry["whose"], entry["exc_info"]) for entry in logs] == [("peer", mistake)]


async def test_wake_cuts_the_delay() -> None:
    """Whoever sets `wake` has the peer tried at once, and only once."""
    wake = Alarm()
    peer = Peer(lambda _: LinkError("link-lost"))
    asyncio.get_running_loop().call_at(100.5, wake.set)
    await _kept(peer, 200, wake)
    assert [at for at in peer.tried if at >= 63] == [63, 100.5, 160.5]


async def test_a_wake_during_a_try_is_not_lost() -> None:
    """It makes the next try follow at once."""
    wake = Alarm()
    tried = []

    async def run(_: Healthy) -> None:
        tried.append(_now())
        await asyncio.sleep(5)
        raise LinkError("timed-out")

    asyncio.get_running_loop().call_at(2, wake.set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await keep(run, whose="peer", pace=Backoff(60.0, 60.0), report=Report(), wake=wake)
    assert tried == [0, 5]


async def test_the_pace_learns_why_the_try_ended() -> None:
    """A pace may wait longer after one error than after another."""
    heard: list[str | None] = []

    class Pace:
        def after(self, error: PeerError | None) -> float:
            heard.append(error.code if error else None)
            return 1.0

        def reset(self) -> None:
            heard.append("reset")

    async def run(healthy: Healthy) -> None:
        if _now() < 2:
            raise LinkError("refused")
        healthy()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3.5):
            await keep(run, whose="peer", pace=Pace(), report=Report())
    assert heard == ["refused", "refused", "reset", None, "reset", None]


async def test_a_pause_ends_by_time_or_by_its_event() -> None:
    """`pause` takes what comes first, and clears the event only when it used it."""
    wake = Alarm()
    await pause(5, wake)
    assert _now() == 5
    asyncio.get_running_loop().call_at(7, wake.set)
    await pause(60, wake)
    assert _now() == 7
    await pause(3, wake)
    await pause(3)
    assert _now() == 13
