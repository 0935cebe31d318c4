"""An engine of any version that answers as it is told: what the client asks of it can be looked at."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from roadstead.kit.gates import Budget
from roadstead.model import VmId
from roadstead.peers.engine.client import EngineClient
from roadstead.settings.schema import EngineSettings
from tests.unit.peers_engine.scripted import End, Piece, ScriptedLink, answer

SETTINGS = EngineSettings(answer_bytes=2**16, containers=64)


class Pretender:
    """An engine of some version with some containers; counts what it was asked."""

    def __init__(self, *, newest: str = "1.51", oldest: str = "1.24", server: str = "Docker/28 (linux)") -> None:
        self.newest = newest
        self.oldest = oldest
        self.server = server
        self.entries: list[dict[str, Any]] = [entry(number) for number in range(3)]
        self.health: dict[str, str] = {}
        """What containers, by id, are found to be when they are filtered by it."""
        self.answers: dict[str, bytes] = {}
        self.unframed: set[str] = set()
        """Paths after whose answers the connection ends."""
        self.silent: set[str] = set()
        self.delays: dict[str, float] = {}
        self.asked: list[str] = []
        self.link = ScriptedLink(self._script)

    def client(self, settings: EngineSettings = SETTINGS, budget: Budget | None = None) -> EngineClient:
        return EngineClient(self.link, VmId("vm-1"), settings, budget or Budget(2**24, 2**23))

    def _script(self, number: int, data: bytes) -> Sequence[Piece]:
        said: list[Piece] = []
        for each in data.decode().removesuffix("\r\n\r\n").split("\r\n\r\n"):
            answers = self._answers_to(number, each)
            if not answers:
                break  # whoever asks behind it waits for it
            said += answers
        return said

    def _answers_to(self, number: int, text: str) -> Sequence[Piece]:
        method, target = text.split()[:2]
        self.asked.append(f"{method} {target}")
        path = re.sub(r"^/v[0-9.]+", "", urlsplit(target).path)
        if path in self.silent:
            return []
        if path in self.delays:
            stream = self.link.streams[number]
            asyncio.get_running_loop().call_later(self.delays[path], stream.say, self.answers[path])
            return []
        if path in self.answers:
            ends = [End()] if path in self.unframed else []
            return [self.answers[path], *ends]
        query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
        return [self._answer(path, query)]

    def _answer(self, path: str, query: dict[str, str]) -> bytes:
        if path == "/_ping":
            date = "Date: Mon, 23 Nov 2026 08:27:21 GMT"
            return answer(b"OK", 200, f"Api-Version: {self.newest}", f"Server: {self.server}", date)
        if path == "/version":
            said = {"Version": "28", "ApiVersion": self.newest, "MinAPIVersion": self.oldest}
            return answer(json.dumps(said).encode())
        if path == "/info":
            return answer(json.dumps({"Containers": len(self.entries), "OperatingSystem": "Debian"}).encode())
        if path.startswith("/containers/") and path.count("/") > 2:
            return answer(b"{}")
        filters = json.loads(query.get("filters", "{}"))
        wanted, health = filters.get("id"), filters.get("health")
        chosen = [
            entry
            for entry in self.entries
            if (not wanted or entry["Id"] in wanted) and (not health or self.health.get(entry["Id"]) in health)
        ]
        return answer(json.dumps(chosen[: int(query.get("limit", "1000000"))]).encode())


def entry(number: int, **more: Any) -> dict[str, Any]:
    """One container of a list."""
    return {"Id": f"{number:064x}", "Names": [f"/web{number}"], "State": "running", **more}
