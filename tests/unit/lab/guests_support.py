"""What the tests of simulated guests share: clients that the project did not write, and the recordings."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh

from roadstead.lab import guests
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.lab.guests.misbehaviour import MISBEHAVIOURS, Layer

RECORDINGS = Path(__file__).parents[2] / "data" / "engine"
KEY = asyncssh.generate_private_key("ssh-ed25519")
KEY_LINE = KEY.export_public_key().decode()


@contextlib.asynccontextmanager
async def engine_client(guest: SimulatedGuest, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Aiohttp's client on the guest's engine; paths are given as `http://engine/…`."""
    path = folder / "engine.sock"
    server = await guest.serve_unix(path)
    try:
        async with aiohttp.ClientSession("http://engine", connector=aiohttp.UnixConnector(str(path))) as session:
            yield session
    finally:
        server.close()
        guest.cut()


def connect(guest: guests.Guest, **options: Any) -> Any:
    """Asyncssh's client on the guest, with nothing of the machine's own settings."""
    chosen: dict[str, Any] = {
        "username": guest.user,
        "client_keys": [KEY],
        "known_hosts": None,
        "config": None,
        "agent_path": None,
    }
    return asyncssh.connect(guest.addresses[0], guest.port, **(chosen | options))


@dataclass
class Recording:
    """One file of `tests/data/engine`, taken apart."""

    version: dict[str, str]
    ping: dict[str, str]
    probes: dict[str, tuple[int, str]]
    lists: list[tuple[list[str], dict[str, Any]]]
    tops: list[str]
    stats_keys: list[list[str]]
    values: dict[str, str]
    streams: dict[str, tuple[str, list[dict[str, Any]]]] = field(default_factory=dict)


def recording(name: str) -> Recording:
    """Read the recording of an engine."""
    lines = (RECORDINGS / f"{name}.txt").read_text().splitlines()
    text = "\n".join(lines)
    made = Recording(
        version=ast.literal_eval(lines[1]),
        ping=_headers(ast.literal_eval(lines[2].removeprefix("ping hdr: "))[1:]),
        probes={
            path: (int(status), _body(body))
            for path, status, body in re.findall(
                r"^(/v\S+/version) HTTP/1.0 (\d+) [A-Za-z ]*?(b'.*)?$", text, re.MULTILINE
            )
        },
        lists=[
            (ast.literal_eval(keys), ast.literal_eval(fields))
            for keys, fields in re.findall(r"^/containers/json\S* \d+ms keys (\[.*\])\n +(\{.*\})$", text, re.MULTILINE)
        ],
        tops=[
            _body(body) for body in re.findall(r"^/containers/web1/top\S* HTTP/1.0 200 OK (b'.*)$", text, re.MULTILINE)
        ],
        stats_keys=[ast.literal_eval(keys) for keys in re.findall(r"^ +top keys (\[.*\])$", text, re.MULTILINE)],
        values=dict(re.findall(r"^([a-z][a-z ]+?) (\(?\d.*|HTTP.*)$", text, re.MULTILINE)),
    )
    current: list[dict[str, Any]] = []
    for line in lines:
        if line.startswith("EVENTS "):
            _, stream, head = line.split(" ", 2)
            current = []
            made.streams[stream] = (head.split("Content-Type: ")[1].split(" |")[0], current)
        elif line.startswith("   {") and made.streams:
            current.append(ast.literal_eval(line.strip()))
    return made


def _headers(lines: list[str]) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in lines)


def _body(literal: str) -> str:
    if not literal:
        return ""
    # A body that was cut for the recording lacks its closing quote.
    closed = literal if literal.endswith("'") and len(literal) > 2 else literal + "'"
    return str(ast.literal_eval(closed).decode())


def of_layers(*layers: Layer) -> list[str]:
    """The names of the misbehaviours of these layers."""
    return [name for name, trait in MISBEHAVIOURS.items() if trait.layer in layers]
