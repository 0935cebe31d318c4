"""Everything between the peers and the API, connected: facts flow into the store, changes out of it."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from roadstead.act.audit import Audit
from roadstead.act.commands import Commands
from roadstead.act.drives.config_drives import ConfigDrives
from roadstead.act.drives.readiness import Readiness
from roadstead.act.drives.templates import Templates
from roadstead.act.drives.vm_drives import VmDrives
from roadstead.act.firewall import Firewall
from roadstead.act.guests.checks import Checks, Means
from roadstead.act.guests.grounds import Grounds
from roadstead.act.guests.guest import Services
from roadstead.act.guests.links import Links
from roadstead.act.guests.logs import Logs
from roadstead.act.guests.operations import Operations
from roadstead.act.guests.pinning import PinWriter
from roadstead.act.guests.sign_ins import SignIns
from roadstead.act.guests.ssh_ways import SshWays
from roadstead.act.guests.tls_ways import TlsWays
from roadstead.act.guests.unix_ways import UnixWays
from roadstead.act.guests.usages import Usages
from roadstead.act.guests.vms import Vms
from roadstead.act.guests.ways import Ways
from roadstead.act.leftovers import Leftovers
from roadstead.act.memory import Memories
from roadstead.act.plugin.access import PluginAccess, PluginDoor
from roadstead.act.plugin.dom0_preparing import Dom0Preparing
from roadstead.act.plugin.functions import PluginCalls
from roadstead.act.plugin.hosts import PluginHosts
from roadstead.act.pools.pools import Pools
from roadstead.act.preparing.lent_agents import LentAgents
from roadstead.act.preparing.over_ssh import SshPreparing
from roadstead.act.preparing.over_tls import TlsPreparations
from roadstead.act.preparing.preparing import Preparing
from roadstead.act.preparing.tls_conversation import TlsConversation
from roadstead.act.preparing.tls_expiry import Expiries
from roadstead.act.preparing.tls_trials import TlsTrials
from roadstead.act.publishing.outputs import Outputs, PoolDoor
from roadstead.act.rotation import Rotations
from roadstead.inventory.feed import Feed
from roadstead.inventory.store import Store
from roadstead.kit import clocks, tasks
from roadstead.kit.gates import Budget, Gate
from roadstead.model import (
    LOCAL_HOST,
    LOCAL_POOL,
    ContainerId,
    Fact,
    Host,
    Pool,
    PoolId,
    PowerState,
    Seen,
    Vm,
    VmId,
    config_keys,
    split_container_id,
)
from roadstead.peers.database.client import Database
from roadstead.peers.links.dialing import Gates
from roadstead.plan.publishing import Choice
from roadstead.settings.schema import LinkSettings, Settings


class Kept(NamedTuple):
    """What commands stand on: what outlasts a run, the pools in it, and the notes of what was done."""

    database: Database
    pools: Pools
    audit: Audit


class Core:
    """The working parts of one server. ``engines`` are the paths of engine sockets on this machine, ``door`` is where
    plugins of pools are listened for.
    """

    def __init__(
        self, settings: Settings, database: Database, engines: Sequence[Path] = (), door: PluginDoor | None = None
    ) -> None:
        # Numbers begin at the present microsecond, so that a reader who knew an earlier run is told to list again:
        # no run makes a million changes in a second, so none gets as far as the next one's beginning.
        first = time.time_ns() // 1000
        self.store = Store(first)
        self.feed = Feed(settings.server.feed_changes, settings.server.feed_bytes, first)
        self._local = {VmId(f"local-{number}"): str(path) for number, path in enumerate(engines, 1)}
        self._memories = Memories(database)
        self._settings = settings
        audit = Audit(database, settings.audit)
        pools = Pools(database, self._memories, audit, settings.pool, self.tell, self._rules_changed, self._outputs)
        self._pins = PinWriter(self.store, pools.keepers, self._memories, self._reconnect)
        self._sign_ins = SignIns(settings.link.retry_first_seconds)
        grounds = self._grounds(pools, settings.link)
        self._ssh = SshWays(grounds, self._pins.signed_in)
        self._ways = Ways(self.store, self._ssh, TlsWays(grounds), UnixWays(self._local), settings.link)
        self._leftovers = Leftovers(self.store, pools.keepers, self._memories, self._forget, settings.pool)
        budget = Budget(settings.engine.in_flight_bytes, settings.engine.answer_bytes)
        services = Services(settings, budget, self.tell, self._names, self._sign_ins, self._ways.turn)
        self.links = Links(self.store, self._ways.open, services)
        self.commands = self._built(Kept(database, pools, audit), door, budget)

    def _built(self, kept: Kept, door: PluginDoor | None, budget: Budget) -> Commands:
        """Return everything that can be asked for."""
        settings, (database, pools, audit) = self._settings, kept
        vms = Vms(self.store, pools, self.links, self._ssh, self._memories, audit)
        rotations = Rotations(self.store, pools, self.links, self._ssh, self._memories, audit, settings)
        rules = Firewall(self.store, pools, settings.link, audit)
        trials = TlsTrials(self.store, self._ways.tls, settings, budget)
        tls = TlsPreparations(self.store, pools, self.links, trials, rules, audit, settings)
        expiries = Expiries(self.store, pools, self.links)
        operations = Operations(vms, audit, settings.server)
        templates = Templates(database.templates, audit)
        drives = ConfigDrives(pools, templates)
        wishes = VmDrives(drives, templates, vms, audit)
        readiness = Readiness(drives, self._memories)
        calls = PluginCalls(self.store, pools, vms, operations, (drives, readiness), audit)
        access = PluginAccess(database, pools, door, audit)
        hosts = PluginHosts(pools, settings.link, audit)
        means = Means(self._ways, budget, settings, self._names)
        checks = Checks(self.store, means, audit)
        watching = (self.links, self._ssh, self._memories, vms)
        agents = LentAgents()
        over_ssh = SshPreparing(self.store, (*watching, agents), audit, settings, budget)
        guests = Preparing(self.store, pools, over_ssh, TlsConversation(tls, trials, vms, audit))
        return Commands(
            pools,
            rotations,
            vms,
            tls,
            expiries,
            operations,
            Usages(vms, operations),
            Logs(vms, operations, settings),
            calls,
            access,
            hosts,
            rules,
            checks,
            wishes,
            templates,
            readiness,
            guests,
            Dom0Preparing(self.store, guests, audit),
            agents,
            audit,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        await self._memories.load()
        async with asyncio.TaskGroup() as group:
            tasks.spawn(group, self._memories.run(), "memories")
            tasks.spawn(group, self.commands.audit.run(), "audit")
            tasks.spawn(group, self._pins.run(), "pins")
            tasks.spawn(group, self._leftovers.run(), "leftovers")
            tasks.spawn(group, self.links.run(), "links")
            tasks.spawn(group, self.commands.operations.run(), "operations")
            tasks.spawn(group, self.commands.rotations.run(), "rotations")
            tasks.spawn(group, self.commands.checks.run(), "checks")
            tasks.spawn(group, self.commands.certificates.run(), "certificates")
            tasks.spawn(group, self.commands.pools.run(), "pools")
            self.tell(_local_facts(self._local))

    def tell(self, facts: Sequence[Fact]) -> None:
        """Take in facts: the inventory changes, readers hear of it, and links follow."""
        changes = self.store.apply(*facts)
        self.feed.publish(changes)
        for change in changes:
            if change.kind == "vm":
                self.links.consider(VmId(change.id))
                self._pins.consider(VmId(change.id))
                self._leftovers.consider(VmId(change.id))
                self.commands.rotations.consider(VmId(change.id))
                # Each pool: one that has no such VM any more may still hold something about it.
                for keeper in self.commands.pools.keepers.values():
                    keeper.outputs.consider(VmId(change.id))
            elif change.kind == "pool":
                self._leftovers.consider_pool(PoolId(change.id))
                self._pins.consider_pool(PoolId(change.id))
            elif change.kind == "container":
                vm, _ = split_container_id(ContainerId(change.id))
                for outputs in self._outputs_of(vm):
                    outputs.consider_containers(vm)

    def statistics(self) -> Mapping[str, Mapping[str, int]]:
        """How much of everything there is."""
        return {
            "inventory": self.store.statistics(),
            "pools": self.commands.pools.statistics(),
            "links": self.links.statistics(),
            "logs": {"readers": self.commands.logs.readers},
            "outputs": {"writes": sum(keeper.outputs.writes for keeper in self.commands.pools.keepers.values())},
        }

    def _grounds(self, pools: Pools, settings: LinkSettings) -> Grounds:
        gates = Gates(Gate(settings.parallel_connects), Gate(settings.parallel_logins))
        memories, sign_ins = self._memories, self._sign_ins
        return Grounds(self.store, pools.keepers, pools.rules, memories, settings, gates, sign_ins, pools.name)

    def _outputs(self, pool: PoolDoor, choice: Callable[[], Choice]) -> Outputs:
        return Outputs(self.store, self._settings, pool, choice)

    def _outputs_of(self, vm_id: VmId) -> Iterator[Outputs]:
        vm = self.store.vms.get(vm_id)
        keeper = self.commands.pools.keepers.get(vm.pool) if vm is not None else None
        if keeper is not None:
            yield keeper.outputs

    def _names(self, vm_id: VmId) -> dict[str, str]:
        vm = self.store.vms.get(vm_id)
        return {"vm": vm.name, "uuid": vm.id, "pool": vm.pool_name} if vm is not None else {}

    def _rules_changed(self, pool: PoolId) -> None:
        self.links.rules_changed(pool, self.commands.pools.rules(pool))

    def _reconnect(self, vm: VmId) -> None:
        self.links.reconnect(vm)

    def _forget(self, vm: VmId) -> None:
        self._pins.forget(vm)
        self._ssh.forget(vm)
        self._sign_ins.forget(vm)


def _local_facts(engines: Mapping[VmId, str]) -> list[Fact]:
    """The facts that make engines on this machine look like VMs of a pool."""
    if not engines:
        return []
    now = clocks.now()
    facts: list[Fact] = [
        Seen(Pool(id=LOCAL_POOL, name="local", master=LOCAL_HOST, live=True, as_of=now)),
        Seen(Host(id=LOCAL_HOST, pool=LOCAL_POOL, name="local", as_of=now)),
    ]
    for id in engines:
        vm = Vm(
            id=id,
            pool=LOCAL_POOL,
            name=id,
            host=LOCAL_HOST,
            power=PowerState.RUNNING,
            settings={config_keys.MONITOR: config_keys.ENABLED},
            as_of=now,
        )
        facts.append(Seen(vm))
    return facts
