"""Containers as rows of a table: the columns of `ps`, of its live view, and of searches."""

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from roadstead.cli.api import client
from roadstead.cli.api.views import Container
from roadstead.cli.display import output, table, words
from roadstead.errors import InputError

_ALIASES = {"vm": "vm_name"}
_UNSORTABLE = {"ports"}


def write(waiting: client.Waiting, sort: str, *, wide: bool, cut: bool) -> list[Container]:
    """Print the containers that the server answers with, and return them."""
    found = ordered(waiting.read(list[Container]), sort)
    output.write(table.lines(columns(found, datetime.now(UTC), wide=wide), output.room() if cut else None))
    return found


def columns(containers: Sequence[Container], now: datetime, *, wide: bool = False) -> list[table.Column]:
    """Return the columns that show ``containers``; what happens to a container matters more than what it is.

    The least widths keep of one that is not heard what it was and as of when, beside its names, on 60 columns.
    """
    made = [
        table.Column("NAME", [c.name for c in containers], least=10),
        table.Column("VM", [c.vm_name for c in containers], least=6, rank=1),
        table.Column("IMAGE", [c.image for c in containers], least=12, rank=4),
        table.Column("STATE", [words.state(c) for c in containers], least=21, paint=output.state_painter()),
        table.Column("STATUS", [words.status(c, now) for c in containers], least=13, rank=2),
        table.Column("PORTS", [words.ports(c.ports) if c.ports else "-" for c in containers], least=12, rank=5),
        table.Column("AGE", [words.age(c.created, now) for c in containers], rank=3, whole=True),
    ]
    if wide:
        made.append(table.Column("ID", [c.id.rpartition("/")[2][:12] for c in containers], rank=6, whole=True))
        made.append(table.Column("COMMAND", [c.command for c in containers], rank=7))
    return made


def ordered(containers: list[Container], sort: str) -> list[Container]:
    """Return ``containers`` in the order that ``sort`` names; equals keep theirs. Raises `InputError`."""
    if "-" not in sort and not {"created", "started", "exit_code", "as_of", "host"} & set(sort.split(",")):
        return sorted(containers, key=attrgetter(*(field(name) for name in sort.split(","))))
    for term in reversed(sort.split(",")):
        name = field(term.removeprefix("-"))
        containers = sorted(containers, key=lambda c, name=name: _key(getattr(c, name)), reverse=term.startswith("-"))  # type: ignore[misc]
    return containers


def named(sort: str) -> list[str]:
    """Return the fields that ``sort`` names. Raises `InputError` when there is none of such a name."""
    return [field(term.strip().removeprefix("-")) for term in sort.split(",")]


def field(name: str) -> str:
    """Return the record's field that ``name`` stands for. Raises `InputError` when there is none."""
    found = _ALIASES.get(name.strip(), name.strip())
    known = sorted(set(Container.__struct_fields__) - _UNSORTABLE)
    if found not in known:
        raise InputError("field-invalid", field="--sort", reason=f"there is no {name!r} among {', '.join(known)}")
    return found


def _key(value: Any) -> tuple[bool, Any]:
    return value is None, value
