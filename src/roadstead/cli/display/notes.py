"""Notes below a live view: what to type elsewhere, never cut, so that it can be copied."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from roadstead.cli.display import cells

INDENT = "  "
CONTINUED = " \\"
"""What lets a shell read on in the next line."""


@dataclass(frozen=True)
class Note:
    """A sentence, or what a ``command`` does: then both stand in one line if it is long enough."""

    text: str
    command: str = ""

    def lines(self, width: int) -> list[str]:
        """Return it in lines of ``width`` cells; copied together, those of a command are still that command."""
        if not self.command:
            return _wrapped(self.text, width)
        whole = f"{INDENT}{self.command}" + (f"   # {self.text}" if self.text else "")
        if cells.width(whole) <= width:
            return [whole]
        folded = _wrapped(self.command, width - len(INDENT) - len(CONTINUED))
        ends = [CONTINUED] * (len(folded) - 1) + [""]
        above = [f"{INDENT}# {line}" for line in _wrapped(self.text, width - len(INDENT) - 2)]
        return [*above, *(f"{INDENT}{line}{end}" for line, end in zip(folded, ends, strict=True))]


def fitted(notes: Sequence[Note], width: int, room: int) -> list[str]:
    """Return the first ``notes`` that fit ``room`` lines whole, and a line that tells of the others."""
    made = [note.lines(width) for note in notes]
    for count in range(len(made), 0, -1):
        left = len(made) - count
        mark = [cells.shortened(f"… {left} more: all stand above, where this view ends", width)] if left else []
        lines = [*_joined(made[:count]), *mark]
        if len(lines) <= room:
            return lines
    return []


def _joined(made: Iterable[list[str]]) -> list[str]:
    return [line for lines in made for line in lines]


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False)
