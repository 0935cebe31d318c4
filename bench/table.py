"""The table for people and the file for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.figures import TIMES, Result

HEAD = ("", "measured", "beside", "ratio", "goal", "")
LEFT = {0, 4, 5}
"""Columns of words; the others hold figures."""


def table(results: Sequence[Result]) -> str:
    """Return the results as aligned text, one line each."""
    lines = [HEAD, *(_cells(result) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def write_json(path: Path, results: Sequence[Result]) -> None:
    """Write the rows as a list of objects."""
    rows = msgspec.json.encode([result.row for result in results])
    path.write_bytes(msgspec.json.format(rows, indent=2) + b"\n")


def is_good(results: Sequence[Result]) -> bool:
    """Whether no goal was missed and nothing failed; what could not be measured here is no failure."""
    return not any(result.failed or result.row.met is False for result in results)


def _cells(result: Result) -> tuple[str, ...]:
    row = result.row
    verdict = {True: "met", False: "MISSED", None: result.note}[row.met]
    return (
        row.name,
        _figure(row.value, row.unit) if row.value is not None else "-",
        _figure(row.baseline, row.unit),
        _figure(row.ratio, TIMES),
        row.goal or "",
        verdict,
    )


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()
