"""Every misbehaviour of a guest's engine really happens: in all answers, in lists, in events, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from roadstead.lab.guests import hostile
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.misbehaviour import Layer
from roadstead.lab.guests.simulated import lone_guest
from tests.unit.lab.guests_support import KEY_LINE, of_layers

WAIT_SECONDS = 0.05
"""How long something that must not happen is waited for."""


@pytest.fixture
async def guest() -> AsyncIterator[SimulatedGuest]:
    """A running guest with three containers."""
    async with lone_guest("hostile", public_keys=[KEY_LINE]) as made:
        yield made


class Raw:
    """A plain connection to the engine's socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def ask(self, path: str) -> None:
        """Send a request."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: e\r\n\r\n".encode())

    async def head(self) -> bytes:
        """The head of the answer."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def body(self) -> bytes:
        """The body of the answer, whatever its coding."""
        head = (await self.head()).decode()
        if "chunked" not in head:
            length = int(head.split("Content-Length: ")[1].split("\r\n")[0])
            return await self.reader.readexactly(length)
        content = b""
        while piece := await self.chunk():
            content += piece
        return content

    async def chunk(self) -> bytes:
        """One chunk."""
        length = int(await self.reader.readline(), 16)
        return (await self.reader.readexactly(length + 2))[:-2]

    async def says_nothing(self) -> bool:
        """Whether nothing comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                await self.reader.readexactly(1)
                return False
        return True


@contextlib.asynccontextmanager
async def raw(guest: SimulatedGuest, folder: Path) -> AsyncIterator[Raw]:
    """A plain connection to the engine of `guest`."""
    server = await guest.serve_unix(folder / "raw.sock")
    reader, writer = await asyncio.open_unix_connection(folder / "raw.sock", limit=4 * hostile.LARGE_BODY_BYTES)
    try:
        yield Raw(reader, writer)
    finally:
        server.close()
        guest.cut()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


# Every answer of the engine


async def _no_answer(client: Raw) -> None:
    assert await client.says_nothing()


async def _drips(client: Raw) -> None:
    assert len(await client.reader.read(100)) == 1
    assert await client.reader.readline() == b"TTP/1.1 200 OK\r\n"


async def _is_no_http(client: Raw) -> None:
    assert not (await client.reader.read()).startswith(b"HTTP/")


async def _never_ends_its_head(client: Raw) -> None:
    head = await client.reader.readexactly(1024 * 1024)
    assert b"\r\n\r\n" not in head


async def _never_ends_a_line(client: Raw) -> None:
    await client.reader.readuntil(b"X-Lab: ")
    assert b"\n" not in await client.reader.readexactly(1024 * 1024)


async def _is_cut(client: Raw) -> None:
    assert b"Content-Length: 1000" in await client.head()
    assert len(await client.reader.read()) < 1000


async def _is_an_error(client: Raw) -> None:
    assert (await client.head()).startswith(b"HTTP/1.1 500 ")


async def _is_too_old(client: Raw) -> None:
    assert (await client.head()).startswith(b"HTTP/1.1 400 ")


async def _announces_for_ever(client: Raw) -> None:
    assert set((await client.reader.readexactly(25 * 100)).splitlines()) == {b"HTTP/1.1 100 Continue", b""}


async def _chunks_for_ever(client: Raw) -> None:
    await client.head()
    assert [await client.chunk() for _ in range(1000)] == [b" "] * 1000


async def _never_ends_a_chunk_line(client: Raw) -> None:
    await client.head()
    assert b"\n" not in await client.reader.readexactly(1024 * 1024)


async def _crumbles(client: Raw) -> None:
    assert b"Content-Length: 10000000000" in await client.head()
    assert await client.reader.readexactly(5000) == b" " * 5000


async def _is_a_bomb(client: Raw) -> None:
    assert b"Content-Encoding: gzip" in await client.head()
    packed = b"".join([await client.chunk() for _ in range(20)])
    assert zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed, 2**22) == bytes(2**22)


async def _is_elsewhere(client: Raw) -> None:
    head = await client.head()
    assert head.startswith(b"HTTP/1.1 307 ")
    assert b"Location: http://169.254.169.254/" in head


async def _switches(client: Raw) -> None:
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")


async def _is_one_byte(client: Raw) -> None:
    assert await client.reader.read() == b"H"


async def _is_old(client: Raw) -> None:
    assert b" Jan 1601 " in await client.head()


ANSWERS: dict[str, Callable[[Raw], Awaitable[None]]] = {
    "silence": _no_answer,
    "drip": _drips,
    "garbage": _is_no_http,
    "endless-headers": _never_ends_its_head,
    "endless-header-line": _never_ends_a_line,
    "cut-answers": _is_cut,
    "server-errors": _is_an_error,
    "old-api": _is_too_old,
    "endless-announcements": _announces_for_ever,
    "endless-chunks": _chunks_for_ever,
    "endless-chunk-line": _never_ends_a_chunk_line,
    "crumbs": _crumbles,
    "compressed": _is_a_bomb,
    "redirects": _is_elsewhere,
    "upgrades": _switches,
    "one-byte-answers": _is_one_byte,
    "odd-clock": _is_old,
}


@pytest.mark.parametrize("name", of_layers(Layer.ENGINE))
async def test_every_answer_goes_wrong(guest: SimulatedGuest, tmp_path: Path, name: str) -> None:
    """What a client sees in place of an answer."""
    await guest.misbehave(name)
    async with raw(guest, tmp_path) as client:
        client.ask("/v1.24/version")
        await ANSWERS[name](client)


# Lists


def _entries(body: bytes) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(body)
    return entries


def _fails(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return True
    return False


def _years(body: bytes) -> set[int]:
    return {entry["Created"] for entry in _entries(body)}


ENDLESS = {"endless-list", "endless-text", "ten-gigabytes"}
LISTS: dict[str, Callable[[bytes], bool]] = {
    "invalid-json": _fails,
    "not-a-list": lambda body: isinstance(json.loads(body), dict),
    "large-body": lambda body: len(body) == hostile.LARGE_BODY_BYTES and json.loads(body) == [],
    "many-containers": lambda body: len({entry["Id"] for entry in _entries(body)}) == 500,
    "deep-nesting": _fails,
    "invalid-utf8": lambda body: b"\xff" in body and _fails(body),
    "wrong-types": lambda body: all(entry["Names"] == 5 for entry in _entries(body)),
    "duplicate-keys": lambda body: body.count(b'"State":') == 6 and len(_entries(body)) == 3,
    "duplicate-ids": lambda body: len(_entries(body)) == 2 * len({entry["Id"] for entry in _entries(body)}) == 6,
    "markup-names": lambda body: all("<script>" in entry["Names"][0] for entry in _entries(body)),
    "terminal-names": lambda body: all("\x1b[2J" in entry["Names"][0] for entry in _entries(body)),
    "no-numbers": lambda body: b":NaN" in body and _fails(body),
    "odd-ids": lambda body: len(_entries(body)) == 3 + len(hostile.ODD_IDS),
    "odd-times": lambda body: {hostile.YEAR_1601, hostile.YEAR_9999} < _years(body),
    "huge-names": lambda body: all(len(entry["Names"][0]) > hostile.HUGE_NAME_BYTES for entry in _entries(body)),
}


@pytest.mark.parametrize("name", [name for name in of_layers(Layer.LIST) if name not in ENDLESS])
async def test_lists_go_wrong_and_other_answers_do_not(guest: SimulatedGuest, tmp_path: Path, name: str) -> None:
    """What a client gets as a list; `/version` stays in order."""
    await guest.misbehave(name)
    async with raw(guest, tmp_path) as client:
        client.ask("/v1.41/containers/json?all=1&limit=500")
        assert LISTS[name](await client.body())
        client.ask("/version")
        assert json.loads(await client.body())["Version"]


async def test_a_list_can_go_on_for_ever(guest: SimulatedGuest, tmp_path: Path) -> None:
    """More and more containers come, in chunks that are each in order."""
    await guest.misbehave("endless-list")
    async with raw(guest, tmp_path) as client:
        client.ask("/v1.41/containers/json?all=1")
        await client.head()
        assert await client.chunk() == b"["
        entries = [json.loads((await client.chunk()).rstrip(b",")) for _ in range(500)]

    assert len({entry["Id"] for entry in entries}) == 500


@pytest.mark.parametrize(("name", "head"), [("endless-text", b"chunked"), ("ten-gigabytes", b"10000000000")])
async def test_a_list_may_be_no_end_of_bytes(guest: SimulatedGuest, tmp_path: Path, name: str, head: bytes) -> None:
    """One name, or blanks with a length: they come as long as they are read."""
    await guest.misbehave(name)
    async with raw(guest, tmp_path) as client:
        client.ask("/v1.41/containers/json?all=1")
        assert head in await client.head()
        assert len(await client.reader.readexactly(4 * 1024 * 1024)) == 4 * 1024 * 1024


# Events


async def _strangers(client: Raw, guest: SimulatedGuest) -> None:
    for _ in range(3):
        assert json.loads(await client.chunk())["Actor"]["ID"] not in guest.engine.containers


async def _floods(client: Raw, guest: SimulatedGuest) -> None:
    lines = b"".join([await client.chunk() for _ in range(100)]).splitlines()
    assert len(lines) > 10_000
    assert {json.loads(line)["id"] for line in lines[:100]} == set(guest.engine.containers)


async def _floods_with_strangers(client: Raw, guest: SimulatedGuest) -> None:
    lines = b"".join([await client.chunk() for _ in range(20)]).splitlines()
    told = {json.loads(line)["id"] for line in lines}
    assert (len(lines), len(told)) == (20 * hostile.STRANGERS, hostile.STRANGERS)
    assert told.isdisjoint(guest.engine.containers)


async def _is_blank(client: Raw, _guest: SimulatedGuest) -> None:
    for _ in range(20):
        assert set(await client.chunk()) == set(b"\n")


def _bulky(of: Callable[[Any], bool]) -> Callable[[Raw, SimulatedGuest], Awaitable[None]]:
    async def bulky(client: Raw, _guest: SimulatedGuest) -> None:
        for _ in range(20):
            said = await client.chunk()
            assert hostile.BULK_BYTES * 0.9 < len(said) < hostile.BULK_BYTES * 1.1
            assert of(json.loads(said)["x"][0])

    return bulky


async def _is_no_json(client: Raw, _guest: SimulatedGuest) -> None:
    assert _fails(await client.chunk())


async def _is_huge(client: Raw, _guest: SimulatedGuest) -> None:
    assert len(json.loads(await client.chunk())["Actor"]["ID"]) == hostile.HUGE_NAME_BYTES


async def _has_wrong_types(client: Raw, _guest: SimulatedGuest) -> None:
    assert json.loads(await client.chunk())["Type"] == 1
    assert json.loads(await client.chunk()) == []


async def _ends_at_once(client: Raw, _guest: SimulatedGuest) -> None:
    assert await client.reader.read() == b""


async def _has_odd_ids(client: Raw, _guest: SimulatedGuest) -> None:
    assert tuple([json.loads(await client.chunk())["Actor"]["ID"] for _ in hostile.ODD_IDS]) == hostile.ODD_IDS


async def _has_odd_times(client: Raw, _guest: SimulatedGuest) -> None:
    times = [json.loads(await client.chunk())["time"] for _ in range(3)]
    assert times == [hostile.YEAR_1601, hostile.YEAR_9999, 2**62]


EVENTS: dict[str, Callable[[Raw, SimulatedGuest], Awaitable[None]]] = {
    "unknown-containers": _strangers,
    "event-flood": _floods,
    "unknown-flood": _floods_with_strangers,
    "event-blanks": _is_blank,
    "event-bulk": _bulky(lambda value: isinstance(value, str)),
    "event-bulk-numbers": _bulky(lambda value: value != value),  # noqa: PLR0124 - so is NaN
    "event-bulk-lists": _bulky(lambda value: value == [1, 2]),
    "event-garbage": _is_no_json,
    "event-huge": _is_huge,
    "event-wrong-types": _has_wrong_types,
    "event-odd-ids": _has_odd_ids,
    "event-odd-times": _has_odd_times,
    "events-cut": _ends_at_once,
}


@pytest.mark.parametrize("name", of_layers(Layer.EVENTS))
async def test_events_go_wrong_and_lists_do_not(guest: SimulatedGuest, tmp_path: Path, name: str) -> None:
    """What a client gets as events, while the list stays in order."""
    await guest.misbehave(name)
    async with raw(guest, tmp_path) as client:
        client.ask("/v1.41/containers/json?all=1")
        assert len(_entries(await client.body())) == 3
        client.ask("/v1.41/events")
        await client.head()
        await EVENTS[name](client, guest)


async def test_endless_answers_wait_for_the_client(tmp_path: Path) -> None:
    """A client that does not read makes the guest stop sending, so hostile guests cost no memory."""
    made = itertools.count()
    guest = lone_guest("flood", clock=lambda: next(made))
    await guest.misbehave("endless-list")
    async with raw(guest, tmp_path) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.ask("/v1.41/containers/json?all=1")
        async with asyncio.timeout(10):
            while not any(stream.is_paused for stream in guest._streams):  # noqa: SLF001 - the guest's own ends
                await asyncio.sleep(0)
        before = next(made)
        for _ in range(50):
            await asyncio.sleep(0)

        assert next(made) == before + 1
