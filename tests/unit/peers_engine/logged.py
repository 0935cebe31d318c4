"""Logs as engines send them, and everything that is read of them."""

from __future__ import annotations

import json
import struct

from roadstead.model import LogEntry, LogWish
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.engine.logs import LogStream
from tests.unit.peers_engine.pretender import Pretender, entry
from tests.unit.peers_engine.scripted import answer

ID = entry(0)["Id"]
PATH = f"/containers/{ID}/logs"
MULTIPLEXED = "Content-Type: application/vnd.docker.multiplexed-stream"
RAW = "Content-Type: application/vnd.docker.raw-stream"
WISH = LogWish()


def frame(stream: int, data: bytes) -> bytes:
    """A frame of ``data``."""
    return struct.pack(">BxxxI", stream, len(data)) + data


def engine(body: bytes, *headers: str, tty: bool | None = None, newest: str = "1.51", server: str = "") -> Pretender:
    """An engine whose first container wrote ``body``; only with ``tty`` there is an inspection that tells."""
    made = Pretender(newest=newest, server=server or "Docker/28 (linux)")
    made.answers[PATH] = answer(body, 200, *headers)
    if tty is not None:
        made.answers[f"/containers/{ID}/json"] = answer(json.dumps({"Config": {"Tty": tty}}).encode())
    return made


async def begun(made: Pretender, wish: LogWish = WISH) -> tuple[EngineClient, LogStream]:
    """A client of the engine, and the logs that it was asked for."""
    client = made.client()
    await client.hello()
    return client, await client.logs(ID, wish)


async def read(stream: LogStream) -> list[LogEntry]:
    """All of them."""
    found: list[LogEntry] = []
    while not stream.is_ended:
        await stream.wait()
        found += stream.take()
    stream.close()
    return found


async def logged(made: Pretender, wish: LogWish = WISH) -> list[tuple[str, str]]:
    """Stream and text of all entries."""
    _, stream = await begun(made, wish)
    return [(each.stream, each.text) for each in await read(stream)]
