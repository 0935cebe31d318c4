"""A numbered change: what the store says about every fact that altered something."""

from typing import Literal

from msgspec import Struct

from roadstead.model import Container, Host, Pool, Vm

Shown = Pool | Host | Vm | Container
"""The records that readers see; links and engines are shown as parts of their VM."""


class Change(Struct, frozen=True, gc=False):
    """Change ``number`` (no gaps): the thing of ``kind`` and ``id`` is now ``record``, or is gone."""

    number: int
    kind: Literal["pool", "host", "vm", "container"]
    id: str
    op: Literal["set", "gone"]
    record: Shown | None
