"""What a container wrote, on a terminal or into a pipe: none of it can command the terminal."""

import re
import sys
from collections.abc import Callable, Iterator

import msgspec

from roadstead.cli.api.client import Waiting
from roadstead.cli.api.views import LogEntry
from roadstead.cli.display import output
from roadstead.errors import ServerError
from roadstead.kit.text import terminal_clean

_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
"""ECMA-48 SGR: how programs colour what they write."""


def write(waiting: Waiting, shown: Callable[[LogEntry, bytes], bytes], *, at_once: bool) -> bool:
    """Print the entries as they come, and on stderr what became of the VM meanwhile and why there are no more; return
    whether the logs were read whole.
    """
    for entry, line in _entries(waiting):
        if entry.stream == "problem":
            output.result("Error", entry.text, ok=False)
            return False
        if entry.stream == "notice":
            output.result("Note", entry.text, ok=False)
            continue
        sys.stdout.buffer.write(shown(entry, line))
        if at_once:
            sys.stdout.flush()
    return True


def as_text(entry: LogEntry, _: bytes) -> bytes:
    """Return ``entry`` with nothing that commands a terminal."""
    text = _clean(entry.text)
    if entry.stream == "stderr" and output.is_coloured():
        text = output.painted(text, output.RED)
    return _timed(entry, _encoded(text))


def as_written(entry: LogEntry, _: bytes) -> bytes:
    """Return ``entry`` as the container wrote it, byte for byte."""
    return _timed(entry, entry.data or entry.text.encode())


def as_json(_: LogEntry, line: bytes) -> bytes:
    """Return the ``line`` of an entry as the server sent it."""
    return _encoded(output.json_safe(line.decode("utf-8", "replace")))


def _timed(entry: LogEntry, text: bytes) -> bytes:
    time = _encoded(f"{_clean(entry.time)} ") if entry.time else b""
    return time + text if entry.partial else time + text + b"\n"


def _encoded(text: str) -> bytes:
    """Return ``text`` as our output is written."""
    return text.encode(sys.stdout.encoding, sys.stdout.errors or "strict")


def _entries(waiting: Waiting) -> Iterator[tuple[LogEntry, bytes]]:
    """Yield each entry with its line."""
    decoder = msgspec.json.Decoder(LogEntry)
    for line in waiting.lines():
        if line == b"\n":
            # Nothing was written for a while: that nobody reads us any more is noticed here.
            output.must_have_reader()
            continue
        try:
            entry = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise ServerError("server-answer-invalid", address=waiting.server) from error
        yield entry, line


def _clean(text: str) -> str:
    """Return ``text`` with nothing that commands a terminal; tabs are harmless, and colours usual."""
    return "\t".join(terminal_clean(part) for part in _COLOURS.sub("", text).split("\t"))
