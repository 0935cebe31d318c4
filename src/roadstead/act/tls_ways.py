"""How engines behind TLS are connected, and which kind of link a guest gets."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from roadstead.act.guest import Opened
from roadstead.act.pool import PoolKeeper
from roadstead.act.secrets import vm_secret
from roadstead.act.ways import SshWays
from roadstead.errors import LinkError
from roadstead.model import PoolId, Snapshot, Vm, VmId, config_keys
from roadstead.peers.links.credentials import Credentials, credentials
from roadstead.peers.links.tls import TlsTarget, open_tls
from roadstead.plan import links
from roadstead.plan.access import mode_of


@dataclass(frozen=True, slots=True)
class GuestWays:
    """Opens guests of pools, each over SSH or TLS as its mode says at that moment."""

    snapshot: Snapshot
    pools: Mapping[PoolId, PoolKeeper]
    ssh: SshWays

    async def open(self, vm_id: VmId) -> Opened:
        """Connect ``vm_id``. Raises `LinkError` or `PoolError` with the reason."""
        vm = self.snapshot.vms.get(vm_id)
        keeper = self.pools.get(vm.pool) if vm is not None else None
        if vm is None or keeper is None:
            raise LinkError("link-lost", vm=vm_id)
        if mode_of(vm) == config_keys.TLS:
            return await self._open_tls(vm, keeper)
        return await self.ssh.open(vm_id)

    async def _open_tls(self, vm: Vm, keeper: PoolKeeper) -> Opened:
        wanted = links.wanted_tls(vm, self.ssh.circumstances(vm, keeper))
        shown = await _credentials(vm, keeper, is_legacy=wanted.access.is_legacy)
        target = TlsTarget(wanted.access.port, wanted.addresses)
        link = await open_tls(target, shown, settings=self.ssh.settings, gates=self.ssh.gates)
        self.ssh.memories.note_winner(vm.id, link.address)
        return Opened(link, expiry=lambda: link.expiry)


async def _credentials(vm: Vm, keeper: PoolKeeper, *, is_legacy: bool) -> Credentials:
    """Read the secrets that the VM's keys name. Raises `LinkError` and `PoolError` as `vm_secret` does."""
    certificate, key, authority = [await vm_secret(keeper.client, vm, name) for name in config_keys.TLS_SECRETS]
    try:
        return await asyncio.to_thread(credentials, certificate, key, authority, is_legacy=is_legacy)
    except LinkError as error:
        if error.code != "secret-unusable":
            raise
        named = vm.settings.get(error.fields["key"], "")
        raise LinkError(error.code, **error.fields, secret=named) from error
