"""The engine's list of containers, as records of the inventory.

What engines of different versions leave out is worked out here: the state from the status text, the health from
either of two places, the start from a phrase such as ``Up 3 minutes``.
"""

import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct, field

from roadstead.kit import clocks, text
from roadstead.model import Container, Port, VmId, container_id
from roadstead.peers.engine.messages.guarded import check_depth, fitted, invalid, tolerant

HEALTH = ("starting", "healthy", "unhealthy")
LAST_PORT = 65535
PARTS = 1024
"""How many ports, and how many labels, are kept of one container."""
LABEL_SHARE = 16
"""The labels of one container together keep at most this many times what one text keeps."""

_ID = re.compile(r"[0-9a-f]{64}")
_EXIT = re.compile(r"(?:Exited|Restarting) \((-?\d{1,10})\)")
_UP = re.compile(r"Up (?:(About an?|Less than a|\d{1,9}) )?(second|minute|hour|day|week|month|year)s?")
_HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")
_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 7 * 86400,
    "month": 30 * 86400,
    "year": 365 * 86400,
}
_STATES = (
    ("Restarting", "restarting"),
    ("Exited", "exited"),
    ("Created", "created"),
    ("Removal", "removing"),
    ("Dead", "dead"),
)
_PODMAN_STATES = {
    "configured": "created",
    "initialized": "created",
    "stopping": "running",
    "stopped": "exited",
}


class PortEntry(Struct, gc=False):
    """One of ``Ports``."""

    private: int = field(default=0, name="PrivatePort")
    public: int = field(default=0, name="PublicPort")
    ip: str = field(default="", name="IP")
    type: str = field(default="tcp", name="Type")


class HealthEntry(Struct, gc=False):
    """``Health`` as it stands in lists from API 1.53 on."""

    status: str = field(default="", name="Status")


class Entry(Struct, gc=False):
    """What is read of one entry of ``GET /containers/json``."""

    id: str = field(default="", name="Id")
    names: list[str] | None = field(default=None, name="Names")
    image: str | None = field(default="", name="Image")
    command: str | None = field(default="", name="Command")
    created: int = field(default=0, name="Created")
    ports: list[PortEntry] | None = field(default=None, name="Ports")
    labels: dict[str, str] | None = field(default=None, name="Labels")
    state: str | None = field(default=None, name="State")
    status: str | None = field(default="", name="Status")
    health: HealthEntry | None = field(default=None, name="Health")


_ENTRIES = msgspec.json.Decoder(list[Entry])


def read_entries(data: bytes, json_depth: int) -> list[Entry]:
    """Read the body of ``GET /containers/json``; entries without an exact id are left out, the last of two wins.

    Raises `EngineError` ``engine-answer-invalid`` when it is no list.
    """
    check_depth(data, json_depth)
    try:
        entries = _ENTRIES.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        entries = list(_each(data))
    return list({entry.id: entry for entry in entries if _ID.fullmatch(entry.id)}.values())


def _each(data: bytes) -> Iterator[Entry]:
    values = tolerant(data)
    if not isinstance(values, list):
        raise invalid("it is no list of containers")
    for value in values:
        entry = fitted(value, Entry)
        if entry is not None:
            yield entry


def container(vm: VmId, entry: Entry, as_of: datetime, text_bytes: int) -> Container:
    """Return the record of ``entry``, said by the engine in ``vm`` at ``as_of``; joined fields keep their defaults."""
    status = text.cut(entry.status or "", text_bytes)
    state = _state(entry.state or "", status)
    ended = _EXIT.match(status)
    return Container(
        id=container_id(vm, entry.id),
        engine_id=entry.id,
        name=text.cut(_name(entry), text_bytes),
        vm=vm,
        image=sys.intern(text.cut(entry.image or "", text_bytes)),
        command=text.cut(entry.command or "", text_bytes),
        state=state,
        health=_health(entry, status),
        status=status,
        ports=tuple(_port(port) for port in (entry.ports or ())[:PARTS] if _is_port(port)),
        labels=_labels(entry.labels, text_bytes),
        created=clocks.at(entry.created) if entry.created > 0 else None,
        started=started(status, as_of),
        exit_code=int(ended[1]) if ended and state != "running" else None,
        restarting=state == "restarting",
        as_of=as_of,
    )


def started(status: str, as_of: datetime) -> datetime | None:
    """Return when a container began to run whose status text said ``Up …`` at ``as_of``; as coarse as that text."""
    found = _UP.match(status)
    if not found:
        return None
    count = int(found[1]) if found[1] and found[1].isdigit() else int(not (found[1] or "").startswith("Less"))
    try:
        return as_of - timedelta(seconds=count * _SECONDS[found[2]])
    except OverflowError:
        return None


def _name(entry: Entry) -> str:
    """The entry with a single slash: those with two are names under which links know the container."""
    names = entry.names or ()
    for name in names:
        if name.startswith("/") and name.count("/") == 1 and len(name) > 1:
            return name[1:]
    return names[0].rpartition("/")[2] if names and names[0].strip("/") else entry.id[:12]


def _state(said: str, status: str) -> str:
    """Docker's word; below API 1.23 it is not said, and Podman has some of its own."""
    if said:
        word = said.lower()[:32]
        return sys.intern(_PODMAN_STATES.get(word, word))
    if status.startswith("Up"):
        return "paused" if "(Paused)" in status else "running"
    return next((state for start, state in _STATES if status.startswith(start)), "")


def _health(entry: Entry, status: str) -> str:
    said = entry.health.status if entry.health else ""
    if said in HEALTH:
        return sys.intern(said)
    found = _HEALTH.search(status) if "(" in status else None
    return sys.intern(found[1]) if found else ""


def _is_port(entry: PortEntry) -> bool:
    return 0 <= entry.private <= LAST_PORT and 0 <= entry.public <= LAST_PORT


def _port(entry: PortEntry) -> Port:
    kind, ip = sys.intern(entry.type[:16]), entry.ip[:64]
    return Port(private=entry.private, type=kind, public=entry.public, ip=ip)


def _labels(labels: dict[str, str] | None, text_bytes: int) -> dict[str, str]:
    if not labels:
        return {}
    kept: dict[str, str] = {}
    room = LABEL_SHARE * text_bytes
    for key, value in labels.items():
        name, said = text.cut(key, text_bytes), text.cut(value, text_bytes)
        room -= len(name) + len(said)
        if room < 0 or len(kept) >= PARTS:
            break
        kept[name] = said
    return kept
