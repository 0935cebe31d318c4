"""How engines behind TLS are connected, and which kind of link a guest gets."""

import asyncio
from collections.abc import Collection

from roadstead.act.guests.guest import Opened
from roadstead.act.guests.ways import SshWays
from roadstead.act.pools.pool import PoolKeeper
from roadstead.act.pools.secrets import vm_secrets
from roadstead.errors import LinkError
from roadstead.kit.turns import Turns
from roadstead.model import PoolId, Vm, VmId
from roadstead.peers.links.credentials import Credentials, credentials
from roadstead.peers.links.tls import TlsLink, TlsTarget, open_tls
from roadstead.peers.links.witness import NOBODY, Witness
from roadstead.plan import links
from roadstead.plan.access import wants_tls


class GuestWays:
    """Opens guests of pools, each over SSH or TLS as its mode says at that moment.

    Of a pool's guests only as many have their turn as can be called at once: all at once they would read thousands of
    secrets, and hold them and half of a call until there is a place for them. What memory had to grow for that (a
    fifth of what guests take in the end) it keeps.
    """

    def __init__(self, ssh: SshWays) -> None:
        self.ssh = ssh
        self._turns: Turns[PoolId] = Turns(ssh.settings.parallel_connects + ssh.settings.parallel_logins)

    async def open(self, vm_id: VmId) -> Opened:
        """Connect ``vm_id`` in its turn. Raises `LinkError` or `PoolError` with the reason."""
        waiting, _ = self.ssh.found(vm_id)
        async with self._turns.of(waiting.pool):
            vm, keeper = self.ssh.found(vm_id)
            if wants_tls(vm):
                return await self._open_tls(vm, keeper)
            return await self.ssh.open(vm_id)

    def wanted_tls(self, vm: Vm, keeper: PoolKeeper) -> links.WantedTls:
        """Return the connection over TLS that ``vm`` needs now. Raises `LinkError` as `links.wanted_tls` does."""
        return links.wanted_tls(vm, self.ssh.circumstances(vm, keeper))

    async def call_tls(self, wanted: links.WantedTls, shown: Credentials, witness: Witness = NOBODY) -> TlsLink:
        """Connect so, showing these credentials; nothing that this teaches is kept. Raises as `open_tls` does."""
        target = TlsTarget(wanted.access.port, wanted.addresses)
        return await open_tls(target, shown, settings=self.ssh.settings, gates=self.ssh.gates, witness=witness)

    async def _open_tls(self, vm: Vm, keeper: PoolKeeper) -> Opened:
        wanted = self.wanted_tls(vm, keeper)
        vms = self.ssh.snapshot.vms.values()
        shown = await credentials_of(vm, keeper, vms, is_legacy=wanted.access.is_legacy)
        link = await self.call_tls(wanted, shown)
        self.ssh.memories.note_winner(vm.id, link.address)
        self.ssh.memories.forget_relay(vm.id)
        return Opened(link, expiry=lambda: link.expiry)


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
        raise LinkError(error.code, **error.fields, secret=named) from error
