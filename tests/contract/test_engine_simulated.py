"""The engine client against every simulated engine, and against everything one can do wrong."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from roadstead.errors import EngineError
from roadstead.lab.guests import hostile
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.misbehaviour import MISBEHAVIOURS, Layer
from roadstead.lab.guests.profiles import PROFILES
from roadstead.lab.guests.simulated import lone_guest
from roadstead.model import LogEntry, LogWish
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.engine.logs import LogStream
from roadstead.peers.engine.messages import statistics
from roadstead.peers.engine.messages.events import EngineEvent, Flood
from roadstead.peers.links.unix import open_unix
from roadstead.settings.schema import EngineSettings
from tests.contract.links_contract import engine_client

SPOKEN = sorted(name for name in PROFILES if name != "docker-1.11")
NO_LISTS = {"invalid-json", "not-a-list", "deep-nesting"}
STREAMED = {"large-body", "ten-gigabytes", "endless-text", "endless-list", "many-containers"}
FLOODS = {"event-flood", "unknown-flood", "event-bulk", "event-bulk-numbers", "event-bulk-lists"}
SETTINGS = EngineSettings(answer_bytes=2**20, events_per_second=200)


@contextlib.asynccontextmanager
async def _engine(
    folder: Path, profile: str = "docker-28.5", settings: EngineSettings = SETTINGS
) -> AsyncIterator[tuple[SimulatedGuest, EngineClient]]:
    guest = lone_guest("engine", count=6, profile=profile)
    server = await guest.serve_unix(folder / "engine.sock")
    link = await open_unix(str(folder / "engine.sock"))
    client = engine_client(link, settings)
    try:
        yield guest, client
    finally:
        client.close()
        link.close()
        server.close()
        guest.cut()


def _of(layer: Layer) -> list[str]:
    return [name for name, trait in MISBEHAVIOURS.items() if trait.layer is layer]


@pytest.mark.parametrize("profile", SPOKEN)
async def test_every_engine_is_followed(tmp_path: Path, profile: str) -> None:
    """Listed, changed, and heard of, whatever its release."""
    async with _engine(tmp_path, profile) as (guest, client):
        hello = await client.hello()
        listing = await client.containers()
        running = next(each for each in listing.containers if each.state == "running" and each.isolation != "process")
        async with client.events(hello.date) as events, asyncio.timeout(5):
            await client.act("pause", running.engine_id)
            heard = [event async for event in _until(events, "pause")]
        paused = await client.containers_by_id([running.engine_id])

        assert hello.engine.name == ("Podman" if profile.startswith("podman") else "Docker")
        assert {record.engine_id for record in listing.containers} == {entry["id"] for entry in await guest.truth()}
        assert heard[-1].engine_id == running.engine_id
        assert paused[running.engine_id].state == "paused"


@pytest.mark.parametrize("profile", SPOKEN)
async def test_every_engine_tells_statistics(tmp_path: Path, profile: str) -> None:
    """In its own form, units and time; of a container that does not run it has none, whatever it says instead."""
    async with _engine(tmp_path, profile) as (guest, client):
        guest.engine.sample_seconds = 0.0
        await client.hello()
        known = (await client.containers()).containers
        running = next(each for each in known if each.state == "running")
        first = await client.sample(running.engine_id)
        await asyncio.sleep(0.02)
        used = statistics.usage(first, await client.sample(running.engine_id))
        # The lab's containers use a hundredth of a CPU.
        assert used.cpu_percent == pytest.approx(1.0, rel=0.05)
        assert (used.memory_bytes or 0) > 0
        assert (used.processes is None, used.memory_limit_bytes is None) == (guest.engine.profile.is_windows,) * 2

        stopped = next(each for each in known if each.state == "exited")
        with pytest.raises(EngineError) as caught:
            await client.sample(stopped.engine_id)
        assert caught.value.code == "container-not-running"


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize("profile", SPOKEN)
async def test_every_engine_tells_its_logs(tmp_path: Path, profile: str, *, tty: bool) -> None:
    """In its own form, with times and without, to the end and beyond; those that it cannot read with its reason."""
    async with _engine(tmp_path, profile) as (guest, client):
        engine = guest.engine
        await client.hello()
        image = engine.profile.catalogue[0]._replace(tty=tty)
        box = engine.create("box", image)
        engine.start(box)
        for number, text in enumerate(("one\n", "x" * 20_000 + "\n", "three\n")):
            engine.logs.write(box, (number + 1) * 10**9, text, 1 + number % 2)
        told = await client.logs(box.id, LogWish(timestamps=True, tail=10))
        stream = await client.logs(box.id, LogWish(follow=True, since=datetime.fromtimestamp(3, UTC)))
        engine.logs.write(box, 4 * 10**9, "four\n")
        engine.end(box, 0)
        found = await _read(told)
        names = ["stdout", "stdout" if tty else "stderr", "stdout"]
        assert list(dict.fromkeys((each.stream, each.time[17:19]) for each in found if each.time)) == [
            (name, f"0{number}") for number, name in enumerate(names, 1)
        ]
        assert "".join(each.text for each in found if each.text.startswith("x")) == "x" * 20_000 or tty
        assert [each.text for each in await _read(stream)] == ["three", "four"]
        mute = engine.create("mute", image._replace(log_driver="none"))
        with pytest.raises(EngineError) as caught:
            await client.logs(mute.id, LogWish())
        assert caught.value.code == "logs-unreadable"
        assert "log" in caught.value.fields["reason"]


async def _read(stream: LogStream) -> list[LogEntry]:
    found: list[LogEntry] = []
    async with asyncio.timeout(5):
        while not stream.is_ended:
            await stream.wait()
            found += stream.take()
    stream.close()
    return found


async def _until(events: AsyncIterator[EngineEvent | Flood], action: str) -> AsyncIterator[EngineEvent]:
    async for event in events:
        if isinstance(event, EngineEvent):
            yield event
            if event.action == action:
                return


async def test_an_engine_too_old_is_unsupported(tmp_path: Path) -> None:
    """Docker 1.11 does not tell its version in a ping, and is refused all the same."""
    async with _engine(tmp_path, "docker-1.11") as (_, client):
        with pytest.raises(EngineError) as caught:
            await client.hello()
        assert (caught.value.code, caught.value.fields["direction"]) == ("engine-unsupported", "old")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("silence", "engine-timed-out"),
        ("drip", "engine-timed-out"),
        ("garbage", "engine-answer-invalid"),
        ("endless-headers", "engine-answer-invalid"),
        ("endless-header-line", "engine-answer-invalid"),
        ("cut-answers", "engine-down"),
        ("server-errors", "engine-refused"),
        ("old-api", "engine-unsupported"),
        ("endless-announcements", "engine-answer-invalid"),
        ("endless-chunks", "engine-answer-invalid"),
        ("endless-chunk-line", "engine-answer-invalid"),
        ("crumbs", "engine-answer-invalid"),
        ("compressed", "engine-answer-invalid"),
        ("redirects", "engine-refused"),
        ("upgrades", "engine-answer-invalid"),
        ("one-byte-answers", "engine-down"),
    ],
)
async def test_an_engine_that_talks_nonsense_is_told(tmp_path: Path, fault: str, code: str) -> None:
    """Each kind of nonsense has its code, ends in time, and takes no more memory than the bounds allow."""
    # Where a bound is to end it, time must not: how soon so much is said depends on what else the machine does.
    settings = EngineSettings(answer_bytes=2**16, answer_seconds=0.5 if code == "engine-timed-out" else 15)
    async with _engine(tmp_path, settings=settings) as (guest, client):
        await guest.misbehave(fault)
        with _memory(2**21), pytest.raises(EngineError) as caught:
            await client.hello()
        assert caught.value.code == code


def test_every_nonsense_is_told() -> None:
    """No misbehaviour of engines is without its code; one that lives in another century is no fault."""
    (mark,) = test_an_engine_that_talks_nonsense_is_told.pytestmark  # type: ignore[attr-defined]

    assert {fault for fault, _ in mark.args[1]} | {"odd-clock"} == set(_of(Layer.ENGINE))


async def test_an_engine_may_live_in_another_century(tmp_path: Path) -> None:
    """Its clock is its own: it is asked for events since then, and what it dates is left undated."""
    async with _engine(tmp_path) as (guest, client):
        await guest.misbehave("odd-clock")
        hello = await client.hello()
        assert hello.date == hostile.YEAR_1601
        async with client.events(hello.date):
            assert len((await client.containers()).containers) == 6


@contextlib.contextmanager
def _memory(limit: int) -> Iterator[None]:
    """Fail when Python, the guest in it included, comes to hold more than ``limit`` bytes beyond what it held."""
    tracemalloc.start()
    try:
        held, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - held < limit


@pytest.mark.parametrize("fault", _of(Layer.LIST))
async def test_no_list_does_harm(tmp_path: Path, fault: str) -> None:
    """A list is records within the bounds, or one error of ours; afterwards the same client works."""
    async with _engine(tmp_path) as (guest, client):
        await client.hello()
        await guest.misbehave(fault)
        if fault in NO_LISTS:
            with pytest.raises(EngineError) as caught:
                await client.containers()
            assert caught.value.code == "engine-answer-invalid"
        else:
            # The guest itself keeps what it says at once.
            with _memory(10 * SETTINGS.answer_bytes) if fault in STREAMED else contextlib.nullcontext():
                listing = await client.containers()
            assert len(msgspec.json.encode(listing.containers)) < SETTINGS.kept_bytes
            assert len(listing.containers) == len({record.id for record in listing.containers})
            assert listing.hidden == listing.total - len(listing.containers)
        await guest.misbehave()
        assert len((await client.containers()).containers) == 6


@pytest.mark.parametrize("fault", _of(Layer.EVENTS))
async def test_no_stream_of_events_does_harm(tmp_path: Path, fault: str) -> None:
    """Events are read, left out, dropped with a word, or the stream ends with one error of ours."""
    async with _engine(tmp_path) as (guest, client):
        hello = await client.hello()
        await guest.misbehave(fault)
        heard: list[EngineEvent | Flood] = []
        with contextlib.suppress(EngineError, TimeoutError):
            async with client.events(hello.date) as events, asyncio.timeout(0.3):
                async for event in events:
                    heard.append(event)
                    await asyncio.sleep(0)
        await guest.misbehave()

        assert len(heard) <= 2 * SETTINGS.events_per_second + 2
        assert any(isinstance(event, Flood) for event in heard) or fault not in FLOODS
        assert len((await client.containers()).containers) == 6
