"""``roadstead serve`` and ``roadstead lab`` as processes of their own, and a lab's pool made known to the server."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench import programs
from bench.programs import Program
from bench.stage import Stage
from roadstead.cli.client import Client, server_at
from roadstead.lab.main import lab_do

POLL_SECONDS = 0.25
LISTED_SECONDS = 600.0
"""How long a fleet may take until every guest is live."""


class Garbage(msgspec.Struct):
    """What the server's collector did."""

    longest_us: int = 0
    longest_in_a_minute_us: int = 0


class Links(msgspec.Struct):
    """How many guests are live."""

    live: int = 0


class Statistics(msgspec.Struct):
    """What we read of the statistics."""

    links: Links
    garbage: Garbage = msgspec.field(default_factory=Garbage)


class Health(msgspec.Struct):
    """What we read of the server's health."""

    number: int
    containers: int
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class Served:
    """A server that watches one lab pool."""

    server: Program
    address: str
    """For ``--server``."""
    lab_state: Path

    @property
    def client(self) -> Client:
        """A client of its API; its calls block."""
        return Client(server_at(self.address))

    @property
    def socket(self) -> str:
        """The path of its local socket."""
        return self.address.removeprefix("unix:")

    def health(self) -> Health:
        """Ask for its health."""
        return self.client.get(Health, "/health")

    async def order(self, verb: str, vm: str = "", value: str | None = None) -> dict[str, Any]:
        """Have the lab do something."""
        return await lab_do(self.lab_state, verb, vm, value)

    async def until(self, condition: Callable[[Health], bool], seconds: float = LISTED_SECONDS) -> None:
        """Wait until its health is such."""
        async with asyncio.timeout(seconds):
            while not condition(await asyncio.to_thread(self.health)):
                await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def serving(stage: Stage, name: str, *lab_words: object) -> AsyncIterator[Served]:
    """A server and a lab with these options, whose pool is known when the block begins."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=stage.folder))
    words = ["lab", "--json", "--port", "0", "--hosts", "1", "--state", folder / "lab", *lab_words]
    serve = ["serve", "--json", "--no-loopback", "--state", folder / "state"]
    async with programs.running(_roadstead(words), folder / "lab.log") as lab:
        ready = json.loads(lab.said)
        async with programs.running(_roadstead(serve), folder / "serve.log") as server:
            served = Served(server, f"unix:{json.loads(server.said)['socket']}", folder / "lab")
            pool = {
                "url": ready["url"],
                "user": ready["user"],
                "password": await asyncio.to_thread(_first_line, Path(ready["password_file"])),
                "fingerprint": ready["fingerprint"],
                "admit": ready["admit"],
            }
            await asyncio.to_thread(served.client.post, dict[str, Any], "/pools", pool)
            yield served


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _roadstead(words: list[object]) -> list[str]:
    return [*programs.ROADSTEAD, *map(str, words)]
