"""Logs: how they are asked for, and what comes as an answer, read line by line.

Each message of a log is a frame of its own: a line with its end, or, of a line longer than 16 KiB, a part without one.
With a container that has a terminal of its own there are no frames: the messages follow each other. A time, where it
was asked for, stands before each message and a blank after it, also before the later parts of a line.
Sources: moby's ``daemon/server/httputils/write_log_stream.go`` and ``daemon/logger/copier.go``; Podman's
``pkg/api/handlers/compat/containers_logs.go``.
"""

import codecs
import math
import re
from collections.abc import Generator, Iterator

from msgspec import Struct, field

from roadstead.errors import EngineError
from roadstead.model import LogEntry, LogStreamName, LogWish
from roadstead.peers.engine.messages.frames import PIECE_BYTES, STDERR, SYSTEM_ERROR, Frames
from roadstead.peers.engine.messages.guarded import check_depth, fitted, invalid, tolerant

FRAMED = "application/vnd.docker.multiplexed-stream"
"""The content type of an answer in frames: Docker says so from API 1.42 on, Podman nothing. That of one without frames
(``raw-stream``) is no such word: Docker 23 and newer give it to frames too where an older version is spoken.
"""
UNTIL_SINCE = (1, 35)
"""From this API version on ``until`` is heeded."""
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) ")
STAMP_BYTES = 40
"""No time is longer, with its blank."""
_decoder = codecs.getincrementaldecoder("utf-8")


class ConfigAnswer(Struct, gc=False):
    """``Config`` of an inspection."""

    has_terminal: bool | None = field(default=None, name="Tty")


class InspectAnswer(Struct, gc=False):
    """What an inspection tells of the form of logs."""

    config: ConfigAnswer = field(default_factory=ConfigAnswer, name="Config")


def query(wish: LogWish) -> str:
    """Return the parameters that ask for ``wish``."""
    asked: dict[str, str] = dict.fromkeys(wish.streams, "1")
    if wish.follow:
        asked["follow"] = "1"
    if wish.timestamps:
        asked["timestamps"] = "1"
    asked["tail"] = "all" if wish.tail is None else str(wish.tail)
    # Docker takes nothing but seconds since the epoch, and Podman 3.0 no parts of them: rather some more than too few.
    if wish.since is not None:
        asked["since"] = str(math.floor(wish.since.timestamp()))
    if wish.until is not None:
        asked["until"] = str(math.ceil(wish.until.timestamp()))
    return "&".join(f"{name}={value}" for name, value in asked.items())


def read_terminal(data: bytes, depth: int) -> bool:
    """Return whether the inspection ``data`` is of a container with a terminal of its own.

    Raises `EngineError` ``engine-answer-invalid`` when it does not tell.
    """
    check_depth(data, depth)
    said = fitted(tolerant(data), InspectAnswer)
    if said is None or said.config.has_terminal is None:
        raise invalid("its inspection does not tell whether the container has a terminal")
    return said.config.has_terminal


def unreadable(reason: str) -> EngineError:
    """Return the error for logs that the engine cannot read, and says why."""
    return EngineError("logs-unreadable", reason=reason)


class LogReader:
    """Reads the body of an answer with logs; ``is_stamped`` tells whether times were asked for, ``is_exact`` whether
    every byte was.
    """

    def __init__(self, *, is_framed: bool, is_stamped: bool, is_exact: bool = False) -> None:
        self._is_exact = is_exact
        self._frames = Frames() if is_framed else None
        self._is_stamped = is_stamped
        self._rest = b""
        """Of an answer without frames: the beginning of a line."""
        self._starts = True
        self._decoders = {"stdout": _decoder("replace"), "stderr": _decoder("replace")}

    def feed(self, data: bytes) -> Iterator[LogEntry]:
        """Yield the entries that ``data`` completes.

        Raises `EngineError`: ``engine-answer-invalid``, or ``logs-unreadable`` when the engine says in the middle that
        it cannot go on.
        """
        if self._frames is None:
            yield from self._lines(data)
            return
        for piece in self._frames.feed(data):
            if piece.stream == SYSTEM_ERROR:
                raise unreadable(piece.data.decode("utf-8", "replace").strip())
            yield from self._message("stderr" if piece.stream == STDERR else "stdout", piece.data, starts=piece.starts)

    def end(self) -> Iterator[LogEntry]:
        """Yield what remains at the end of the answer. Raises `EngineError` when that is no end."""
        if self._frames is not None and self._frames.is_within:
            raise invalid("it ends in the middle of a frame")
        rest, self._rest = self._rest, b""
        while rest:
            rest = yield from self._part(rest)

    def _lines(self, data: bytes) -> Iterator[LogEntry]:
        """Read what has no frames: whole lines, and long ones in parts."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for each in lines:
            line = each + b"\n"
            while line:
                line = yield from self._part(line)
            self._starts = True
        # What may be the time of the next part is waited for.
        while len(self._rest) >= PIECE_BYTES + 2 * STAMP_BYTES:
            self._rest = yield from self._part(self._rest)

    def _part(self, line: bytes) -> Generator[LogEntry, None, bytes]:
        """Read a line, or its first part where the time of the next one stands after it; return what is left of it."""
        if self._starts and self._is_stamped:
            stamp = _STAMP.match(line)
            end = (stamp.end() if stamp else 0) + PIECE_BYTES
            if _STAMP.match(line, end):
                yield from self._message("stdout", line[:end], starts=True)
                return line[end:]
        yield from self._message("stdout", line, starts=self._starts)
        self._starts = False
        return b""

    def _message(self, stream: LogStreamName, data: bytes, *, starts: bool) -> Iterator[LogEntry]:
        """Read one message, or a part of one: usually one line."""
        time = ""
        if starts and self._is_stamped and (stamp := _STAMP.match(data)):
            time, data = stamp[1].decode("ascii"), data[stamp.end() :]
        *lines, rest = data.split(b"\n")
        for line in lines:
            # Windows ends its lines with both, and so does every terminal.
            text = self._decoders[stream].decode(line, final=True).removesuffix("\r")
            data = line if self._is_exact and text.encode() != line else b""
            yield LogEntry(stream=stream, text=text, time=time, data=data)
        if rest:
            text = self._decoders[stream].decode(rest)
            data = rest if self._is_exact and text.encode() != rest else b""
            yield LogEntry(stream=stream, text=text, time=time, partial=True, data=data)
