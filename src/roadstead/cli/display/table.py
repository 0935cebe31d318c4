"""Tables of text, aligned by cells: 20,000 rows in a tenth of a second, where Rich needs eight.

A terminal gets rows that fit: columns are shortened, the less important ones first, and those that still find no room
are left out, which an ellipsis at the heading's end tells. What is copied or looked up (codes, ids, fingerprints,
times) is never shortened; where it is what a table is about and finds no room, each row becomes a block of lines.
A pipe gets every value whole; only the padding is bounded, so that one long value does not make all rows long.
"""

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from roadstead.cli.display import cells

GAP = "  "
NOTHING = {"", "-"}
"""What stands where there is no value."""
PADDING_CELLS = 128
"""The widest that a column of a table without a width is padded to: host names fit, and images
with a digest. In the row of a value that is longer, the columns after it stand further right."""
FAIR_CELLS = (20, 12)
"""To each of these in turn every column is shortened before any is shortened further."""
LEAST_CELLS = 8
"""How narrow a column may become before some are left out instead."""
NAME_CELLS = 16
"""The same of one with names that are typed."""
WHOLE_CELLS = 80
"""The most that a value is long that is never shortened: a fingerprint with its type fits."""
INDENT = "  "
"""Before the lines of a block."""


@dataclass
class Column:
    """One column: its ``title``, a value for each row, the least width it keeps, and how a shown cell is painted.

    Where there is too little room, columns of a high ``rank`` give way first. Those that are ``whole`` are not
    shortened, and those of them that have no rank stay whatever happens.
    """

    title: str
    values: list[str]
    least: int = LEAST_CELLS
    rank: int = 0
    paint: Callable[[str], str] | None = None
    whole: bool = False
    plain: bool = field(init=False, default=True)
    """Whether every value is of ASCII, and so as wide as it is long."""
    widest: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.values, self.plain = cells.cleaned(self.values)
        measure = len if self.plain else cells.width
        self.widest = max(cells.width(self.title), max(map(measure, self.values), default=0))
        if self.whole:
            self.least = min(self.widest, WHOLE_CELLS)


def lines(columns: list[Column], room: int | None) -> Iterator[str]:
    """Yield the heading and the rows, in at most ``room`` cells, or (None) with every value whole."""
    if room is None:
        widths = {at: min(column.widest, PADDING_CELLS) for at, column in enumerate(columns)}
    else:
        widths = fitted([Size(column.widest, column.least, column.rank) for column in columns], room)
        if any(each.whole and not each.rank and widths.get(at, 0) < each.least for at, each in enumerate(columns)):
            yield from _blocks(columns, room)
            return
    cut = room is not None
    shown = [(columns[at], width) for at, width in sorted(widths.items())]
    titles = [cells.padded(column.title[:width] if cut else column.title, width) for column, width in shown]
    yield GAP.join(titles if len(shown) == len(columns) else [*titles, cells.ELLIPSIS]).rstrip()
    formed = [_formed(column, width, cut=cut) for column, width in shown]
    # One formatting for a row is twice as fast as padding each cell and joining them.
    form = GAP.join(conversion for conversion, _ in formed)
    yield from map(str.rstrip, map(form.__mod__, zip(*(values for _, values in formed), strict=True)))


def _blocks(columns: list[Column], room: int) -> Iterator[str]:
    """Yield a block for each row: what it is called, then the other values that say something, below each other."""
    titles = max(len(column.title) for column in columns)
    for row in zip(*(column.values for column in columns), strict=True):
        yield cells.shortened(row[0], room)
        for column, value in zip(columns[1:], row[1:], strict=True):
            if value not in NOTHING:
                yield from _fact(f"{INDENT}{column.title:<{titles}}{GAP}", value, room)


def _fact(begin: str, value: str, room: int) -> Iterator[str]:
    """Yield a value of a block beside its title or, where it does not fit, below it; no word of it is broken."""
    if len(begin) + cells.width(value) <= room:
        yield begin + value
        return
    yield begin.rstrip()
    width = max(room - len(INDENT) * 2, 1)
    for part in textwrap.wrap(value, width, break_long_words=False, break_on_hyphens=False):
        yield INDENT * 2 + part


class Size(NamedTuple):
    """What a column needs: its natural width, the least that it keeps, and its rank."""

    widest: int
    least: int = LEAST_CELLS
    rank: int = 0


def fitted(sizes: list[Size], room: int) -> dict[int, int]:
    """Return the widths of the columns that find room, by their place.

    All are shortened to `FAIR_CELLS`, then to the least of each; then some are left out, and there is room for a mark
    that says so. Those of the highest rank come first, of one rank the right ones.
    """
    order = sorted(range(len(sizes)), key=lambda at: (-sizes[at].rank, -at))
    mark = 0
    while True:
        chosen = {at: sizes[at].widest for at in order}
        excess = sum(chosen.values()) + len(GAP) * (len(chosen) - 1) + mark - room
        for floor in (*FAIR_CELLS, 0):
            excess = _shrunk(chosen, {at: max(floor, sizes[at].least) for at in order}, excess)
        if excess <= 0:
            return chosen
        if len(chosen) == 1:
            return dict.fromkeys(chosen, max(room - mark, 1))
        order, mark = order[1:], len(GAP) + len(cells.ELLIPSIS)


def _shrunk(chosen: dict[int, int], floors: dict[int, int], excess: int) -> int:
    for at, width in chosen.items():
        given = min(max(excess, 0), max(width - floors[at], 0))
        chosen[at] -= given
        excess -= given
    return excess


def _formed(column: Column, room: int, *, cut: bool) -> tuple[str, list[str]]:
    """Return the values as they are shown, and the conversion that pads each to ``room`` cells."""
    values = column.values
    if cut and column.widest > room:
        values = [cells.shortened(value, room) for value in values]
    if column.paint is not None:
        paint = column.paint
        return "%s", [paint(value) + " " * (room - cells.width(value)) for value in values]
    if column.plain:
        return f"%-{room}s", values
    return "%s", [cells.padded(value, room) for value in values]
