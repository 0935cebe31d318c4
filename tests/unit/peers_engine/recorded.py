"""The recordings of real engines, taken apart for the tests of the codecs."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parents[2] / "data" / "engine"
LIST = "/containers/json?all=1 "
TOP = "/containers/web1/top HTTP/1.0 200 OK "
STOPPED = "top stopped "
STATUS = re.compile(r"^(/v[0-9.]+|[a-z ]+?)(?:/version HTTP/1.0)? \(?(\d{3})\b", re.MULTILINE)
ENGINES = tuple(sorted(path.stem for path in RECORDINGS.glob("*.txt")))


@dataclass
class Recorded:
    """What the tests use of one file."""

    version: dict[str, str]
    ping: dict[str, str]
    """Headers, names in lower case."""
    entry: dict[str, Any]
    """Six fields of the one container, while it ran."""
    paused: tuple[str, str]
    """State and status while it was paused."""
    streams: dict[str, list[dict[str, Any]]]
    """``unversioned`` and ``v1.41``: the events as an engine sends them, with full ids and times."""
    refusals: list[tuple[int, bytes]]
    """Status and body of what was refused."""
    keys: frozenset[str]
    """Names of the fields of a list's entry."""
    top: bytes
    """Processes of the running container."""
    top_stopped: tuple[int, bytes]
    """Status and body of the same question when it was stopped."""
    stats_keys: frozenset[str]
    """Names of the fields of a sample that was not asked with ``one-shot``."""
    stats_stopped: tuple[int, bytes]
    """Status and body of the question for statistics when it was stopped; Docker's are cut."""
    system_cpu: tuple[int, int]
    """``system_cpu_usage`` of two samples of the running container."""
    earlier_cpu: int | None
    """The same of the earlier sample that came along with the first."""
    statuses: dict[str, str]
    """Status lines: of ``/version`` by the version in the path, of the script's steps by their name."""
    content_types: dict[str, str]
    """Of both streams of events."""


def recorded(name: str) -> Recorded:
    """Read one recording."""
    lines = (RECORDINGS / f"{name}.txt").read_text().splitlines()
    headers = ast.literal_eval(lines[2].removeprefix("ping hdr: "))[1:]
    state, status = re.search(r"^ +paused: (\S+) (.+)$", "\n".join(lines), re.MULTILINE).groups()  # type: ignore[union-attr]
    system = [int(each) for each in re.findall(r"'system_cpu_usage': (\d+)", "\n".join(lines))]
    bodies = re.findall(r"^[a-z ]+ (\(\d+, b['\"].*['\"]\))$", "\n".join(lines), re.MULTILINE)
    return Recorded(
        version=ast.literal_eval(lines[1]),
        ping={key.lower(): value for key, value in (line.split(": ", 1) for line in headers)},
        entry=next(ast.literal_eval(line.strip()) for line in lines if line.startswith("   {'Names'")),
        paused=(state, status),
        streams=_streams(lines),
        refusals=[each for each in map(ast.literal_eval, bodies) if each[0] >= 400],
        keys=frozenset(ast.literal_eval(next(line for line in lines if line.startswith(LIST)).partition(" keys ")[2])),
        top=ast.literal_eval(next(line for line in lines if line.startswith(TOP)).removeprefix(TOP)),
        top_stopped=ast.literal_eval(next(line for line in lines if line.startswith(STOPPED)).removeprefix(STOPPED)),
        stats_keys=frozenset(ast.literal_eval(_after(lines, "   top keys "))),
        stats_stopped=_stopped(_after(lines, "stats stopped HTTP/1.0 ")),
        system_cpu=(system[0], system[1]),
        earlier_cpu=ast.literal_eval(_after(lines, "   cpu ").rpartition(" pre sys ")[2]),
        statuses=dict(STATUS.findall("\n".join(lines))),
        content_types=dict(
            re.findall(r"^EVENTS (\S+) .*Content-Type: (\S+) ", "\n".join(lines), re.MULTILINE),
        ),
    )


def _after(lines: list[str], start: str) -> str:
    """What follows ``start`` in the first line that begins so."""
    return next(line for line in lines if line.startswith(start)).removeprefix(start)


def _stopped(text: str) -> tuple[int, bytes]:
    status, _, body = text.partition(" OK ")
    return int(status), ast.literal_eval(body)


def _streams(lines: list[str]) -> dict[str, list[dict[str, Any]]]:
    streams: dict[str, list[dict[str, Any]]] = {}
    current: list[dict[str, Any]] | None = None
    for line in lines:
        if line.startswith("EVENTS "):
            current = streams.setdefault(line.split()[1], [])
        elif current is not None and line.startswith("   {"):
            current.append(_restored(ast.literal_eval(line.strip()), len(current)))
    return streams


def _restored(event: dict[str, Any], number: int) -> dict[str, Any]:
    """An event in wire form again: the recordings leave out times and cut ids."""
    actor = event.get("Actor")
    if actor:
        full = event.get("id") or actor["ID"].ljust(64, "0")
        event["Actor"] = {"ID": full, "Attributes": actor["A"]}
    return {**event, "time": 1795422441, "timeNano": 1795422441_000000000 + number}


def wire(events: list[dict[str, Any]]) -> bytes:
    """The events as an engine sends them: one JSON value after the other, each with a newline."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)
