"""Listening and stopping."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roadstead.errors import StartError
from roadstead.serve import server
from roadstead.serve.app import build
from roadstead.serve.server import Listen, serve_api
from tests.unit.serve import stage


async def test_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    """The folder is made closed to others, the socket too."""
    async with stage.running(tmp_path) as api:
        assert stat.S_IMODE(api.listening.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(api.listening.socket.parent.stat().st_mode) == 0o700


async def test_socket_goes_with_its_server(tmp_path: Path) -> None:
    """Nothing is left where a server listened, and another can listen there."""
    for _ in range(2):
        async with stage.running(tmp_path) as api:
            assert await api.get("/health")
        assert not api.listening.socket.exists()


async def test_dead_socket_is_replaced(tmp_path: Path) -> None:
    """The socket that a killed server left stands in nobody's way."""
    path = tmp_path / "run" / "s.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with stage.running(tmp_path) as api:
        assert await api.get("/health")


async def test_living_socket_is_left_alone(tmp_path: Path) -> None:
    """A second server on the same socket is refused, and the first one goes on."""
    async with stage.running(tmp_path) as api:
        with pytest.raises(StartError) as caught:
            await serve_api(build(stage.World(()).services), Listen(api.listening.socket))
        assert (caught.value.code, caught.value.fields["path"]) == ("socket-taken", str(api.listening.socket))
        assert await api.get("/health")


async def test_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    """What is no socket is never removed."""
    path = tmp_path / "s.sock"
    path.write_text("precious")
    with pytest.raises(StartError) as caught:
        await serve_api(build(stage.World(()).services), Listen(path))
    assert caught.value.code == "socket-unusable"
    assert path.read_text() == "precious"


async def test_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    """A socket's path has a limit, and the error says so."""
    path = tmp_path / ("x" * 60) / ("y" * 60)
    with pytest.raises(StartError, match="cannot be used"):
        await serve_api(build(stage.World(()).services), Listen(path))


async def test_taken_port_is_named(tmp_path: Path) -> None:
    """A port that somebody else listens on is refused, and nothing is left behind."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        path = tmp_path / "s.sock"
        with pytest.raises(StartError) as caught:
            await serve_api(build(stage.World(()).services), Listen(path, port))
    assert (caught.value.code, caught.value.fields["address"]) == ("port-taken", f"127.0.0.1:{port}")
    assert not path.exists()


async def test_only_loopback_is_listened_on(tmp_path: Path) -> None:
    """The port is open on 127.0.0.1, and without a port nothing is."""
    async with stage.running(tmp_path, port=0) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.listening.port)
        writer.close()
        del reader
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.2", api.listening.port)
    async with stage.running(tmp_path) as api:
        assert api.listening.port is None


async def test_answers_under_way_are_finished(tmp_path: Path) -> None:
    """A server that stops finishes what it has begun."""
    async with stage.running(tmp_path) as api, waiting_for_operation(api) as reader:
        api.server.cancel()
        await asyncio.sleep(0)
        assert api.world.vms.stuck is not None
        api.world.vms.stuck.set()
        assert b'"state":"done"' in await reader.read()


async def test_answers_that_take_too_long_are_cut(tmp_path: Path) -> None:
    """Nothing keeps a stopping server for longer than its limit, and who waited is told."""
    listen = Listen(tmp_path / "s.sock", shutdown_seconds=0.05)
    async with stage.serving(stage.World(stage.FEW), listen) as api, waiting_for_operation(api) as reader:
        api.server.cancel()
        assert b"shutting-down" in await reader.read()


@asynccontextmanager
async def waiting_for_operation(api: stage.Stage) -> AsyncIterator[asyncio.StreamReader]:
    """Hold a request that waits for an operation that does not end by itself."""
    api.world.vms.stuck = asyncio.Event()
    target = "vm-1/" + "aaaa".ljust(64, "0")
    begun = await api.ask("POST", "/operations", status=202, json={"action": "stop", "targets": [target]})
    async with connected(api) as (reader, writer):
        writer.write(f"GET /api/v1/operations/{begun['id']}?wait=30 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await api.get("/health")
        yield reader


@asynccontextmanager
async def connected(api: stage.Stage) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection."""
    reader, writer = await asyncio.open_unix_connection(str(api.listening.socket))
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_endless_head_is_cut(tmp_path: Path) -> None:
    """A head over its limit ends the connection before it fills the memory."""
    async with stage.running(tmp_path) as api, connected(api) as (_, writer):
        writer.write(b"GET /api/v1/health HTTP/1.1\r\nX: ")
        with pytest.raises(ConnectionError):
            await endlessly(writer)
        assert await api.get("/health")


async def endlessly(writer: asyncio.StreamWriter) -> None:
    """Write until the far end has had enough."""
    while True:
        writer.write(b"x" * 4096)
        await writer.drain()


@pytest.mark.parametrize("sent", [b"", b"GET /api/v1/hea", b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\nGET /"])
async def test_head_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """A connection that says nothing, or only the beginning of a request, is closed; what was whole is answered."""
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.05)
    async with stage.running(tmp_path) as api, connected(api) as (reader, writer):
        writer.write(sent)
        assert (b" 200 " in await reader.read()) == (b"Host" in sent)


async def test_requests_may_follow_each_other_on_one_connection(tmp_path: Path) -> None:
    """A connection is kept, requests sent in one go are answered in order."""
    async with stage.running(tmp_path) as api:
        reader, writer = await asyncio.open_unix_connection(str(api.listening.socket))
        writer.write(b"GET /api/v1/hosts HTTP/1.1\r\nHost: x\r\n\r\nGET /api/v1/nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n")
        assert b" 404 " in await reader.readuntil(b"no-such-page")
        writer.close()
