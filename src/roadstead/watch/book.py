"""What the events of one pool add up to: its objects joined into our records. Pure; `watch.pool` does the waiting.

Objects of XAPI refer to each other and change separately: a VM's addresses stand in its guest metrics, where it runs
is a reference to a host that may not have been seen yet. The book holds the little that we need of each object and
says, after each batch of events, which records are new.

A key of ``other_config`` that disappears counts as gone only after a grace: XAPI has no replacement of one key, so
whoever updates it removes and adds it, and readers see the gap.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from msgspec.structs import replace

from roadstead.errors import PoolError
from roadstead.kit import clocks
from roadstead.model import Fact, Gone, Host, HostId, Listed, Pool, Scope, Seen, Vm, VmId
from roadstead.peers.xapi import faults, messages
from roadstead.peers.xapi.messages import Event, Fields

CLASSES = ("pool", "host", "vm", "vm_guest_metrics", "vm_metrics", "message")
"""What is subscribed to, spelled as events spell it."""
T = TypeVar("T")
_NOTHING: Mapping[str, str] = {}
_ORDER = {name: place for place, name in enumerate(CLASSES)}


@dataclass(slots=True)
class _VmEntry:
    """One VM object: its record without what is joined, and what it refers to. ``vm`` is None when it is no real VM, or
    one without an id.
    """

    vm: Vm | None
    resident_on: str | None
    guest_metrics: str | None
    metrics: str | None
    published: Mapping[str, str]
    """Digests of what the VM publishes."""
    held: dict[str, tuple[str, float]]
    """Settings that vanished: their last value and when they count as gone (seconds of the loop's clock)."""


class Book:
    """The objects of one pool, of which ``stored`` is known. ``grace`` is in seconds; ``limit`` is how many objects of
    a class are taken.

    Whose facts these are is said by ``stored``, never by what is in an event: a pool that calls itself by another id is
    another pool.
    """

    def __init__(self, stored: Pool, grace: float, limit: int) -> None:
        self._stored = stored
        self._id = stored.id
        self._grace = grace
        self._limit = limit
        self._pool: Pool | None = None
        self._pool_snapshot: Mapping[str, Any] = {}
        self._hosts: dict[str, Host] = {}
        self._versions: dict[str, str] = {}
        self._vms: dict[str, _VmEntry] = {}
        self._addresses: dict[str, tuple[str, ...] | None] = {}
        self._starts: dict[str, datetime | None] = {}
        self._measured: dict[str, str] = {}
        """Metrics and guest metrics → the VM whose they are."""
        self._holding: set[str] = set()
        self._news: dict[VmId, Mapping[str, str]] = {}
        self._alerts: dict[str, tuple[VmId, str]] = {}
        self._alerted: set[VmId] = set()

    @property
    def pool(self) -> Pool | None:
        """The pool's record, once it was seen."""
        return self._pool

    @property
    def hosts(self) -> Iterable[Host]:
        """The pool's hosts."""
        return [host for host in self._hosts.values() if host.id]

    def take(self, events: Iterable[Event], now: float) -> list[Fact]:
        """Take in a batch of events at ``now`` (the loop's clock) and return what follows.

        Raises `PoolError` ``pool-other-answers`` or ``pool-too-large``: then nothing of the batch counts.
        """
        dirty: dict[str, None] = {}
        facts: list[Fact] = []
        for event in sorted(events, key=lambda event: _ORDER.get(event.cls, len(_ORDER))):
            facts += self._take_one(event, dirty, now)
        self._check_size()
        return [*self._pool_facts(), *facts, *self._joined(dirty)]

    def published(self) -> Mapping[VmId, Mapping[str, str]]:
        """Return the VMs that are new, or of which the pool holds other published values than when this was asked last,
        with these by their digests. Of a new VM it is told, too, that there are none: a pool that was lost and found
        may have lost some.
        """
        news, self._news = self._news, {}
        return news

    def alerts(self) -> Mapping[VmId, Mapping[str, str]]:
        """Return the VMs that are new, or about which the pool holds other alerts than when this was asked last: all
        bodies by their references.
        """
        found: dict[VmId, dict[str, str]] = {vm: {} for vm in self._alerted}
        for ref, (vm, body) in self._alerts.items():
            if vm in found:
                found[vm][ref] = body
        self._alerted.clear()
        return found

    def due(self, now: float) -> list[Fact]:
        """Return what follows from keys that are absent for longer than the grace."""
        dirty: dict[str, None] = {}
        for ref in list(self._holding):
            entry = self._vms.get(ref)
            if entry is None or self._let_go(ref, entry, now):
                dirty[ref] = None
        return list(self._joined(dirty))

    def next_due(self) -> float | None:
        """When `due` should be asked next (the loop's clock), or None."""
        times = [when for ref in self._holding if ref in self._vms for _, when in self._vms[ref].held.values()]
        return min(times, default=None)

    def lost(self, counts: Mapping[str, int]) -> list[str]:
        """Return the classes of which the pool has another number of objects than the book: deletions got lost."""
        return [name for name, held in self._held().items() if counts.get(name, len(held)) != len(held)]

    def relist(self, name: str, snapshots: Mapping[str, Fields], now: float) -> list[Fact]:
        """Take a complete listing of the class ``name`` and return what follows."""
        gone = [Event(name, "del", ref) for ref in self._held()[name] if ref not in snapshots]
        return self.take([*gone, *(Event(name, "mod", ref, found) for ref, found in snapshots.items())], now)

    def listing(self) -> list[Fact]:
        """Return the facts that say what exists: everything of the pool that is not in the book is gone."""
        if self._pool is None:
            return []
        hosts = frozenset[str](host.id for host in self.hosts)
        vms = frozenset[str](entry.vm.id for entry in self._vms.values() if entry.vm is not None)
        return [Listed(Scope("host", self._id), hosts), Listed(Scope("vm", self._id), vms)]

    def _held(self) -> dict[str, Mapping[str, object]]:
        """What is held of each class of which there are several objects."""
        return {
            "host": self._hosts,
            "vm": self._vms,
            "vm_guest_metrics": self._addresses,
            "vm_metrics": self._starts,
        }

    def _check_size(self) -> None:
        for name, held in self._held().items():
            if len(held) > self._limit:
                kind, count = messages.CLASSES[name], len(held)
                raise PoolError("pool-too-large", pool=self._stored.name, kind=kind, count=count, limit=self._limit)

    # ---- one event

    def _take_one(self, event: Event, dirty: dict[str, None], now: float) -> list[Fact]:
        match event.cls, event.snapshot:
            case "pool", dict(snapshot) if messages.string(snapshot, "uuid"):
                faults.check_identity(snapshot, self._id, address=self._stored.url, pool=self._stored.name)
                self._pool_snapshot = {key: snapshot.get(key) for key in ("uuid", "name_label", "master")}
            case "host", snapshot:
                return self._take_host(event.ref, snapshot, dirty)
            case "vm", dict(snapshot):
                return self._take_vm(event.ref, snapshot, dirty, now)
            case "vm", None:
                return self._drop_vm(event.ref)
            case "vm_guest_metrics", dict(snapshot):
                self._take_measure(self._addresses, event.ref, messages.announced(snapshot), dirty)
            case "vm_metrics", dict(snapshot):
                self._take_measure(self._starts, event.ref, messages.start_time(snapshot), dirty)
            case "vm_guest_metrics" | "vm_metrics", None:
                self._drop_measure(event.ref)
            case "message", snapshot:
                self._take_message(event.ref, snapshot)
        return []

    def _take_host(self, ref: str, snapshot: Mapping[str, Any] | None, dirty: dict[str, None]) -> list[Fact]:
        old = self._hosts.pop(ref, None)
        if snapshot is None:
            return [Gone("host", old.id, self._id)] if old is not None and old.id else []
        host = messages.host_record(snapshot, pool=self._id, as_of=clocks.now())
        self._hosts[ref], self._versions[ref] = host, messages.host_version(snapshot)
        if old is None:
            dirty.update(dict.fromkeys(key for key, entry in self._vms.items() if entry.resident_on == ref))
        return [Seen(host)] if host.id else []

    def _take_vm(self, ref: str, snapshot: Mapping[str, Any], dirty: dict[str, None], now: float) -> list[Fact]:
        old = self._vms.get(ref)
        vm = None
        if messages.is_real_vm(snapshot) and messages.string(snapshot, "uuid"):
            vm = messages.vm_record(snapshot, pool=self._id, as_of=clocks.now())
        resident_on, guest_metrics, metrics = (
            messages.reference(snapshot, field) for field in ("resident_on", "guest_metrics", "metrics")
        )
        published = messages.published(snapshot) if vm is not None else {}
        entry = _VmEntry(vm, resident_on, guest_metrics, metrics, published or _NOTHING, {})
        self._vms[ref] = entry
        if vm is not None and (old is None or entry.published != old.published):
            self._news[vm.id] = entry.published
        if vm is not None and old is None:
            self._alerted.add(vm.id)
        self._measured.update((each, ref) for each in (guest_metrics, metrics) if vm is not None and each is not None)
        if old is not None and old.vm is not None:
            self._hold(ref, entry, old, now)
        if vm is None:
            return [Gone("vm", old.vm.id, self._id)] if old is not None and old.vm is not None else []
        dirty[ref] = None
        return []

    def _drop_vm(self, ref: str) -> list[Fact]:
        entry = self._vms.pop(ref, None)
        self._holding.discard(ref)
        return [Gone("vm", entry.vm.id, self._id)] if entry is not None and entry.vm is not None else []

    def _take_measure(self, held: dict[str, T], ref: str, value: T, dirty: dict[str, None]) -> None:
        if (ref not in held or held[ref] != value) and ref in self._measured:
            dirty[self._measured[ref]] = None
        held[ref] = value

    def _drop_measure(self, ref: str) -> None:
        self._addresses.pop(ref, None)
        self._starts.pop(ref, None)
        self._measured.pop(ref, None)

    def _take_message(self, ref: str, snapshot: Mapping[str, Any] | None) -> None:
        old = self._alerts.pop(ref, None)
        new = messages.message_about_vm(snapshot, messages.CANNOT_MONITOR) if snapshot is not None else None
        if new is not None and len(self._alerts) < self._limit:
            self._alerts[ref] = new
        self._alerted.update(vm for vm, _ in filter(None, (old, new)))

    # ---- keys that vanish

    def _hold(self, ref: str, entry: _VmEntry, old: _VmEntry, now: float) -> None:
        """Keep the settings that were there and are not, until they are absent for long enough."""
        if entry.vm is None or old.vm is None:
            return
        known = {key: (value, now + self._grace) for key, value in old.vm.settings.items()}
        known.update(old.held)
        entry.held = {key: kept for key, kept in known.items() if key not in entry.vm.settings}
        if entry.held:
            self._holding.add(ref)
            self._let_go(ref, entry, now)
        else:
            self._holding.discard(ref)

    def _let_go(self, ref: str, entry: _VmEntry, now: float) -> bool:
        """Forget the held settings whose time has come; tell whether there were any."""
        left = {key: kept for key, kept in entry.held.items() if kept[1] > now}
        changed = len(left) != len(entry.held)
        entry.held = left
        if not left:
            self._holding.discard(ref)
        return changed

    # ---- joining

    def _joined(self, refs: Iterable[str]) -> Iterator[Fact]:
        for ref in refs:
            entry = self._vms.get(ref)
            if entry is not None and entry.vm is not None:
                yield Seen(self._join(entry, entry.vm))

    def _join(self, entry: _VmEntry, vm: Vm) -> Vm:
        host = self._hosts.get(entry.resident_on or "")
        announced = self._addresses.get(entry.guest_metrics or "") if vm.running else ()
        started = self._starts.get(entry.metrics or "") if vm.running else None
        settings = vm.settings | {key: value for key, (value, _) in entry.held.items()}
        joined = replace(vm, host=_id(host), addresses=announced or (), started=started, settings=settings)
        return joined if announced is not None else replace(joined, has_tools=False)

    def _pool_facts(self) -> list[Fact]:
        if not self._pool_snapshot:
            return []
        ref = messages.reference(self._pool_snapshot, "master") or ""
        master = self._hosts.get(ref)
        pool = messages.pool_record(
            self._pool_snapshot,
            url=self._stored.url,
            master=_id(master),
            version=self._versions.get(ref, ""),
            fallback_name=master.name if master else "",
            as_of=clocks.now(),
        )
        if self._pool is not None and replace(self._pool, as_of=pool.as_of) == pool:
            return []
        self._pool = pool
        return [Seen(pool)]


def _id(host: Host | None) -> HostId | None:
    return host.id or None if host is not None else None
