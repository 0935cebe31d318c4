"""An engine behind TLS is tried: the one proof, before certificates are stored and after, that they lead to it."""

from datetime import datetime
from typing import NamedTuple

from roadstead.act.guests.tls_ways import TlsWays, credentials_of
from roadstead.act.pools.pool import PoolKeeper
from roadstead.artifacts.certificates import LOOPBACK
from roadstead.errors import EngineError, LinkError, PeerError
from roadstead.kit.gates import Budget
from roadstead.model import Snapshot, Vm
from roadstead.peers.engine.client import EngineClient
from roadstead.peers.links.credentials import Credentials
from roadstead.plan import access
from roadstead.settings.schema import Settings


class Proof(NamedTuple):
    """What an engine showed that was reached."""

    until: datetime
    """When the first of all certificates ends."""
    addresses: tuple[str, ...]
    """For which IP addresses its own is, but for the one by which its machine calls itself."""


class TlsTrials:
    """Calls engines over TLS; nothing that this teaches is kept."""

    def __init__(self, snapshot: Snapshot, ways: TlsWays, settings: Settings, budget: Budget) -> None:
        self._snapshot = snapshot
        self._ways = ways
        self._settings = settings
        self._budget = budget

    def addresses(self, vm: Vm, keeper: PoolKeeper) -> tuple[str, ...]:
        """Return where ``vm`` is called. Raises `LinkError` as `links.wanted_tls` does."""
        try:
            return self._ways.wanted(vm, keeper).addresses
        except LinkError as error:
            raise _named(error, vm) from error

    async def tried(self, vm: Vm, keeper: PoolKeeper, shown: Credentials) -> Proof:
        """Ask the engine something with ``shown``, since a refused client hears of it at the first answer only.

        Raises `LinkError` and `EngineError`.
        """
        try:
            link = await self._ways.call(self._ways.wanted(vm, keeper), shown)
            addresses = tuple(each for each in link.certified() if each != LOOPBACK)
            engine = EngineClient(link, vm.id, self._settings.engine, self._budget)
            try:
                await engine.hello()
                return Proof(link.expiry.at, addresses)
            finally:
                engine.close()
                link.close()
        except PeerError as error:
            raise _named(error, vm) from error

    async def in_use(self, vm: Vm, keeper: PoolKeeper) -> Proof | None:
        """Return what the engine shows if it is reached with the certificates that the VM's keys name; None if not.

        Raises `PoolError`.
        """
        if access.tls_missing(vm):
            return None
        try:
            is_legacy = access.tls_access_of(vm).is_legacy
            shown = await credentials_of(vm, keeper, self._snapshot.vms.values(), is_legacy=is_legacy)
            return await self.tried(vm, keeper, shown)
        except (LinkError, EngineError):
            return None


def _named(error: PeerError, vm: Vm) -> PeerError:
    """Return ``error`` with what its words say of the VM."""
    return error.about(vm=vm.name, uuid=vm.id, pool=vm.pool_name)
