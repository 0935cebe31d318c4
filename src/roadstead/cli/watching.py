"""`ps --watch`: the list as it is, redrawn when something changes; piped, a line for each change."""

import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType, TracebackType
from typing import NoReturn, Self

import msgspec

from roadstead.cli import cells, client, happenings, live, output, rows, table, words
from roadstead.cli.views import Container

REDRAWN_SECONDS = 1.0
"""Ages are drawn again after this time when nothing changes."""
PAUSE_SECONDS = 0.1
"""A change is drawn at once, but so soon after the last one only together with what comes meanwhile."""


@dataclass(frozen=True)
class View:
    """What is shown: which containers, in which order, how widely, and the ``notes`` that stand below them."""

    query: str | None = None
    sort: str = "vm_name,name"
    wide: bool = False
    notes: tuple[str, ...] = ()


def watch(connected: client.Client, view: View, *, as_json: bool = False) -> None:
    """Show the containers that match, live, until Ctrl-C; then return."""
    rows.ordered([], view.sort)
    try:
        if as_json:
            happenings.tell_json(connected, view.query, "container")
        if not output.is_terminal():
            happenings.tell(connected, view.query, with_vms=False)
        followed = live.Live(connected, view.query)
        followed.start()
        _draw_for_ever(followed, view)
    except KeyboardInterrupt:
        return


def picture(followed: live.Live, view: View, size: tuple[int, int], now: datetime) -> list[str]:
    """Return the lines that fit a terminal of ``size``: counts, the first rows, how many more, notes."""
    width, height = size
    notes = [cells.shortened(note, width) for note in view.notes]
    room = max(height - 3 - len(notes) - bool(notes), 1)
    every = rows.ordered(list(followed.rows.values()), view.sort)
    shown = every if len(every) <= room else every[: room - 1]
    made = rows.columns(_dated(shown, followed.lost), now, wide=view.wide)
    lines = [_heading(every, followed.lost, width, now), "", *table.lines(made, width)]
    if len(every) > len(shown):
        lines.append(f"… {len(every) - len(shown)} more")
    if notes:
        lines += ["", *notes]
    return lines[:height]


def _dated(shown: Sequence[Container], lost: datetime | None) -> list[Container]:
    """Without a server nobody vouches for what is on the screen: all of it is as of when the server was lost."""
    if lost is None:
        return list(shown)
    return [row if row.stale else msgspec.structs.replace(row, stale=True, as_of=lost) for row in shown]


def _heading(every: Sequence[Container], lost: datetime | None, width: int, now: datetime) -> str:
    if lost is not None:
        text = f"The server does not answer since {words.moment(lost)} ({words.age(lost, now)}); trying again"
        text = cells.shortened(text, width)
        return output.painted(text, output.RED) if output.is_coloured() else text
    running = sum(row.state == "running" and not row.stale for row in every)
    stale = sum(row.stale for row in every)
    unknown = f", {stale} unknown" if stale else ""
    text = f"{words.counted(len(every), 'container')}, {running} running{unknown}   {words.moment(now)}   Ctrl-C ends"
    return output.bold(cells.shortened(text, width))


def _draw_for_ever(followed: live.Live, view: View) -> NoReturn:
    with _Screen() as screen:
        while True:
            screen.draw(picture(followed, view, output.size(), datetime.now(UTC)))
            drawn = time.monotonic()
            if followed.take(REDRAWN_SECONDS):
                time.sleep(max(drawn + PAUSE_SECONDS - time.monotonic(), 0.0))
                followed.take(0.0)


class _Screen:
    """The terminal's other screen: what was there before comes back at the end, however the end comes."""

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, _terminated)
        sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[?7l")
        return self

    def draw(self, lines: list[str]) -> None:
        """Replace the picture in one go, without a moment in which it is empty."""
        sys.stdout.write("\x1b[?2026h\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J\x1b[?2026l")
        sys.stdout.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.write("\x1b[?7h\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, self._before)


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
