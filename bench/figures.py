"""What a benchmark says: a figure, what stands beside it, and whether that is good enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

TIMES = "\N{MULTIPLICATION SIGN}"
Beside = Literal["socket", "old", "docker", ""]
"""What a figure is compared with: the engine's own socket, the old pack's way, Docker's own command, nothing."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit on a ratio or on the figure itself."""

    limit: float
    kind: Literal["at most", "at least"]
    of: Literal["ratio", "value"]
    text: str

    def met(self, row: Row) -> bool | None:
        """Whether ``row`` is good enough; None when there is nothing to judge."""
        judged = row.ratio if self.of == "ratio" else row.value
        if judged is None:
            return None
        return judged <= self.limit if self.kind == "at most" else judged >= self.limit


def times_at_most(limit: float) -> Goal:
    """The figure is at most ``limit`` times its baseline."""
    return Goal(limit, "at most", "ratio", f"≤ {limit:g} {TIMES}")


def times_better(limit: float) -> Goal:
    """The baseline is at least ``limit`` times the figure."""
    return Goal(limit, "at least", "ratio", f"≥ {limit:g}")


def at_most(limit: float, unit: str) -> Goal:
    """The figure itself is at most ``limit``."""
    return Goal(limit, "at most", "value", f"≤ {limit:g} {unit}" if limit else f"{limit:g} {unit}")


@dataclass(frozen=True, slots=True)
class Extra:
    """A figure that is reported without a goal."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What a benchmark found, in its unit."""

    value: float
    baseline: float | None = None
    extras: tuple[Extra, ...] = ()


class Row(msgspec.Struct, kw_only=True):
    """One line of the table, and of the file."""

    name: str
    value: float | None = None
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    goal: str | None = None
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A row, and why it has no value or what went wrong."""

    row: Row
    note: str = ""
    failed: bool = False


def judged(name: str, unit: str, goal: Goal, measured: Measured) -> list[Result]:
    """Return the rows of one benchmark: its own, and those of what it reports besides."""
    row = Row(name=name, value=measured.value, unit=unit, baseline=measured.baseline, goal=goal.text)
    if measured.baseline is not None:
        over, under = measured.value, measured.baseline
        if goal.kind == "at least":
            over, under = under, over
        row.ratio = over / under
    row.met = goal.met(row)
    extras = [Result(Row(name=extra.name, value=extra.value, unit=extra.unit)) for extra in measured.extras]
    return [Result(row), *extras]
