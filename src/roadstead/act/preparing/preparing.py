"""VMs are prepared: from one that nobody looks at to one whose engine is reached, over SSH or over TLS, and watched.

What changes how one VM is managed is done one after the other, whatever its mode: two who write one file of keys would
each find it changed by the other, and who takes certificates back would leave half of those that are just being stored.

It is a conversation without a memory: each call carries all answers so far and returns the next question, or what
came of it. So any client can lead it, whatever the mode; what is asked differs (`over_ssh`, `tls_conversation`).
"""

from roadstead.act.guests.known import known
from roadstead.act.pools.pool import PoolKeeper
from roadstead.act.pools.pools import Pools
from roadstead.act.preparing.conversation import Action, Answers, GuestPreparation
from roadstead.act.preparing.over_ssh import SshPreparing
from roadstead.act.preparing.tls_conversation import TlsConversation
from roadstead.errors import ConflictError, PoolError
from roadstead.model import LOCAL_POOL, Snapshot, Vm, VmId, config_keys
from roadstead.plan.access import is_tls


class Preparing:
    """Prepares VMs and takes that back. All calls raise `NotFoundError` ``no-such-vm``, `ConflictError`, `LinkError`
    with the reason why a VM cannot be called, and `PoolError`.
    """

    def __init__(self, snapshot: Snapshot, pools: Pools, ssh: SshPreparing, tls: TlsConversation) -> None:
        self._snapshot = snapshot
        self._pools = pools
        self._ssh = ssh
        self._tls = tls

    async def step(self, vm_id: VmId, answers: Answers) -> GuestPreparation:
        """Go as far as ``answers`` lead, and return the next question or the result."""
        vm = known(self._snapshot, vm_id)
        if vm.pool == LOCAL_POOL:
            raise ConflictError("vm-not-in-a-pool", vm=vm.name)
        keeper = self._reachable(vm)
        if answers.action == Action.UNPREPARE:
            return await self._undone(vm, keeper, answers)
        if answers.action == Action.RENEW:
            return await self._tls.renewed(vm, keeper, answers)
        if answers.mode == config_keys.TLS:
            return await self._tls.step(vm, keeper, answers)
        async with keeper.preparing.of(vm_id):
            return await self._ssh.step(known(self._snapshot, vm_id), keeper, answers)

    async def _undone(self, vm: Vm, keeper: PoolKeeper, answers: Answers) -> GuestPreparation:
        """Take back what is there: first what is under way, so that it does not come back by itself."""
        ended = await self._tls.ended(vm)
        async with keeper.preparing.of(vm.id):
            vm = known(self._snapshot, vm.id)
            if is_tls(vm):
                return await self._tls.undone(vm, keeper)
            if ended is not None and not vm.enabled:
                return ended
            return await self._ssh.step(vm, keeper, answers)

    def _reachable(self, vm: Vm) -> PoolKeeper:
        """Return the VM's pool, before anything is changed that it is to be told of."""
        keeper = self._pools.keeper(vm.pool)
        if not keeper.record.live:
            raise PoolError("pool-unreachable", pool=vm.pool_name)
        return keeper
