"""A container's processes, as an engine tells them: ``GET /containers/{id}/top``."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from roadstead.peers.engine.messages.guarded import check_depth, invalid, tolerant

COLUMNS = 64
"""More than any ``ps`` prints."""


class Top(NamedTuple):
    """The table of processes: the columns' titles, and a row for each process (its last field may be split)."""

    titles: list[str]
    processes: list[list[str]]


def read_top(data: bytes, depth: int) -> Top:
    """Read the body of the answer; Podman 4.3 may send an empty one with status 200, and hands on the lines of the
    container's own ``ps`` as they are, as one column.

    Raises `EngineError` ``engine-answer-invalid``.
    """
    if not data.strip():
        return Top([], [])
    check_depth(data, depth)
    value = tolerant(data)
    if not isinstance(value, dict):
        raise invalid("it is no JSON object")
    rows = value.get("Processes")
    titles, processes = _texts(value.get("Titles")), [_texts(row) for row in rows] if isinstance(rows, list) else []
    if len(titles) == 1 and len(columns := titles[0].split()[:COLUMNS]) > 1:
        return Top(columns, [" ".join(row).split(maxsplit=len(columns) - 1) for row in processes])
    return Top(titles, processes)


def _texts(values: Any) -> list[str]:
    """What of ``values`` is text, or a number, as text; the rest as nothing, so that each stays in its column."""
    known: Iterable[Any] = values if isinstance(values, list) else ()
    return [str(value) if isinstance(value, str | int | float) else "" for value in known]
