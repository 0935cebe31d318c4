"""`ps --watch`: the list as it is, redrawn when something changes; piped, the list, then a line for each change."""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from roadstead.cli.api import client
from roadstead.cli.api.views import Container
from roadstead.cli.display import cells, empty, happenings, live, output, rows, table, words
from roadstead.cli.display.notes import Note, fitted
from roadstead.cli.display.screen import Screen
from roadstead.cli.display.silence import Silent
from roadstead.errors import ServerError
from roadstead.kit.text import terminal_clean

REDRAWN_SECONDS = 1.0
"""Ages are drawn again after this time when nothing changes."""
LEAST_ROWS = 4
"""Notes that would leave fewer lines to the list are not all shown."""
NAMED = 3
"""How many silent VMs are named."""
REASON_SECONDS = 5.0
"""How often it is asked why there are no rows."""
PAUSE_SECONDS = 0.1
"""A change is drawn at once, but so soon after the last one only together with what comes meanwhile."""


@dataclass(frozen=True)
class View:
    """What is shown: which containers, in which order, how widely, and the ``notes`` that stand below them."""

    query: str | None = None
    sort: str = "vm_name,name"
    wide: bool = False
    notes: tuple[Note, ...] = ()


@dataclass
class Place:
    """Which part of a list that does not fit is shown."""

    top: int = 0
    """The first row that is shown."""
    page: int = 1
    """How many rows were shown last."""
    has_keys: bool = False

    def moved(self, pressed: Sequence[str]) -> Sequence[str]:
        """Go where the keys ``pressed`` say, and return them."""
        for key in pressed:
            steps = {"up": -1, "down": 1, "page-up": -self.page, "page-down": self.page, "home": -self.top}
            # The end is found when it is known how many rows there are.
            self.top = sys.maxsize if key == "end" else max(self.top + steps.get(key, 0), 0)
        return pressed

    def part(self, every: list[Container], room: int) -> list[Container]:
        """Return those of ``every`` that are shown on ``room`` lines; one of them tells of the others."""
        self.page = len(every) if len(every) <= room else max(room - 1, 1)
        self.top = max(min(self.top, len(every) - self.page), 0)
        return every[self.top : self.top + self.page]

    def rest(self, total: int, width: int) -> list[str]:
        """Return the line that tells what is not shown; none when everything is."""
        below = total - self.top - self.page
        parts = [f"{self.top} above" if self.top else "", f"{below} more below" if below > 0 else ""]
        if not any(parts):
            return []
        hint = "   arrows, PgUp, PgDn, Home, End scroll" if self.has_keys else ""
        return [cells.shortened("… " + ", ".join(filter(None, parts)) + hint, width)]


def watch(connected: client.Client, view: View, *, as_json: bool = False) -> None:
    """Show the containers that match, live, until Ctrl-C; then return."""
    fields = ",".join(dict.fromkeys([*live.FIELDS.split(","), *rows.named(view.sort)]))
    try:
        if as_json:
            happenings.tell_json(connected, view.query, "container", with_list=True)
        if output.is_terminal():
            silent = Silent(connected)
            followed = live.Live(connected, view.query, silent.take, fields)
            followed.start()
            _draw_until_quit(followed, view, silent, Reason(connected, view.query))
            return
        followed = live.Live(connected, view.query, fields=fields)
        followed.start()
        found = rows.ordered(list(followed.rows.values()), view.sort)
        output.write(table.lines(rows.columns(found, datetime.now(UTC), wide=view.wide), None))
        if not found:
            empty.containers(connected, view.query)
        sys.stdout.flush()
        happenings.tell_on(followed)
    except KeyboardInterrupt:
        return


def picture(
    followed: live.Live, view: View, size: tuple[int, int], now: datetime, place: Place, silent: Sequence[str]
) -> list[str]:
    """Return the lines that fit a terminal of ``size``: counts, the rows at ``place``, how many more, notes.

    ``silent`` are the VMs that do not answer just now.
    """
    width, height = size
    notes = fitted(view.notes, width, height - 4 - LEAST_ROWS)
    room = max(height - 3 - len(notes) - bool(notes), 1)
    every = rows.ordered(list(followed.rows.values()), view.sort)
    shown = place.part(every, room)
    made = rows.columns(_dated(shown, followed.lost), now, wide=view.wide)
    facts = [_counts(every), *([f"no answer from {words.listed(silent, NAMED)}"] if silent else [])]
    end = "q ends" if place.has_keys else "Ctrl-C ends"
    lines = [_heading(", ".join(facts), end, followed.lost, width, now), "", *table.lines(made, width)]
    lines += place.rest(len(every), width)
    if notes:
        lines += ["", *notes]
    return lines[:height]


def _dated(shown: Sequence[Container], lost: datetime | None) -> list[Container]:
    """Without a server nobody vouches for what is on the screen: all of it is as of when the server was lost."""
    if lost is None:
        return list(shown)
    return [row if row.stale else msgspec.structs.replace(row, stale=True, as_of=lost) for row in shown]


def _counts(every: Sequence[Container]) -> str:
    running = sum(row.state == "running" and not row.stale for row in every)
    stale = sum(row.stale for row in every)
    return f"{words.counted(len(every), 'container')}, {running} running" + (f", {stale} unknown" if stale else "")


def _heading(facts: str, end: str, lost: datetime | None, width: int, now: datetime) -> str:
    if lost is not None:
        text = f"The server does not answer since {words.moment(lost)} ({words.age(lost, now)}); trying again"
        text = cells.shortened(text, width)
        return output.painted(text, output.RED) if output.is_coloured() else text
    # Names come from outside and are cleaned like every cell.
    text = terminal_clean(f"{facts}   {words.moment(now)}   {end}")
    return output.bold(cells.shortened(text, width))


class Reason:
    """Why a view has no rows, as the server said not long ago."""

    def __init__(self, connected: client.Client, query: str | None) -> None:
        self._client = connected
        self._query = query
        self._said = ""
        self._asked = -REASON_SECONDS

    def added(self, view: View) -> View:
        """Return ``view`` with the reason as its first note."""
        if time.monotonic() - self._asked >= REASON_SECONDS:
            self._asked = time.monotonic()
            with suppress(client.Refused, ServerError):
                self._said = empty.why(self._client, self._query)
        return replace(view, notes=(Note(self._said), *view.notes)) if self._said else view


def _draw_until_quit(followed: live.Live, view: View, silent: Silent, reason: Reason) -> None:
    with Screen(followed.wake) as screen:
        place = Place(has_keys=screen.has_keys)
        while "quit" not in place.moved(screen.pressed()):
            names = silent.among(followed.rows.values())
            seen = view if followed.rows or followed.lost else reason.added(view)
            screen.draw(picture(followed, seen, screen.size(), datetime.now(UTC), place, names))
            drawn = time.monotonic()
            if followed.take(REDRAWN_SECONDS):
                time.sleep(max(drawn + PAUSE_SECONDS - time.monotonic(), 0.0))
                followed.take(0.0)
