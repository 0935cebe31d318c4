"""What watchers say about the world: the only input of the inventory."""

from msgspec import Struct

from roadstead.model.ids import PoolId, VmId
from roadstead.model.records import Record


class Scope(Struct, frozen=True, gc=False):
    """What a listing was a listing of: the records of ``kind`` under one owner.

    ``kind`` is ``host`` or ``vm`` with the pool as owner, or ``container`` with the VM as owner.
    """

    kind: str
    owner: PoolId | VmId


class Seen(Struct, frozen=True, gc=False):
    """A record as observed just now; it replaces what was known of it."""

    record: Record


class Gone(Struct, frozen=True, gc=False):
    """The thing of this ``kind`` (pool, host, vm, container) and ``id`` is no longer there."""

    kind: str
    id: str
    pool: PoolId | None = None
    """Who says so of a host or VM: it may have moved to another pool, which said so before, and keeps its id there."""


class Listed(Struct, frozen=True, gc=False):
    """A complete listing was seen: of its scope exactly ``ids`` exist; what the inventory holds besides is gone."""

    scope: Scope
    ids: frozenset[str]


Fact = Seen | Gone | Listed
