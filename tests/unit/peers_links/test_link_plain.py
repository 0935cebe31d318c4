"""An engine that lets in everybody is told from all else that may answer at that port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from roadstead.errors import LinkError
from roadstead.peers.links import dialing, plain

HERE = "127.0.0.1"
DOCKER = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nServer: Docker/28.5.2 (linux)\r\nContent-Length: 2\r\n\r\nOK"
OLD = b"HTTP/1.1 200 OK\r\nServer: Docker/1.12.6 (linux)\r\nContent-Length: 2\r\n\r\nOK"
PODMAN = b"HTTP/1.1 200 OK\r\nLibpod-Api-Version: 5.4.0\r\nServer: Libpod/5.4.0 (linux)\r\n\r\nOK"
WEB = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 2\r\n\r\nOK"


@asynccontextmanager
async def listening(answer: bytes, *, stays: bool = False) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers whatever it is asked so; the port, and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if stays:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, HERE, 0)
    yield server.sockets[0].getsockname()[1], asked
    server.close()


@pytest.mark.parametrize("answer", [DOCKER, OLD, PODMAN], ids=["docker", "docker-1.12", "podman"])
async def test_an_open_engine_is_found(answer: bytes) -> None:
    """By what it says of itself, also when it does not hang up; it is asked for nothing but its ping."""
    async with listening(answer, stays=True) as (port, asked):
        error = await plain.look(HERE, port, 0.3)

    assert error is not None
    assert (error.code, error.fields) == ("plain-http-engine", {"addresses": HERE, "port": str(port)})
    assert len(asked) == 1
    assert asked[0].startswith(b"GET /_ping HTTP/1.1\r\n")


@pytest.mark.parametrize("answer", [WEB, b"SSH-2.0-x\r\nserver: docker/1\r\n", b"", b"x" * 2**16])
async def test_anything_else_is_none(answer: bytes) -> None:
    """Another web server, another protocol, one that says nothing, one that says too much."""
    async with listening(answer) as (port, _):
        assert await plain.look(HERE, port, 2.0) is None


async def test_a_closed_port_is_none() -> None:
    """That is how it should be."""
    with socket.socket() as unused:
        unused.bind((HERE, 0))
        assert await plain.look(HERE, unused.getsockname()[1], 2.0) is None


async def test_a_route_is_asked_for_and_nothing_sent() -> None:
    """The address from which one would be called; without a route that is an error."""
    assert dialing.route(HERE) == HERE
    with pytest.raises(LinkError) as caught:
        dialing.route("255.255.255.255")
    assert caught.value.code == "unreachable"
