"""What XenCenter shows of one container when asked: its inspection as a tree, its processes as a table.

The old pack's elements under the old pack's names; see `legacy_xml` for what keeps them well-formed.
"""

from collections.abc import Mapping, Sequence

from roadstead.artifacts import legacy_xml
from roadstead.artifacts.legacy_xml import Value

NEEDED = ("PID", "CMD", "TIME")
"""The columns that XenCenter reads, of each process: one that is missing repeats the process before."""
NONE = "-"
"""What an empty one of these holds: XenCenter gives the whole table up for an element without text."""
_OTHERWISE = {"CMD": ("COMMAND", "Name"), "PID": (), "TIME": ("CPU",)}
"""How engines without ``ps -ef`` (Podman, Windows) call such a column."""


def docker_inspect(value: Value) -> str:
    """Return everything that an engine says of a container."""
    return legacy_xml.document("docker_inspect", value)


def docker_top(titles: Sequence[str], processes: Sequence[Sequence[str]]) -> str:
    """Return a container's processes: rows with a field for each of ``titles``, the last one takes the rest."""
    rows = [_process(dict(zip(titles, _fields(row, len(titles)), strict=False))) for row in processes]
    items = "".join(f"<item>{legacy_xml.element('Process', row)}</item>" for row in rows)
    return legacy_xml.document("docker_top", legacy_xml.Written(items))


def _fields(row: Sequence[str], count: int) -> list[str]:
    return [*row[: count - 1], " ".join(row[count - 1 :])] if len(row) > count else list(row)


def _process(fields: Mapping[str, str]) -> dict[str, Value]:
    process: dict[str, Value] = dict(fields)
    for name in NEEDED:
        found = next((fields[title] for title in (name, *_OTHERWISE[name]) if fields.get(title)), "")
        process[name] = found if legacy_xml.cleaned(found).strip() else NONE
    return process
