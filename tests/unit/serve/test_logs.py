"""Logs, as their readers see them on the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from roadstead.errors import LinkError
from roadstead.model import LogWish
from roadstead.serve import logs
from tests.unit.fakes.logs import FakeLogs
from tests.unit.serve import stage

SHOP = "/containers/vm-1/" + f"{0xAAAA:x}".ljust(64, "0") + "/logs"


@asynccontextmanager
async def reading(api: stage.Stage, query: str = "?follow=true") -> AsyncIterator[aiohttp.StreamReader]:
    """Read the shop's for the length of the block."""
    async with api.client.get(f"http://localhost/api/v1{SHOP}{query}") as answer:
        assert answer.status == 200, await answer.read()
        assert answer.content_type == "application/x-ndjson"
        yield answer.content


async def _entry(content: aiohttp.StreamReader) -> Any:
    return msgspec.json.decode(await content.readline())


async def test_logs_are_lines_of_json(tmp_path: Path) -> None:
    """Fields that say nothing are left out; the end of the logs is that of the answer."""
    async with stage.running(tmp_path) as api:
        api.world.vms.logs = FakeLogs("one", "\x1b[2J<b>")
        async with reading(api) as content:
            assert await _entry(content) == {"stream": "stdout", "text": "one"}
            assert await _entry(content) == {"stream": "stdout", "text": "\x1b[2J<b>"}
            api.world.vms.logs.write("two")
            assert await _entry(content) == {"stream": "stderr", "text": "two"}
            api.world.vms.logs.end()
            assert (await content.read()).strip() == b""
        assert api.world.commands.logs.readers == 0


async def test_what_is_asked_for_reaches_the_engine(tmp_path: Path) -> None:
    """Each parameter; without any, everything that was written."""
    async with stage.running(tmp_path) as api:
        for query in (
            "",
            "?stream=stderr&tail=5&since=2026-11-27T12:00:00Z&until=2026-11-27T13:00:00Z&timestamps=true&follow=true&exact=true",
        ):
            api.world.vms.logs = FakeLogs(ends=True)
            async with reading(api, query) as content:
                await content.read()
        first, second = api.world.vms.wishes
        assert first == LogWish()
        assert second == LogWish(
            streams=("stderr",),
            tail=5,
            since=datetime(2026, 11, 27, 12, tzinfo=UTC),
            until=datetime(2026, 11, 27, 13, tzinfo=UTC),
            timestamps=True,
            follow=True,
            exact=True,
        )


@pytest.mark.parametrize(
    ("query", "field"),
    [("?tail=-1", "tail"), ("?since=soon", "since"), ("?until=x", "until"), ("?stream=all", "stream"), ("?n=1", "n")],
)
async def test_a_wrong_parameter_is_named(tmp_path: Path, query: str, field: str) -> None:
    """Before any engine is asked."""
    async with stage.running(tmp_path) as api:
        told = await api.refused("GET", f"{SHOP}{query}", 422, "field-invalid")
        assert told["fields"]["field"] == field


async def test_who_cannot_be_read_is_told_by_the_status(tmp_path: Path) -> None:
    """An engine that refuses, and a container that is not there."""
    async with stage.running(tmp_path) as api:
        told = await api.refused("GET", SHOP, 502, "logs-unreadable")
        assert "the driver is none" in told["detail"]
        await api.refused("GET", "/containers/vm-1/ffff/logs", 404, "no-such-container")
        assert api.world.commands.logs.readers == 0


async def test_a_break_is_the_last_line(tmp_path: Path) -> None:
    """The status was sent long before."""
    async with stage.running(tmp_path) as api:
        api.world.vms.logs = FakeLogs("one")
        async with reading(api) as content:
            await _entry(content)
            api.world.vms.logs.end(LinkError("link-lost"))
            last = await _entry(content)
            assert (last["stream"], last["code"]) == ("problem", "link-lost")
            assert await content.read() == b""


async def test_silence_has_a_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that both sides notice when the other is gone."""
    monkeypatch.setattr(logs, "HEARTBEAT_SECONDS", 0.01)
    async with stage.running(tmp_path) as api:
        api.world.vms.logs = FakeLogs()
        async with reading(api) as content:
            assert await content.readline() == b"\n"


async def test_readers_are_limited_and_leave(tmp_path: Path) -> None:
    """Who hangs up makes room, and his engine stops; one too many is refused."""
    async with stage.running(tmp_path) as api:
        api.world.vms.logs = FakeLogs("one")
        async with reading(api) as first:
            await _entry(first)
            api.world.vms.logs.write("two")
            async with reading(api) as second:
                await second.readline()
                await api.refused("GET", SHOP, 503, "too-many-log-readers")
        while api.world.commands.logs.readers:
            await asyncio.sleep(0.01)
        assert api.world.vms.logs.closed == 2


async def test_a_server_that_stops_ends_them_at_once(tmp_path: Path) -> None:
    """As it ends every stream."""
    async with stage.running(tmp_path) as api:
        api.world.vms.logs = FakeLogs("one")
        async with reading(api) as content:
            await _entry(content)
            api.world.services.readers.stop()
            assert (await content.read()).strip() == b""
