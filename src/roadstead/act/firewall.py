"""Firewall rules with what pools really have, and the check of what passes from here.

The check runs where the links come from, in the server. It calls nothing but addresses that a managed VM may be called
at, on the port of its link; whether other ports are open is tried only where the VM's own host key or certificate
answers, since an address alone may be anybody's.
"""

import asyncio
import time
from collections.abc import Iterator

from msgspec import Struct

from roadstead.act.audit import Audit
from roadstead.act.pools.barred import barring
from roadstead.act.pools.pools import Pools
from roadstead.errors import ConflictError, InputError, LinkError, PoolError
from roadstead.inventory import views
from roadstead.kit import net, tasks
from roadstead.kit.gates import Gate
from roadstead.model import Address, LinkState, PoolId, Snapshot, Vm, VmId, parse_address
from roadstead.model.firewall import Network, Place, RuleSet, network_of
from roadstead.peers.links import faults
from roadstead.peers.links.dialing import dial
from roadstead.peers.xapi.messages import management_networks
from roadstead.plan import firewall
from roadstead.plan.addresses import Rules, unclaimed
from roadstead.settings.schema import LinkSettings

FORBIDDEN = (23, 80, 111, 443, 445, 2375, 2377, 3389, 5985, 6443, 10250)
"""What must not be open from management: telnet, web servers, portmapper, SMB, Docker without TLS, Swarm, remote
desktop, Windows' remote management, Kubernetes' API and kubelet. One port of each kind says whether a firewall stands
there."""
ENGINE_IN_CLEAR = 2375
CONNECT_SECONDS = 2.0
PARALLEL = 64
MOST_VMS = 1000
ALL_SECONDS = 60.0
"""How long a whole check may take; what was not tried by then is told as such."""

OPEN, CLOSED, SILENT, UNTRIED = "open", "refused", "no answer", "not tried"


class PortFinding(Struct, frozen=True, kw_only=True):
    """What one port of a VM did. ``expected`` is ``open`` or ``closed``; ``state`` is ``open``, ``refused`` (it answers
    that nobody listens), ``no answer`` (a firewall drops, or nobody is there), ``not tried``, or the system's words.
    """

    address: str
    port: int
    expected: str
    state: str
    ok: bool
    remedy: str = ""


class VmFindings(Struct, frozen=True, kw_only=True):
    """What a check found at one VM."""

    vm: VmId
    name: str
    pool: PoolId
    ok: bool
    ports: list[PortFinding]
    notes: list[str]


class Firewall:
    """Rule sets of pools, and the check."""

    def __init__(self, snapshot: Snapshot, pools: Pools, settings: LinkSettings, audit: Audit) -> None:
        self._snapshot = snapshot
        self._pools = pools
        self._settings = settings
        self._audit = audit
        self._checking = False

    async def rules(self, wanted: firewall.Wanted) -> RuleSet:
        """Return the rule set that is wanted, of the pool that is named, of that of the VM, or of all.

        Raises `ConflictError` ``firewall-nothing-known``.
        """
        known = {pool: await self._surroundings(pool, wanted) for pool in self._named(wanted.pool, wanted.vm)}
        others = [pool for pool in self._pools.keepers if pool not in known]
        elsewhere = [network for pool in others for network in (await self._management(pool))[0]]
        return firewall.rule_set(self._snapshot, wanted, known, tuple(elsewhere))

    async def callers(self, vm: Vm) -> list[Network]:
        """Return the networks from which ``vm`` is called: those of its pool's hosts, and Roadstead's own address."""
        wanted = firewall.Wanted(place=Place.GUEST, vm=vm.id)
        return list((await self._surroundings(vm.pool, wanted)).management)

    async def check(self, pool: PoolId | None, vm: VmId | None) -> list[VmFindings]:
        """Try what must be open and what must not at the managed VMs of a pool, of all pools, or at one VM.

        Raises `ConflictError` ``firewall-checked-already`` and `InputError` ``firewall-too-much``.
        """
        with self._audit.of("firewall check", vm or pool or "every pool"):
            vms = [one for one in firewall.chosen(self._snapshot, pool, vm) if one.running]
            if vm is not None and not vms:
                raise ConflictError("vm-off", vm=self._snapshot.vms[vm].name)
            if len(vms) > MOST_VMS:
                raise InputError("firewall-too-much", count=len(vms), limit=MOST_VMS)
            if self._checking:
                raise ConflictError("firewall-checked-already")
            self._checking = True
            try:
                return await self._check(vms)
            finally:
                self._checking = False

    # ---- what is known of a pool

    def _named(self, pool: PoolId | None, vm: VmId | None) -> list[PoolId]:
        if vm is not None:
            pool = self._snapshot.vms[vm].pool
        return [one for one in self._pools.keepers if pool in {None, one}]

    async def _surroundings(self, pool: PoolId, wanted: firewall.Wanted) -> firewall.Surroundings:
        vms = firewall.chosen(self._snapshot, pool, wanted.vm)
        rules = self._rules(pool, vms)
        if wanted.management:
            return firewall.Surroundings((), rules)
        networks, notes = await self._management(pool)
        own = sorted({one for vm in vms for one in self._own(firewall.usable(vm, rules)[0])}, key=str)
        notes += [f"Roadstead calls guests from {one}" for one in own]
        outside = [network_of(one) for one in own if not firewall.inside(one, tuple(networks))]
        return firewall.Surroundings((*networks, *outside), rules, tuple(notes))

    async def _management(self, pool: PoolId) -> tuple[list[Network], list[str]]:
        """Return the networks of the hosts' management interfaces, or where these are not known their addresses."""
        keeper, name = self._pools.keeper(pool), self._snapshot.pools[pool].name
        try:
            found = await keeper.client.list_all("pif")
            networks = [one for pif in found.values() for one in management_networks(pif)]
        except PoolError as error:
            networks, cause = [], error.cause
        else:
            cause = "it names none"
        if networks:
            unique = list(dict.fromkeys(networks))
            return unique, [f"management of pool {name}: {one}, the network of its hosts" for one in unique]
        addresses = [parse_address(one) for one in sorted(keeper.host_addresses)]
        hosts = [network_of(one) for one in addresses if one is not None]
        told = f"management of pool {name}: only the addresses of its hosts, since of their networks {cause}"
        return hosts, [told]

    def _rules(self, pool: PoolId, vms: list[Vm]) -> Rules:
        return barring(self._pools.rules(pool), self._pools.keeper(pool), vms, self._settings.addresses)

    def _own(self, addresses: list[Address]) -> Iterator[Address]:
        """Yield from which address of ours a guest is called, in each version of IP that it has."""
        for address in {address.version: address for address in reversed(addresses)}.values():
            try:
                source = parse_address(net.source_towards(str(address)))
            except OSError:  # no way leads there
                continue
            if source is not None and not source.is_loopback:
                yield source

    # ---- the check

    async def _check(self, vms: list[Vm]) -> list[VmFindings]:
        gate, until = Gate(PARALLEL), time.monotonic() + ALL_SECONDS
        known: dict[PoolId, tuple[Rules, list[Network]]] = {}
        for pool in dict.fromkeys(vm.pool for vm in vms):
            theirs = [vm for vm in vms if vm.pool == pool]
            known[pool] = self._rules(pool, theirs), (await self._management(pool))[0]
        async with asyncio.TaskGroup() as group:
            found = [
                tasks.spawn(group, _Visit(self._snapshot, vm, gate, until).run(*known[vm.pool]), f"check {vm.name}")
                for vm in vms
            ]
        return [task.result() for task in found]


class _Visit:
    """The check of one VM."""

    def __init__(self, snapshot: Snapshot, vm: Vm, gate: Gate, until: float) -> None:
        self._snapshot = snapshot
        self._vm = vm
        self._gate = gate
        self._until = until

    async def run(self, rules: Rules, management: list[Network]) -> VmFindings:
        """Try the ports, and judge the addresses."""
        usable, refused = firewall.usable(self._vm, rules)
        notes = [f"not called: {one}" for one in refused]
        notes += [
            f"{one} lies in the management network: take the VM's interface out of it, rules cannot stand between"
            for one in usable
            if firewall.inside(one, tuple(management))
        ]
        in_management = len(notes) > len(refused)
        try:
            wanted = self._wanted(usable)
        except LinkError as error:
            wanted, notes = [], [*notes, f"{error.cause} {error.remedy}"]
        async with asyncio.TaskGroup() as group:
            tried = [tasks.spawn(group, self._port(*one), f"try port {one[1]}") for one in wanted]
        ports = [task.result() for task in tried]
        notes += _unproven(ports)
        reached = any(one.ok for one in ports if one.expected == OPEN)
        ok = reached and not in_management and all(one.ok for one in ports if one.expected != OPEN)
        return VmFindings(vm=self._vm.id, name=self._vm.name, pool=self._vm.pool, ok=ok, ports=ports, notes=notes)

    def _wanted(self, usable: list[Address]) -> list[tuple[str, int, bool]]:
        """Return address, port, and whether it must be open. Raises `LinkError`."""
        port, texts = firewall.port_of(self._vm), tuple(map(str, usable))
        proven = self._proven()
        called = texts if proven or not texts else unclaimed(self._vm, texts, self._snapshot)
        wanted = [(address, port, True) for address in called]
        return wanted + [(proven, other, False) for other in FORBIDDEN if proven in called and other != port]

    def _proven(self) -> str:
        """Return the address at which the VM's own host key answers now; empty when there is none."""
        link = self._vm.link
        return link.address if link is not None and views.vm_state(self._vm) is LinkState.LIVE else ""

    async def _port(self, address: str, port: int, must_be_open: bool) -> PortFinding:  # noqa: FBT001 - a column
        async with self._gate():
            state = await _tried(address, port) if time.monotonic() < self._until else UNTRIED
        ok = (state == OPEN) if must_be_open else state not in {OPEN, UNTRIED}
        return PortFinding(
            address=address,
            port=port,
            expected=OPEN if must_be_open else "closed",
            state=state,
            ok=ok,
            remedy="" if ok else _remedy(port, state),
        )


def _unproven(ports: list[PortFinding]) -> list[str]:
    """Return what the findings leave open."""
    forbidden = [one for one in ports if one.expected != OPEN]
    if not forbidden:
        return [
            "whether other ports are closed was not tried: that is done only where it was recognised, by a live link"
        ]
    if any(one.state == CLOSED for one in forbidden):
        return ["no firewall stands between: closed ports say so themselves; `roadstead firewall` prints rules"]
    return []


async def _tried(address: str, port: int) -> str:
    try:
        (await dial(address, port, faults.SSH, CONNECT_SECONDS)).close()
    except LinkError as error:
        known = {"refused": CLOSED, "timed-out": SILENT}
        return known.get(error.code) or error.fields.get("reason", error.code)
    return OPEN


def _remedy(port: int, state: str) -> str:
    if state == UNTRIED:
        return "The time of a check was over: name this VM with --vm."
    if state == CLOSED:
        return f"Nobody listens: start the service of port {port} in the VM."
    if state != OPEN:
        return f"Let TCP {port} through to the VM: `roadstead firewall nft --place router` prints the rules."
    if port == ENGINE_IN_CLEAR:
        return "The engine can be used by everybody, without a key: take tcp:// out of its hosts now."
    return "Nothing of Roadstead needs it: the rules of `roadstead firewall` close it."
