"""Records as the server sent them, for who chose the fields: printed as JSON, or as a table of whatever there is."""

from collections.abc import Sequence
from typing import Any

from roadstead.cli.display import output, table

Row = dict[str, Any]


def ordered(rows: list[Row], sort: str | None) -> list[Row]:
    """Return ``rows`` in the order that ``sort`` names; what has no value comes last."""
    for term in reversed(sort.split(",") if sort else []):
        name = term.strip().removeprefix("-")
        rows = sorted(rows, key=lambda row, name=name: _key(row.get(name)), reverse=term.startswith("-"))  # type: ignore[misc]
    return rows


def write_json(rows: Sequence[Row], fields: str | None) -> None:
    """Print one list, each row with ``fields`` alone."""
    import msgspec

    wanted = names(fields)
    output.write_json(msgspec.json.encode([{n: row.get(n) for n in wanted} for row in rows] if wanted else rows))


def write_table(rows: Sequence[Row], fields: str, *, cut: bool) -> None:
    """Print a table with a column for each of ``fields``."""
    made = [table.Column(n.upper(), [text(row.get(n)) for row in rows]) for n in names(fields)]
    output.write(table.lines(made, output.room() if cut else None))


def names(fields: str | None) -> list[str]:
    """Return the single names of a list with commas."""
    return [name.strip() for name in (fields or "").split(",") if name.strip()]


def text(value: Any) -> str:
    """Return any JSON value as a short text."""
    if isinstance(value, dict):
        return ",".join(f"{key}={text(held)}" for key, held in value.items()) or "-"
    if isinstance(value, list):
        return ",".join(map(text, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)


def _key(value: Any) -> tuple[bool, str, Any]:
    if isinstance(value, (int, float)):
        return False, "", value
    return value is None, text(value), 0
