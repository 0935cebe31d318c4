"""The stream of changes, as readers see it on the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest

from roadstead.serve import answers, changes
from tests.unit.inventory_views import samples
from tests.unit.serve import stage


class Event(NamedTuple):
    """One event, or a comment (``kind`` empty)."""

    id: int | None
    kind: str
    data: Any


class Reader:
    """Reads events off an answer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self, *, comments: bool = False) -> Event:
        """The next event, or comment if these are asked for."""
        while True:
            event = _parsed((await self.answer.content.readuntil(b"\n\n")).decode())
            if event.kind or comments:
                return event


def _parsed(text: str) -> Event:
    fields = dict(line.split(": ", 1) for line in text.strip().splitlines() if not line.startswith(":"))
    data = msgspec.json.decode(fields["data"]) if "data" in fields else None
    return Event(int(fields["id"]) if "id" in fields else None, fields.get("event", ""), data)


@asynccontextmanager
async def reading(api: stage.Stage, query: str = "", **headers: str) -> AsyncIterator[Reader]:
    """Open the stream for the length of the block."""
    async with api.client.get(f"http://localhost/api/v1/changes{query}", headers=headers) as answer:
        assert answer.status == 200, await answer.read()
        assert answer.content_type == "text/event-stream"
        yield Reader(answer)


async def test_stream_without_number_begins_with_relist(tmp_path: Path) -> None:
    """Who knows nothing is told the present number, then every change after it."""
    async with stage.running(tmp_path) as api, reading(api) as reader:
        number = api.world.store.number
        assert await reader.next() == Event(number, "relist", {"number": number})
        api.world.tell(samples.container("vm-1", 0xAAAA, "shop", state="paused"))
        event = await reader.next()
        assert (event.id, event.kind) == (number + 1, "change")
        assert (event.data["kind"], event.data["op"], event.data["record"]["state"]) == ("container", "set", "paused")


async def test_stream_resumes_without_a_gap(tmp_path: Path) -> None:
    """Every change after the number is told, in order, each once."""
    async with stage.running(tmp_path) as api:
        since = api.world.store.number - 4
        async with reading(api, f"?since={since}") as reader:
            seen = [(await reader.next()).id for _ in range(4)]
            api.world.apply(samples.gone("vm", "vm-3"))
            gone = await reader.next()
        assert [*seen, gone.id] == list(range(since + 1, since + 6))
        assert gone.data == {"number": since + 5, "kind": "vm", "id": "vm-3", "op": "gone", "record": None}


@pytest.mark.parametrize("since", [0, 10**9])
async def test_number_that_is_not_held_means_relist(tmp_path: Path, since: int) -> None:
    """A number before the ring, or of another run, is answered with `relist`."""
    async with stage.running(tmp_path, feed_changes=4) as api, reading(api, f"?since={since}") as reader:
        assert (await reader.next()).kind == "relist"


async def test_browsers_resume_by_header(tmp_path: Path) -> None:
    """`Last-Event-ID` counts like `since`."""
    async with stage.running(tmp_path) as api:
        since = api.world.store.number - 1
        async with reading(api, **{"Last-Event-ID": str(since)}) as reader:
            assert (await reader.next()).id == since + 1


async def test_only_the_kinds_asked_for(tmp_path: Path) -> None:
    """Other kinds are left out, yet the number moves on."""
    async with stage.running(tmp_path) as api, reading(api, "?kinds=container,host") as reader:
        await reader.next()
        api.world.tell(samples.vm("vm-9", "new"))
        assert await reader.next(comments=True) == Event(api.world.store.number, "", None)
        api.world.tell(samples.host("host-9", "east"))
        assert (await reader.next()).data["kind"] == "host"
        problem = await api.refused("GET", "/changes?kinds=vm,cow", 422, "field-invalid")
        assert problem["fields"]["field"] == "kinds"


async def test_vms_are_shown_with_their_state(tmp_path: Path) -> None:
    """A VM's change holds what the list of VMs shows, but for the counts."""
    async with stage.running(tmp_path) as api, reading(api, "?kinds=vm") as reader:
        await reader.next()
        api.world.tell(samples.link("vm-2"))
        record = (await reader.next()).data["record"]
        shown = await api.get("/vms/vm-2")
        del shown["containers"]
        assert record == shown


async def test_slow_reader_is_told_to_list_again(tmp_path: Path) -> None:
    """What overran the ring while a reader did not read is not skipped silently."""
    async with stage.running(tmp_path, feed_changes=64) as api, reading(api) as reader:
        await reader.next()
        blob = "x" * 4000
        for _ in range(20):
            for number in range(200):
                api.world.tell(samples.container("vm-1", number, f"c{number}", command=blob + str(_)))
            await asyncio.sleep(0)
        newest, last, relisted = api.world.store.number, 0, False
        while last < newest:
            event = await reader.next()
            relisted = relisted or event.kind == "relist"
            assert event.kind == "relist" or event.id == last + 1 or last == 0
            last = event.id or 0
        assert relisted


async def test_silent_stream_says_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment comes when nothing else does."""
    monkeypatch.setattr(changes, "HEARTBEAT_SECONDS", 0.01)
    async with stage.running(tmp_path) as api, reading(api) as reader:
        await reader.next()
        assert await reader.next(comments=True) == Event(None, "", None)
        api.world.tell(samples.host("host-9", "east"))
        assert (await reader.next()).kind == "change"


async def test_reader_that_takes_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that stopped reading does not keep its stream for ever."""
    monkeypatch.setattr(answers, "STALLED_SECONDS", 0.05)
    async with stage.running(tmp_path) as api:
        reader, writer = await asyncio.open_unix_connection(str(api.listening.socket), limit=1024)
        writer.write(b"GET /api/v1/changes HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"relist")
        text = "x" * 200_000
        while api.world.services.readers.count:
            api.world.tell(samples.container("vm-1", 1, text, command=str(api.world.store.number)))
            await asyncio.sleep(0.001)
        writer.close()


async def test_reader_that_leaves_is_forgotten(tmp_path: Path) -> None:
    """A closed connection ends its stream, though nothing is told on it."""
    async with stage.running(tmp_path) as api:
        async with reading(api) as reader:
            await reader.next()
            assert (await api.get("/health"))["statistics"]["readers"] == {"open": 1}
            reader.answer.close()
        while api.world.services.readers.count:
            await asyncio.sleep(0.001)


async def test_streams_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are only so many streams at a time."""
    monkeypatch.setattr(changes, "READERS", 1)
    async with stage.running(tmp_path) as api, reading(api) as reader:
        await reader.next()
        await api.refused("GET", "/changes", 503, "too-many-readers")


async def test_stopping_server_ends_streams_at_once(tmp_path: Path) -> None:
    """A stream ends as a whole answer does when the server stops, and nobody waits for it."""
    async with stage.running(tmp_path) as api, reading(api) as reader:
        await reader.next()
        api.server.cancel()
        assert await reader.answer.content.read() == b""
        await asyncio.wait([api.server])
        assert api.world.services.readers.count == 0


async def test_many_readers_all_hear(tmp_path: Path) -> None:
    """Every reader gets every change."""
    async with stage.running(tmp_path) as api:
        since = api.world.store.number

        async def count() -> int:
            async with reading(api, f"?since={since}") as reader:
                return len([await reader.next() for _ in range(50)])

        counting = asyncio.gather(*(count() for _ in range(20)))
        for number in range(50):
            api.world.tell(samples.container("vm-1", number, f"new-{number}"))
            await asyncio.sleep(0)
        assert await counting == [50] * 20
