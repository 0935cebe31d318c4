"""Until when the certificates of all VMs that are reached over TLS are good."""

import asyncio
from datetime import datetime

from msgspec import Struct

from roadstead.act.guests.links import Links
from roadstead.act.pool_database.secrets import vm_secrets
from roadstead.act.pools.pools import Pools
from roadstead.errors import PeerError
from roadstead.inventory import views
from roadstead.kit.gates import Gate
from roadstead.model import Snapshot, Vm, VmId, config_keys
from roadstead.peers.links.credentials import Expiry, first_end
from roadstead.plan.access import is_tls

READS_AT_ONCE = 8
READ_SECONDS = 20.0
"""Limit on what is read of pools for one answer; of the VMs that are left the expiry is not known then."""
_PUBLIC = (config_keys.TLS_CLIENT_CERT, config_keys.TLS_CA_CERT)


class VmCertificates(Struct, frozen=True, kw_only=True):
    """Until when the certificates of one VM are good, and which of them ends first."""

    vm: VmId
    name: str
    pool_name: str
    state: str
    """How the VM stands, as in lists of VMs."""
    until: datetime | None
    """None where it cannot be told; ``problem`` says why."""
    whose: str = ""
    problem: str = ""
    """The code of the VM's problem, or of what kept its certificates from being read."""


class Expiries:
    """What is known of the certificates' ends."""

    def __init__(self, snapshot: Snapshot, pools: Pools, links: Links) -> None:
        self._snapshot = snapshot
        self._pools = pools
        self._links = links

    async def all(self) -> list[VmCertificates]:
        """Return one record for each VM that is reached over TLS, those that end first in front."""
        gate = Gate(READS_AT_ONCE)
        end = asyncio.get_running_loop().time() + READ_SECONDS
        vms = [vm for vm in self._snapshot.vms.values() if is_tls(vm)]
        found = await asyncio.gather(*(self._one(vm, gate, end) for vm in vms))
        return sorted(found, key=lambda each: (each.until is None, each.until, each.name))

    async def _one(self, vm: Vm, gate: Gate, end: float) -> VmCertificates:
        known, code = self._links.expiry(vm.id), ""
        if known is None:
            try:
                async with asyncio.timeout_at(end), gate():
                    known = await self._read(vm)
            except (PeerError, TimeoutError) as error:
                code = error.code if isinstance(error, PeerError) else "pool-timed-out"
        problem = views.vm_problem(vm)
        return VmCertificates(
            vm=vm.id,
            name=vm.name,
            pool_name=vm.pool_name,
            state=str(views.vm_state(vm)),
            until=known.at if known is not None else None,
            whose=known.whose if known is not None else "",
            problem=problem.code if problem is not None else code,
        )

    async def _read(self, vm: Vm) -> Expiry | None:
        """Read the certificates of a VM that is not connected in its pool, without the key."""
        keeper = self._pools.keepers.get(vm.pool)
        if keeper is None:
            return None
        certificate, authority = await vm_secrets(keeper.client, vm, _PUBLIC)
        return first_end(certificate, authority)
