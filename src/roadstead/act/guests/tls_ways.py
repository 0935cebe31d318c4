"""How guests are connected whose engine listens with TLS: by the certificates that their pool keeps for them."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from roadstead.act.guests.grounds import Grounds
from roadstead.act.guests.guest import Opened
from roadstead.act.guests.walks import Walk, Walked
from roadstead.act.pool_database.secrets import vm_secrets
from roadstead.act.pools.pool import PoolKeeper
from roadstead.errors import LinkError
from roadstead.model import PathStep, Vm, VmId
from roadstead.peers.links.credentials import Credentials, credentials
from roadstead.peers.links.tls import TlsLink, TlsTarget, open_tls
from roadstead.peers.links.witness import NOBODY, Witness
from roadstead.plan import links, path


@dataclass(frozen=True, slots=True)
class TlsWays:
    """Opens guests of pools over TLS; see `ways.Kind`."""

    grounds: Grounds
    steps = path.TLS

    async def open(self, vm_id: VmId) -> Opened:
        """Connect ``vm_id``, whose turn it is. Raises `LinkError` or `PoolError` with the reason."""
        vm, keeper = self.grounds.found(vm_id)
        wanted = self.wanted(vm, keeper)
        link = await self.call(wanted, await self._shown(vm, keeper, wanted))
        self.grounds.memories.note_winner(vm_id, link.address)
        self.grounds.memories.forget_relay(vm_id)
        return Opened(link, expiry=lambda: link.expiry)

    async def walk(self, vm_id: VmId, walk: Walk) -> Walked:
        """Go the same way; see `ways.Kind`. Raises as `open`."""
        vm, keeper = self.grounds.found(vm_id)
        wanted = self.wanted(vm, keeper)
        walk.ok(PathStep.ADDRESS, ", ".join(wanted.addresses))
        shown = await self._shown(vm, keeper, wanted)
        legacy = "; certificates of the old pack are taken" if wanted.access.is_legacy else ""
        walk.ok(PathStep.SECRETS, f"until {shown.expiry.at:%Y-%m-%d} ({shown.expiry.whose}){legacy}")
        await self.grounds.walk_to(vm_id, wanted.addresses, walk)
        link = await self.call(wanted, shown, walk)
        walk.goes_on(link.address)
        return Walked(link)

    def wanted(self, vm: Vm, keeper: PoolKeeper) -> links.WantedTls:
        """Return the connection that ``vm`` needs now. Raises `LinkError` as `links.wanted_tls` does."""
        return links.wanted_tls(vm, self.grounds.circumstances(vm, keeper))

    async def call(self, wanted: links.WantedTls, shown: Credentials, witness: Witness = NOBODY) -> TlsLink:
        """Connect so, showing these credentials; nothing that this teaches is kept. Raises as `open_tls` does."""
        target = TlsTarget(wanted.access.port, wanted.addresses)
        settings, gates = self.grounds.settings, self.grounds.gates
        return await open_tls(target, shown, settings=settings, gates=gates, witness=witness)

    async def _shown(self, vm: Vm, keeper: PoolKeeper, wanted: links.WantedTls) -> Credentials:
        vms = self.grounds.snapshot.vms.values()
        return await credentials_of(vm, keeper, vms, is_legacy=wanted.access.is_legacy)


async def credentials_of(vm: Vm, keeper: PoolKeeper, vms: Collection[Vm], *, is_legacy: bool) -> Credentials:
    """Read the secrets that the VM's keys name, unless another one of the ``vms`` uses them.

    Raises `LinkError` and `PoolError` as `vm_secrets` does.
    """
    certificate, key, authority = await vm_secrets(keeper.client, vm, vms=vms)
    try:
        return await asyncio.to_thread(credentials, certificate, key, authority, is_legacy=is_legacy)
    except LinkError as error:
        if error.code != "secret-unusable":
            raise
        named = vm.settings.get(error.fields["key"], "")
        raise error.about(secret=named) from error
