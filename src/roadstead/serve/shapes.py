"""What answers hold besides the records of the inventory."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from roadstead.act.pools.trials import Step
from roadstead.errors import NotFoundError
from roadstead.inventory.views import PoolCounts, VmView
from roadstead.model import AuditEntry, Container, ContainerId, Pool, PoolId, VmId
from roadstead.serve.calls import Call


class Certificate(Struct, frozen=True, kw_only=True):
    """What a pool's certificate is verified by: its own ``fingerprint`` (SHA-256), or a ``ca`` file."""

    kind: str
    fingerprint: str = ""


class PoolView(Pool, frozen=True, kw_only=True):
    """A pool as readers see it: its record, how it is reached, and counts. The local pool has no account."""

    user: str = ""
    certificate: Certificate | None = None
    admit: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    publish: str = ""
    vms: int = 0
    managed: int = 0
    running: int = 0
    """Containers that run; a stale one does not count."""


class EnabledVm(VmView, frozen=True, kw_only=True, gc=False):
    """A VM that was enabled; ``warning`` says why that may not be enough, empty where nothing speaks against it."""

    warning: str = ""


class PoolTest(Struct, frozen=True, kw_only=True):
    """How a new sign-in to a pool went, step by step; after a step that failed there is no further one."""

    ok: bool
    steps: list[Step]


class OpenedVm(Struct, frozen=True, kw_only=True):
    """A VM that the pool key opens: because it is managed, or because it was and nobody took the key out."""

    id: VmId
    name: str
    """Its id when the pool no longer has it."""
    managed: bool


class PoolKeyView(Struct, frozen=True, kw_only=True):
    """The public half of a pool's SSH key, its ``line`` for ``authorized_keys``, and the VMs that it opens."""

    pool: PoolId
    public_key: str
    fingerprint: str
    line: str
    vms: list[OpenedVm]


class OpeningKey(Struct, frozen=True, kw_only=True):
    """A key that opens a VM: ``current``, ``old`` (it is being replaced) or ``retired`` (the pool has it no more, but
    its line was not seen to go).
    """

    fingerprint: str
    key: str


class KeyedVmView(Struct, frozen=True, kw_only=True):
    """A VM that keys of a pool are known to open, because they did."""

    id: VmId
    name: str
    """Its id when no pool has it any more."""
    state: str
    """``managed``, ``formerly-managed``, ``moved`` (into the pool ``pool_name``) or ``gone``."""
    pool_name: str = ""
    power: str = ""
    until: datetime | None = None
    """When it is forgotten that these keys open a VM which is ``gone``, unless it comes back."""
    keys: list[OpeningKey]


class Match(Struct, frozen=True, kw_only=True):
    """A container that a name names."""

    id: ContainerId
    name: str
    vm: VmId
    vm_name: str
    state: str
    stale: bool


class ShownAuditEntry(AuditEntry, frozen=True, kw_only=True, gc=False):
    """An entry of the audit, and what its target is called now (``name``, empty where that is not known)."""

    name: str = ""


class Found(Struct, frozen=True, kw_only=True):
    """What a search found."""

    vms: list[VmView]
    containers: list[Container]


class Health(Struct, frozen=True, kw_only=True):
    """That the server works, and how much it holds. ``number`` is that of the last change."""

    version: str
    number: int
    uptime_seconds: float
    pools: int
    vms: int
    containers: int
    statistics: dict[str, dict[str, int]]


class Relist(Struct, frozen=True, kw_only=True):
    """Told on the stream of changes: list again, and go on from ``number``."""

    number: int


class ShownChange(Struct, frozen=True, kw_only=True):
    """Told on the stream of changes: the thing of ``kind`` and ``id`` is now ``record``, or is gone."""

    number: int
    kind: str
    id: str
    op: str
    record: dict[str, Any] | None


def match(container: Container) -> Match:
    """Return what is told of a container that was named."""
    return Match(
        id=container.id,
        name=container.name,
        vm=container.vm,
        vm_name=container.vm_name,
        state=container.state,
        stale=container.stale,
    )


def pool_view(call: Call, pool: Pool, counts: PoolCounts) -> PoolView:
    """Return ``pool`` as readers see it."""
    shown = {**asdict(pool), **asdict(counts)}
    try:
        stored = call.commands.pools.stored(pool.id)
    except NotFoundError:
        return PoolView(**shown)
    certificate = Certificate(kind="ca")
    if not stored.ca_pem:
        certificate = Certificate(kind="fingerprint", fingerprint=stored.fingerprints.get("", ""))
    return PoolView(
        **shown,
        user=stored.user,
        certificate=certificate,
        admit=stored.admit,
        only=stored.only,
        publish=stored.publish,
    )
