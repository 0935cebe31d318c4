"""A terminal for a live view: the other screen to draw on, keys without Return, and everything as it was afterwards.

It is given back however the view ends: by a key, Ctrl-C, SIGTERM or a failure; and while it is suspended (Ctrl-Z).
"""

import os
import re
import signal
import sys
import termios
import threading
import tty
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from roadstead.cli.display import output

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
READ_BYTES = 1024
KEYS = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "k": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "j": "down",
    "\x1b[5~": "page-up",
    "b": "page-up",
    "\x1b[6~": "page-down",
    " ": "page-down",
    "\x1b[H": "home",
    "\x1bOH": "home",
    "\x1b[1~": "home",
    "g": "home",
    "\x1b[F": "end",
    "\x1bOF": "end",
    "\x1b[4~": "end",
    "G": "end",
    "q": "quit",
    "Q": "quit",
}
"""What terminals send for the keys that mean something here, and what those are called."""
_UNKNOWN = re.compile(r"\x1b[\[O][0-9;]*[ -~]|.", re.DOTALL)


class Screen:
    """The terminal for the length of the block. ``wake`` is called from a thread when a key was pressed."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._pressed: deque[str] = deque()
        self._attributes: list[Any] | None = None
        self._handlers: dict[int, Any] = {}

    @property
    def has_keys(self) -> bool:
        """Whether there is a keyboard."""
        return self._attributes is not None

    def pressed(self) -> list[str]:
        """Return the keys that were pressed since this was asked last."""
        return [self._pressed.popleft() for _ in range(len(self._pressed))]

    def size(self) -> tuple[int, int]:
        """Return the columns and lines to draw on: what ends a line on the screen would erase its last column."""
        columns, lines = output.size()
        return max(columns - 1, 1), lines

    def draw(self, lines: list[str]) -> None:
        """Replace the picture in one go, without a moment in which it is empty."""
        sys.stdout.write("\x1b[?2026h\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J\x1b[?2026l")
        sys.stdout.flush()

    def __enter__(self) -> Self:
        with suppress(AttributeError, OSError, ValueError, termios.error):
            # None where nobody types: no terminal, or no standard input at all.
            self._attributes = termios.tcgetattr(sys.stdin.fileno())
        for number, handler in ((signal.SIGTERM, _terminated), (signal.SIGTSTP, self._suspended)):
            self._handlers[number] = signal.signal(number, handler)
        self._take()
        if self.has_keys:
            threading.Thread(target=self._read, args=(sys.stdin.fileno(),), name="keys", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second, impatient Ctrl-C must not leave the terminal half restored.
        interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
        with suppress(OSError):
            sys.stdout.flush()
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGINT, interrupted)

    def _take(self) -> None:
        """Take the keyboard first: in the background this stops us before anything is drawn."""
        if self.has_keys:
            tty.setcbreak(sys.stdin.fileno(), termios.TCSANOW)
        _put(ENTER)

    def _give_back(self) -> None:
        with suppress(OSError, termios.error):
            # Where the terminal is gone there is nothing to restore.
            _put(LEAVE)
            if self._attributes is not None:
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSAFLUSH, self._attributes)

    def _suspended(self, number: int, _frame: FrameType | None) -> None:
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        # Here it goes on after `fg`.
        signal.signal(number, self._suspended)
        self._take()

    def _read(self, terminal: int) -> None:
        text = ""
        with suppress(OSError):
            while chunk := os.read(terminal, READ_BYTES):
                found, text = keys(text + chunk.decode("ascii", "replace"))
                self._pressed.extend(found)
                if found:
                    self._wake()


def keys(text: str) -> tuple[list[str], str]:
    """Return the names of the keys in ``text``, and what may be the beginning of one more."""
    found = []
    while text:
        known = next((sequence for sequence in KEYS if text.startswith(sequence)), None)
        if known is None and text.startswith("\x1b") and any(sequence.startswith(text) for sequence in KEYS):
            break
        if known is not None:
            found.append(KEYS[known])
        passed = _UNKNOWN.match(text)
        text = text[len(known) if known else passed.end() if passed else 1 :]
    return found, text


def _put(text: str) -> None:
    """Write past the buffer, which a signal may have found half written."""
    os.write(sys.stdout.fileno(), text.encode("ascii"))


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
