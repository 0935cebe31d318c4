"""The link to a socket on this machine: what stands in the way is told by name."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roadstead.errors import EngineError, LinkError
from roadstead.kit.streams import Link
from roadstead.peers.links.unix import open_unix
from tests.contract.links_contract import Sink


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    """A socket whose owner sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            writer.write(data)
        writer.close()

    server = await asyncio.start_unix_server(echo, tmp_path / "engine.sock")
    yield tmp_path / "engine.sock"
    server.close()


async def test_a_stream_carries_bytes_both_ways(path: Path) -> None:
    """And each stream has its own."""
    link: Link = await open_unix(str(path))
    sinks = [Sink(), Sink()]
    for number, sink in enumerate(sinks):
        (await link.open(sink)).write(b"hello %d" % number)
    for number, sink in enumerate(sinks):
        await sink.wait_for(b"hello %d" % number)

    assert (link.address, link.relay) == (str(path), "unix")
    link.close()
    for sink in sinks:
        await sink.wait_until_ended()


async def test_a_paused_stream_waits(path: Path) -> None:
    """Nothing arrives until reading is resumed; what was sent meanwhile is not lost."""
    link = await open_unix(str(path))
    sink = Sink()
    stream = await link.open(sink)
    stream.pause_reading()
    stream.write(b"held")
    other = Sink()
    (await link.open(other)).write(b"marker")
    await other.wait_for(b"marker")
    assert sink.data == b""
    stream.resume_reading()

    await sink.wait_for(b"held")
    link.close()


async def test_no_socket_is_told(tmp_path: Path) -> None:
    """Neither where nothing is, nor below a file."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing.sock", tmp_path / "file" / "x.sock"):
        with pytest.raises(EngineError) as caught:
            await open_unix(str(path))
        assert caught.value.code == "no-engine-socket"
        assert caught.value.fields["socket"] == str(path)


async def test_a_socket_that_nobody_serves_is_told(tmp_path: Path) -> None:
    """A socket whose owner died, and a file that is no socket."""
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead.sock"))
    dead.close()
    (tmp_path / "file").touch()
    for path in (tmp_path / "dead.sock", tmp_path / "file"):
        with pytest.raises(EngineError) as caught:
            await open_unix(str(path))
        assert caught.value.code == "engine-down"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_a_socket_of_somebody_else_is_told(path: Path) -> None:
    """The user is named, because the remedy is about it."""
    path.parent.chmod(0o711)
    path.chmod(0o600)
    os.seteuid(65534)
    try:
        with pytest.raises(EngineError) as caught:
            await open_unix(str(path))
    finally:
        os.seteuid(0)
    assert caught.value.code == "engine-socket-denied"
    assert caught.value.fields["user"]


async def test_a_closed_link_opens_no_more(path: Path) -> None:
    """Its end is the end."""
    link = await open_unix(str(path))
    link.close()

    with pytest.raises(LinkError) as caught:
        await link.open(Sink())
    assert caught.value.code == "link-lost"
