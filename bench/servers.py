"""``roadstead serve`` and ``roadstead lab`` as processes of their own, and a lab's pool made known to the server."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench import programs
from bench.programs import Program
from bench.stage import Stage
from roadstead.cli.api.client import Client, server_at
from roadstead.lab.orders import lab_do

POLL_SECONDS = 0.25
TELL_SECONDS = 15.0
STALLED_SECONDS = 60.0
"""How long a fleet may show no progress before every guest is live."""
IDLE_SHARE = 0.2
"""Of a core: keepalives of a thousand guests take less."""
IDLE_WINDOW_SECONDS, IDLE_LIMIT_SECONDS = 2.0, 90.0
NO_BOOT = "did not boot"
"""What a lab says of guests whose addresses are taken."""


class Garbage(msgspec.Struct):
    """What the server's collector did."""

    longest_us: int = 0
    longest_in_a_minute_us: int = 0


class Links(msgspec.Struct):
    """How many guests are live."""

    live: int = 0


class Outputs(msgspec.Struct):
    """What the server did in pools for other clients."""

    writes: int = 0


class Statistics(msgspec.Struct):
    """What we read of the statistics."""

    links: Links
    outputs: Outputs = msgspec.field(default_factory=Outputs)
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

    async def until_listed(self, stage: Stage, vms: int, containers: int) -> None:
        """Wait until so many guests are live and so many containers are listed."""
        last, since, told = (-1, -1), time.monotonic(), time.monotonic()
        while last != (vms, containers):
            await asyncio.sleep(POLL_SECONDS)
            health = await asyncio.to_thread(self.health)
            now = time.monotonic()
            if (live := (health.statistics.links.live, health.containers)) != last:
                last, since = live, now
            assert now < since + STALLED_SECONDS, f"it stays at {last[0]} of {vms} VMs and {last[1]} containers"
            if now > told + TELL_SECONDS:
                told = now
                stage.say(f"{last[0]:,} of {vms:,} VMs are live")

    async def until_idle(self, stage: Stage) -> None:
        """Wait until what follows a first listing is done: pins written to the pool, keys to the database."""
        stage.say("waiting until the server is idle")
        end = time.monotonic() + IDLE_LIMIT_SECONDS
        used, share = self.server.cpu_seconds(), 1.0
        while share > IDLE_SHARE and time.monotonic() < end:
            await asyncio.sleep(IDLE_WINDOW_SECONDS)
            now = self.server.cpu_seconds()
            used, share = now, (now - used) / IDLE_WINDOW_SECONDS


@asynccontextmanager
async def serving(stage: Stage, name: str, *lab_words: object) -> AsyncIterator[Served]:
    """A server and a lab with these options, whose pool is known when the block begins."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=stage.folder))
    words = ["lab", "--json", "--port", "0", "--hosts", "1", "--state", folder / "lab", *lab_words]
    async with programs.running(_roadstead(words), folder / "lab.log") as lab:
        ready = json.loads(lab.said)
        complaints = await asyncio.to_thread((folder / "lab.log").read_text)
        assert NO_BOOT not in complaints, f"another lab has the addresses: {complaints.splitlines()[-1]}"
        pool = {
            "url": ready["url"],
            "user": ready["user"],
            "password": await asyncio.to_thread(_first_line, Path(ready["password_file"])),
            "fingerprint": ready["fingerprint"],
            "admit": ready["admit"],
            "publish": "on",
        }
        async with watching(folder, pool) as served:
            yield served


@asynccontextmanager
async def watching(folder: Path, pool: dict[str, Any]) -> AsyncIterator[Served]:
    """A server that knows a pool when the block begins; the lab is in the same folder."""
    words = ["serve", "--json", "--no-loopback", "--state", folder / "state"]
    async with programs.running(_roadstead(words), folder / "serve.log") as server:
        served = Served(server, f"unix:{json.loads(server.said)['socket']}", folder / "lab")
        await asyncio.to_thread(served.client.post, dict[str, Any], "/pools", pool)
        yield served


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _roadstead(words: list[object]) -> list[str]:
    return [*programs.ROADSTEAD, *map(str, words)]
