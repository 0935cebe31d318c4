"""Logs: what a container wrote, entry by entry, and which part of it somebody wants to read."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

LogStreamName = Literal["stdout", "stderr"]
STREAMS: tuple[LogStreamName, ...] = ("stdout", "stderr")


class LogWish(Struct, frozen=True, kw_only=True):
    """Which part of a container's logs is wanted."""

    streams: tuple[LogStreamName, ...] = STREAMS
    tail: int | None = None
    """How many of the last lines; None means all."""
    since: datetime | None = None
    until: datetime | None = None
    timestamps: bool = False
    follow: bool = False
    """Whether to go on with what the container writes from now on, until it ends."""
    exact: bool = False
    """Whether to tell every byte of it."""


class LogEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A line that a container wrote, or a part of a long one; or a word of ours: a ``notice`` that the VM was lost and
    reading will go on, or does so again; a ``problem``, the last entry, why there are no more.
    """

    stream: Literal["stdout", "stderr", "notice", "problem"]
    """Where it wrote it; all that one with a terminal of its own writes is ``stdout``."""
    text: str
    """Untrusted, without the end of the line."""
    data: bytes = b""
    """The same byte for byte, but for the line feed at its end: where that was asked for and ``text`` differs, as of
    what is no UTF-8, and of a carriage return before the end.
    """
    time: str = ""
    """When, as the engine says it (RFC 3339); empty unless that was asked for."""
    partial: bool = False
    """Whether the line goes on in the next entry of this stream."""
    code: str = ""
    """Of a ``problem``: the code of the error that ``text`` tells; of a ``notice``, of that which there was."""
