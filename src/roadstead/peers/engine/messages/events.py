"""The engine's events, in one form whatever engine sent them.

Up to API 1.21 an event had ``status``, ``id`` and ``from``, up to 1.51 also ``Type``, ``Action`` and ``Actor``, from
1.52 on only these. Podman says ``remove`` where Docker says ``destroy``. Some actions carry a suffix after a colon.
"""

import json
import re

import msgspec
from msgspec import Struct, field

from roadstead.peers.engine.messages.guarded import check_depth, fitted, invalid, tolerant

ACTIONS = (
    "create",
    "start",
    "restart",
    "die",
    "stop",
    "kill",
    "pause",
    "unpause",
    "rename",
    "update",
    "destroy",
    "oom",
    "health_status",
)
"""What changes a container, in Docker's words. All else (``top``, ``exec…``, ``attach``) is caused by asking."""
_SAME = {"remove": "destroy", "died": "die"}
_KNOWN = frozenset(ACTIONS)
LATEST_NANO = 2**63
"""Engines keep times in 64 bits, with a sign."""
_ID = re.compile(r"[0-9a-f]{12,64}")
_DECODER = json.JSONDecoder()
_BETWEEN = b" \t\r\n\x1e"
"""What may stand between two values."""


class EngineEvent(Struct, frozen=True, gc=False):
    """One change of one container: which one, and when. What it is now is asked, not read here."""

    action: str
    """One of `ACTIONS`."""
    engine_id: str
    """The engine's id of the container: 64 digits, from very old engines 12."""
    time_nano: int = 0
    """The engine's clock in nanoseconds since the epoch; 0 when it did not say."""


class Flood(Struct, frozen=True, gc=False):
    """``dropped`` events were not read because there were too many: list again."""

    dropped: int


class Actor(Struct, gc=False):
    """``Actor`` of an event."""

    id: str = field(default="", name="ID")


class Wire(Struct, gc=False):
    """What is read of one event, in both forms."""

    type: str | None = field(default=None, name="Type")
    action: str | None = field(default=None, name="Action")
    actor: Actor | None = field(default=None, name="Actor")
    status: str | None = None
    id: str | None = None
    seconds: int = field(default=0, name="time")
    nano: int = field(default=0, name="timeNano")


_WIRE = msgspec.json.Decoder(Wire)


def read_event(data: bytes, json_depth: int) -> EngineEvent | None:
    """Return the event that the JSON value in ``data`` is, or None when it changes no container.

    Raises `EngineError` ``engine-answer-invalid`` when it is no JSON.
    """
    check_depth(data, json_depth)
    try:
        wire = _WIRE.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        wire = fitted(tolerant(data), Wire) or Wire()
    return _normalised(wire)


def _normalised(wire: Wire) -> EngineEvent | None:
    if (wire.type or "container") != "container":
        return None
    action = (wire.action or wire.status or "").partition(":")[0]
    action = _SAME.get(action, action)
    engine_id = (wire.actor.id if wire.actor else "") or wire.id or ""
    if action not in _KNOWN or not _ID.fullmatch(engine_id):
        return None
    at = wire.nano or wire.seconds * 10**9
    return EngineEvent(action, engine_id, at if 0 < at < LATEST_NANO else 0)


class Splitter:
    """Cuts a stream of JSON values into single ones.

    Engines end each value with a newline, which no JSON string can hold, so lines are values (in ``json-seq`` they
    begin with a record separator, RFC 7464). For one that does not,
    a JSON decoder tells where values end; it is asked again only when the rest has doubled, so that nobody can make
    us read the same bytes over and over.
    """

    __slots__ = ("_ask_at", "_limit", "_rest", "blank")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.blank = 0
        """How many lines held no value."""
        self._rest = b""
        self._ask_at = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the values that are complete now.

        Raises `EngineError` ``engine-answer-invalid`` when one is larger than the limit.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self._ask_at = 0
        said = [text for line in lines if (text := line.strip(_BETWEEN))]
        self.blank += len(lines) - len(said)
        values = [value for text in said for value in self._separated(text)]
        if self._rest.endswith(b"}") and len(self._rest) >= self._ask_at:
            values.extend(self._early())
        if len(self._rest) > self._limit or any(len(value) > self._limit for value in values):
            raise invalid("one of its events is too large")
        return values

    @staticmethod
    def _separated(line: bytes) -> list[bytes]:
        if b"}{" not in line:
            return [line]
        values, rest = _cut(line)
        return [*values, rest] if rest.strip(_BETWEEN) else values

    def _early(self) -> list[bytes]:
        values, self._rest = _cut(self._rest)
        self._ask_at = 2 * len(self._rest)
        return values


def _cut(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole values at the start of ``data``, and the rest."""
    values = []
    text, at = data.decode("utf-8", "replace"), 0
    while at < len(text):
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            break
        values.append(text[at:end].encode("utf-8", "replace"))
        at = end
        while at < len(text) and text[at] in _BETWEEN.decode():
            at += 1
    return values, (text[at:].encode("utf-8", "replace") if values else data)
