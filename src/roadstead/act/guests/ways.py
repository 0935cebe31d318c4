"""Which kind of link a guest has: the one place that chooses, anew each time that a guest is called.

What else is to be known of a kind stands in its own class (`ssh_ways`, `tls_ways`, `unix_ways`), which knows nothing
of the others: how it is opened, and how it is walked along step by step while somebody looks on.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from roadstead.act.guests.guest import Opened
from roadstead.act.guests.ssh_ways import SshWays
from roadstead.act.guests.tls_ways import TlsWays
from roadstead.act.guests.unix_ways import UnixWays
from roadstead.act.guests.walks import Walk, Walked
from roadstead.errors import LinkError
from roadstead.kit.turns import Turns
from roadstead.model import LOCAL_POOL, PoolId, Snapshot, Vm, VmId
from roadstead.plan import access, path
from roadstead.settings.schema import LinkSettings


class Kind(Protocol):
    """One kind of link. Its calls raise `PeerError` with the reason."""

    steps: path.Path
    """What is to be passed on the way to an engine."""

    async def open(self, vm_id: VmId) -> Opened:
        """Connect a guest, whose turn it is."""

    async def walk(self, vm_id: VmId, walk: Walk) -> Walked:
        """Go the same way while ``walk`` is told of each step as far as the link; nothing that this teaches is kept."""


class Ways:
    """All kinds. A VM whose mode is none of ours is refused by the plan of the first.

    Of a pool's guests only as many have their turn as can be called at once: all at once they would read thousands of
    secrets, and hold them and half of a call until there is a place for them. What memory had to grow for that (a
    tenth of what guests over TLS take in the end) it keeps.
    """

    def __init__(self, snapshot: Snapshot, ssh: SshWays, tls: TlsWays, unix: UnixWays, settings: LinkSettings) -> None:
        self._snapshot = snapshot
        self.ssh = ssh
        self.tls = tls
        self.unix = unix
        self._turns: Turns[PoolId] = Turns(settings.parallel_connects + settings.parallel_logins)

    def of(self, vm: Vm) -> Kind:
        """Return the kind of link that ``vm`` has now."""
        if vm.pool == LOCAL_POOL:
            return self.unix
        return self.tls if access.is_tls(vm) else self.ssh

    def turn(self, vm_id: VmId) -> AbstractAsyncContextManager[None]:
        """Hold a place among its pool's guests that are opened. Raises `LinkError` ``link-lost`` when it has gone."""
        return self._turns.of(self._found(vm_id).pool)

    async def open(self, vm_id: VmId) -> Opened:
        """Connect a guest, whose turn it is. Raises `PeerError` with the reason, ``link-lost`` when it has gone."""
        return await self.of(self._found(vm_id)).open(vm_id)

    def _found(self, vm_id: VmId) -> Vm:
        vm = self._snapshot.vms.get(vm_id)
        if vm is None:
            raise LinkError("link-lost", vm=vm_id)
        return vm
