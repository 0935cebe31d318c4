"""Where the command line writes: whether that is a terminal, how wide it is, and what colours mean there."""

import os
import re
import select
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from roadstead.kit.text import terminal_clean

RED, GREEN, YELLOW, BLUE, DIM, BOLD = "31", "32", "33", "34", "2", "1"
_HIDDEN = re.compile(
    "[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_STATES = {
    "running": GREEN,
    "live": GREEN,
    "paused": YELLOW,
    "restarting": YELLOW,
    "removing": YELLOW,
    "connecting": YELLOW,
    "created": BLUE,
    "dead": RED,
    "broken": RED,
    "exited": DIM,
    "off": DIM,
    "unmanaged": DIM,
}


def prepare() -> None:
    """Make the streams of this process fit to be written to, whoever started it and how."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Whoever started us closed it: nobody reads.
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it stays open to the end
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a question mark, not a stack trace.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def is_terminal() -> bool:
    """Whether a person looks at what we print."""
    return sys.stdout.isatty()


def is_asked() -> bool:
    """Whether somebody is there who can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def is_coloured() -> bool:
    """Whether colours are wanted: on a terminal that has them, unless ``NO_COLOR`` is set (no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def room() -> int | None:
    """Return the width of the terminal in cells; None when the output is piped and no line has to fit."""
    if not is_terminal():
        return None
    return size()[0]


def size() -> tuple[int, int]:
    """Return columns and lines of the terminal; 80 and 24 when it does not say."""
    try:
        found = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return 80, 24
    return found.columns or 80, found.lines or 24


def painted(text: str, colour: str) -> str:
    """Return ``text`` in ``colour``, which it leaves at its end."""
    return f"\x1b[{colour}m{text}\x1b[0m" if text and colour else text


def state_painter() -> Callable[[str], str] | None:
    """Return what paints the name of a state; None where there are no colours."""
    return paint_state if is_coloured() else None


def paint_state(text: str) -> str:
    """Return the name of a state in its colour; whatever is unknown is yellow, as nobody can vouch for it."""
    if text.startswith("unknown"):
        return painted(text, YELLOW)
    return painted(text, _STATES.get(text.split(" ", 1)[0], ""))


def bold(text: str) -> str:
    """Return ``text`` in bold where there are colours."""
    return painted(text, BOLD) if is_coloured() else text


def write(lines: Iterable[str]) -> None:
    """Print ``lines`` at once."""
    text = "\n".join(lines)
    if text:
        sys.stdout.write(text + "\n")


def must_have_reader() -> None:
    """Raise `BrokenPipeError` when nobody reads our output any more: who only waits would not learn it by writing."""
    watched = select.poll()
    # Of errors and the end of the other side poll(2) tells unasked.
    watched.register(sys.stdout.fileno(), 0)
    if watched.poll(0):
        raise BrokenPipeError


def result(name: str, text: str, *, ok: bool | None = None) -> None:
    """Print at once what became of the thing called ``name``, naming it once: on stderr when it failed."""
    line = terminal_clean(text if text.startswith(f"{name} ") else f"{name}: {text}")
    if ok is False:
        sys.stdout.flush()
        print(line, file=sys.stderr, flush=True)
    else:
        print(line, flush=True)


def json_safe(text: str) -> str:
    """Return JSON ``text`` with everything escaped that would command a terminal; it remains the same JSON."""
    if text.isascii() and "\x7f" not in text:
        return text
    return _HIDDEN.sub(lambda match: _escaped(match.group()), text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def write_json(encoded: bytes) -> None:
    """Print JSON: indented for people, as it came for programs."""
    if is_terminal():
        import msgspec

        encoded = msgspec.json.format(encoded, indent=2)
    sys.stdout.write(json_safe(encoded.decode("utf-8", "replace")) + "\n")
