"""What the tests of the lab's pool share: a small JSON-RPC client, and guests that are easy to look into."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from roadstead.lab.pool.server import LabPool

RECORDING = Path(__file__).parents[2] / "data" / "xapi" / "real-xapi-26.17.jsonl"
"""What a real XAPI answered; see the README beside it."""


def recorded_shapes() -> dict[str, dict[str, str]]:
    """The fields of the recorded pool's classes, each with the name of its type; a session's by ``session record``."""
    checks = map(json.loads, RECORDING.read_text(encoding="utf-8").splitlines())
    shapes = {check["name"]: check["res"] for check in checks if "shape" in check["name"].split()}
    return {name.replace("shape", "").strip(): fields for name, fields in shapes.items() if fields is not None}


class Refusal(Exception):
    """An XAPI error: code and parameters."""

    def __init__(self, code: str, *params: str) -> None:
        super().__init__(code, *params)
        self.reason = [code, *params]


class Client:
    """JSON-RPC 2.0 to one host, with a session once it is signed in."""

    def __init__(self, web: aiohttp.ClientSession, url: str) -> None:
        self.web = web
        self.url = url
        self.session = ""
        self._numbers = itertools.count(1)

    async def bare(self, method: str, *params: object) -> Any:
        """A call without the session."""
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": next(self._numbers)}
        async with self.web.post(f"{self.url}/jsonrpc", json=request, ssl=False) as answer:
            told = await answer.json(content_type=None)
        if "error" in told:
            raise Refusal(told["error"]["message"], *told["error"]["data"])
        return told["result"]

    async def call(self, method: str, *params: object) -> Any:
        """A call with the session."""
        return await self.bare(method, self.session, *params)

    async def sign_in(self, pool: LabPool, user: str = "root", originator: str = "test") -> None:
        """Open a session."""
        self.session = await self.bare("session.login_with_password", user, pool.password, "1.0", originator)

    async def events(self, classes: list[str], token: str = "", timeout: float = 0.0) -> Any:
        """One `event.from`."""
        return await self.call("event.from", classes, token, timeout)

    async def refused(self, method: str, *params: object) -> list[str]:
        """The error of a call that must fail."""
        try:
            result = await self.call(method, *params)
        except Refusal as refusal:
            return refusal.reason
        raise AssertionError(f"{method} worked: {result}")


@asynccontextmanager
async def signed_in(pool: LabPool, user: str = "root", host: int | None = None) -> AsyncIterator[Client]:
    """A client of the pool's master, signed in; of another host, without a session."""
    async with aiohttp.ClientSession() as web:
        client = Client(web, pool.url if host is None else pool.urls[host - 1])
        if host is None:
            await client.sign_in(pool, user)
        yield client


@dataclass
class PlainGuest:
    """A guest that only remembers what was done to it."""

    name: str
    addresses: tuple[str, ...]
    port: int = 2222
    user: str = "core"
    door: tuple[str, ...] = ()
    tls = None
    done: list[str] = field(default_factory=list)

    async def start(self) -> None:
        self.done.append("start")

    async def stop(self) -> None:
        self.done.append("stop")

    async def destroy(self) -> None:
        self.done.append("destroy")

    async def new_host_key(self) -> None:
        self.done.append("new_host_key")

    async def pin(self) -> str:
        return "AAAA"

    async def admit(self, public_key: str) -> None:
        self.done.append(f"admit {public_key}")

    async def make_raw(self, password: str) -> None:
        self.done.append("make_raw")

    async def truth(self) -> list[dict[str, object]]:
        return [{"id": "0" * 64, "name": self.name, "state": "running"}]


@dataclass
class PlainGuests:
    """Makes plain guests, and remembers whom they were told to let in."""

    made: dict[int, PlainGuest] = field(default_factory=dict)
    authorized: list[tuple[str, ...]] = field(default_factory=list)
    rate: float = 0.0
    port: int = 2222
    is_closed: bool = False
    broken: frozenset[int] = frozenset()
    """The numbers of guests that do not boot."""

    async def networks(self) -> tuple[str, ...]:
        return ("10.9.0.0/16",)

    async def make(self, name: str, number: int, containers: int) -> PlainGuest:
        if number in self.broken:
            raise OSError("no such machine")
        self.made[number] = PlainGuest(name, (f"10.9.0.{number}", f"fd00::{number}"), self.port)
        return self.made[number]

    async def authorize(self, public_keys: tuple[str, ...]) -> None:
        self.authorized.append(public_keys)

    async def set_rate(self, events_per_second: float) -> None:
        self.rate = events_per_second

    async def close(self) -> None:
        self.is_closed = True
