"""The book: what a pool's events add up to, in whatever order they come, and what it forgives."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import PoolError
from roadstead.inventory.store import Store
from roadstead.model import Fact, Gone, Listed, Pool, PoolId, PowerState, Scope, Seen, Vm, VmId
from roadstead.peers.xapi.messages import Event
from roadstead.watch.book import CLASSES, Book
from tests.unit.fakes import records
from tests.unit.fakes.xapi import NULL, POOL_REF, event, host_fields, metrics_fields, pool_fields, vm_fields

GRACE = 2.0
URL = "https://10.0.0.1"
POOL = PoolId("pool-1")
POOL_SEEN = event("pool", POOL_REF, pool_fields())
OTHERS = [
    event("host", "ref:host-1", host_fields(1)),
    event("host", "ref:host-2", host_fields(2)),
    event("vm", "ref:vm-1", vm_fields(1)),
    event("vm", "ref:vm-2", vm_fields(2, resident_on="ref:host-2")),
    event("vm_guest_metrics", "ref:metrics-1", metrics_fields("192.0.2.1")),
    event("vm_guest_metrics", "ref:metrics-2", metrics_fields("192.0.2.2", "2001:db8::2")),
]
ONE, VM_REF, METRICS_REF = VmId("vm-1"), "ref:vm-1", "ref:metrics-1"
MONITOR, ADDRESS, HOST_KEY = "xscontainer-monitor", "roadstead-address", "xscontainer-sshhostkey"
SETTINGS = {MONITOR: "True", ADDRESS: "192.0.2.9", HOST_KEY: "AAAA"}


def _book(grace: float = GRACE, limit: int = 100) -> Book:
    return Book(records.pool(POOL, name="stored name", url=URL), grace, limit)


class Reader:
    """A book and the inventory that follows it."""

    def __init__(self) -> None:
        self.book = _book()
        self.store = Store()
        self.take(POOL_SEEN, *OTHERS)

    def take(self, *events: Event, now: float = 0.0) -> list[Fact]:
        """Take events; return what follows."""
        return self.note(self.book.take(events, now))

    def note(self, facts: Sequence[Fact]) -> list[Fact]:
        """Tell facts to the inventory."""
        self.store.apply(*facts)
        return list(facts)

    def vm_changes(self, ref: str = VM_REF, now: float = 0.0, **fields: Any) -> list[Fact]:
        """The first VM (or another one) changes."""
        return self.take(event("vm", ref, vm_fields(1, **fields)), now=now)

    def vm(self) -> Vm:
        """The first VM as the inventory has it."""
        return self.store.vms[ONE]


@pytest.fixture
def reader() -> Reader:
    """A reader of a pool with two hosts and two VMs."""
    return Reader()


def _seen(facts: Iterable[Fact]) -> list[str]:
    return [fact.record.id for fact in facts if isinstance(fact, Seen)]  # type: ignore[union-attr]


# ---- joining


def _summary(store: Store) -> list[tuple[object, ...]]:
    return sorted((vm.id, vm.pool, vm.host, vm.pool_name, vm.host_name, vm.addresses) for vm in store.vms.values())


COMPLETE = [
    ("vm-1", "pool-1", "host-1", "lab", "xen-1", ("192.0.2.1",)),
    ("vm-2", "pool-1", "host-2", "lab", "xen-2", ("192.0.2.2", "2001:db8::2")),
]


@given(st.permutations([POOL_SEEN, *OTHERS]))
def test_the_order_within_a_batch_does_not_matter(events: list[Event]) -> None:
    """Objects refer to each other; whichever stands first in an answer, the records are the same."""
    store = Store()
    store.apply(*_book().take(events, 0.0))
    assert _summary(store) == COMPLETE


@given(st.permutations(OTHERS))
def test_the_order_of_batches_does_not_matter(events: list[Event]) -> None:
    """Nor when each object comes alone, long before what it refers to."""
    book, store = _book(), Store()
    store.apply(*book.take([POOL_SEEN], 0.0))
    for one in events:
        store.apply(*book.take([one], 0.0))
    assert _summary(store) == COMPLETE


def test_only_what_changed_is_said(reader: Reader) -> None:
    """One guest's new address is a fact about that VM alone."""
    facts = reader.take(event("vm_guest_metrics", METRICS_REF, metrics_fields("192.0.2.77")))
    assert _seen(facts) == ["vm-1"]
    assert reader.vm().addresses == ("192.0.2.77",)


def test_metrics_that_say_the_same_say_nothing(reader: Reader) -> None:
    """Guest tools report memory every few seconds; that concerns nobody here."""
    assert reader.take(event("vm_guest_metrics", METRICS_REF, metrics_fields("192.0.2.1"))) == []


def test_a_vm_that_moves_is_joined_with_its_new_host(reader: Reader) -> None:
    """``resident_on`` is where it runs."""
    reader.vm_changes(resident_on="ref:host-2")
    assert reader.vm().host == "host-2"
    reader.vm_changes(resident_on=NULL, power_state="Halted")
    assert reader.vm().host is None


def test_the_pool_is_described_by_its_master(reader: Reader) -> None:
    """Version and, for a pool that nobody named, the name come from the master; a new master is a change."""
    pool = reader.store.pools[PoolId("pool-1")]
    assert (pool.name, pool.master, pool.version, pool.url, pool.live) == ("lab", "host-1", "XCP-ng 8.3.0", URL, True)
    reader.take(event("pool", POOL_REF, pool_fields(name_label="", master="ref:host-2")))
    pool = reader.store.pools[PoolId("pool-1")]
    assert (pool.name, pool.master) == ("xen-2", "host-2")


def test_the_pool_is_told_once_in_a_batch() -> None:
    """Complete: nobody reads of a pool without its master because the master stands further back in the answer."""
    facts = _book().take([POOL_SEEN, *OTHERS], 0.0)
    assert [fact.record.master for fact in facts if isinstance(fact, Seen) and isinstance(fact.record, Pool)] == [
        "host-1"
    ]


def test_a_host_that_goes_is_gone(reader: Reader) -> None:
    """And only once."""
    assert reader.take(event("host", "ref:host-2", None)) == [Gone("host", "host-2", POOL)]
    assert reader.take(event("host", "ref:host-2", None)) == []
    assert [host.id for host in reader.book.hosts] == ["host-1"]


# ---- addresses


def test_addresses_count_only_while_the_vm_runs(reader: Reader) -> None:
    """XAPI keeps the last ones readable: of a VM that is off they mean nothing."""
    reader.vm_changes(power_state="Halted")
    assert reader.vm().addresses == ()
    reader.vm_changes(power_state="Running")
    assert reader.vm().addresses == ("192.0.2.1",)


def test_a_new_boot_has_metrics_of_its_own(reader: Reader) -> None:
    """After a start only the new object counts, which at first says nothing; the old one's deletion changes nothing."""
    reader.vm_changes(power_state="Halted", guest_metrics=NULL)
    reader.vm_changes(power_state="Running", guest_metrics="ref:metrics-new")
    assert reader.vm().addresses == ()
    reader.take(event("vm_guest_metrics", METRICS_REF, None))
    assert reader.vm().addresses == ()
    reader.take(event("vm_guest_metrics", "ref:metrics-new", metrics_fields("192.0.2.50")))
    assert reader.vm().addresses == ("192.0.2.50",)


def test_late_words_of_the_old_boot_are_ignored(reader: Reader) -> None:
    """An object that the VM no longer refers to says nothing of it."""
    reader.vm_changes(guest_metrics="ref:metrics-new")
    reader.take(event("vm_guest_metrics", METRICS_REF, metrics_fields("192.0.2.66")))
    assert reader.vm().addresses == ()


# ---- what is no VM


@pytest.mark.parametrize("field", ["is_a_template", "is_a_snapshot", "is_control_domain"])
def test_what_is_no_vm_is_left_out(field: str) -> None:
    """Templates, snapshots and control domains are objects of the class VM, too."""
    book = _book()
    facts = book.take([POOL_SEEN, event("vm", VM_REF, vm_fields(1, **{field: True}))], 0.0)
    assert _seen(facts) == ["pool-1"]
    assert book.listing()[1] == Listed(Scope("vm", PoolId("pool-1")), frozenset())


def test_a_vm_that_becomes_a_template_goes_and_comes_back(reader: Reader) -> None:
    """Both are one change of the same object."""
    assert reader.vm_changes(is_a_template=True) == [Gone("vm", "vm-1", POOL)]
    assert reader.vm_changes(is_a_template=True) == []
    assert _seen(reader.vm_changes()) == ["vm-1"]
    assert reader.vm().addresses == ("192.0.2.1",)


def test_a_vm_that_is_destroyed_goes_once(reader: Reader) -> None:
    """Also when it was a template last: then nobody knew it."""
    reader.vm_changes(is_a_template=True)
    assert reader.take(event("vm", VM_REF, None)) == []
    assert reader.take(event("vm", "ref:vm-2", None)) == [Gone("vm", "vm-2", POOL)]
    assert reader.take(event("vm", "ref:vm-2", None)) == []


def test_a_state_of_power_that_we_do_not_know_is_unknown(reader: Reader) -> None:
    """A newer XAPI may have more of them."""
    reader.vm_changes(power_state="Dreaming")
    assert reader.vm().power is PowerState.UNKNOWN


@pytest.mark.parametrize("cls", ["task", "message", ""])
def test_other_classes_are_ignored(reader: Reader, cls: str) -> None:
    """Nobody subscribed to them."""
    assert reader.take(event(cls, "ref:x", {"uuid": "x"}), event(cls, "ref:x", None)) == []


# ---- keys that vanish


def _configured(reader: Reader, settings: dict[str, str], now: float = 0.0) -> None:
    reader.vm_changes(other_config=settings, now=now)


def _without(key: str) -> dict[str, str]:
    return {name: value for name, value in SETTINGS.items() if name != key}


@pytest.fixture
def configured(reader: Reader) -> Reader:
    """Its first VM has a user, a key and is managed."""
    _configured(reader, SETTINGS)
    return reader


@pytest.mark.parametrize("key", sorted(SETTINGS))
def test_an_update_of_a_key_is_never_seen_as_its_absence(configured: Reader, key: str) -> None:
    """XAPI has no replacement of one key: whoever updates removes and adds, and we read the gap between the two."""
    _configured(configured, _without(key), now=10.0)
    assert configured.vm().settings == SETTINGS
    configured.note(configured.book.due(11.9))
    assert configured.vm().settings == SETTINGS
    _configured(configured, SETTINGS | {key: "other"}, now=11.9)
    assert configured.vm().settings == SETTINGS | {key: "other"}
    assert configured.book.next_due() is None


def test_a_gap_that_ends_as_it_was_is_no_change(configured: Reader) -> None:
    """Not one change reaches a reader."""
    before = configured.store.number
    _configured(configured, _without(MONITOR), now=10.0)
    _configured(configured, SETTINGS, now=11.0)
    assert configured.book.due(20.0) == []
    assert configured.store.number == before


def test_a_key_that_stays_away_is_gone_after_the_grace(configured: Reader) -> None:
    """Management that was disabled by removing the key ends 2 s later."""
    _configured(configured, _without(MONITOR), now=10.0)
    assert configured.book.next_due() == 12.0
    assert configured.book.due(11.99) == []
    assert configured.vm().enabled
    configured.note(configured.book.due(12.0))
    assert not configured.vm().enabled
    assert configured.book.next_due() is None


def test_other_changes_do_not_lengthen_the_grace(configured: Reader) -> None:
    """However often the VM changes meanwhile."""
    for now in (10.0, 11.0, 11.9):
        _configured(configured, _without(MONITOR), now=now)
    assert configured.book.next_due() == 12.0
    configured.note(configured.book.due(12.0))
    assert not configured.vm().enabled


def test_the_grace_ends_with_a_change_too(configured: Reader) -> None:
    """An event that comes later than the end tells the absence itself."""
    _configured(configured, _without(MONITOR), now=10.0)
    _configured(configured, _without(MONITOR), now=13.0)
    assert not configured.vm().enabled


def test_each_key_has_its_own_grace(configured: Reader) -> None:
    """Two keys that vanish one after the other go one after the other."""
    _configured(configured, _without(MONITOR), now=10.0)
    _configured(configured, {ADDRESS: "192.0.2.9"}, now=11.0)
    configured.note(configured.book.due(12.0))
    assert set(configured.vm().settings) == {ADDRESS, HOST_KEY}
    assert configured.book.next_due() == 13.0
    configured.note(configured.book.due(13.0))
    assert set(configured.vm().settings) == {ADDRESS}


def test_a_changed_value_needs_no_grace(configured: Reader) -> None:
    """What is there is taken at once."""
    _configured(configured, SETTINGS | {MONITOR: "False"}, now=10.0)
    assert not configured.vm().enabled


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(event("vm", VM_REF, None), id="destroyed"),
        pytest.param(event("vm", VM_REF, vm_fields(1, is_a_template=True)), id="template"),
    ],
)
def test_a_vm_that_goes_during_the_grace_stays_gone(configured: Reader, ending: Event) -> None:
    """The end of the grace brings nothing back."""
    _configured(configured, _without(MONITOR), now=10.0)
    configured.take(ending, now=11.0)
    assert configured.book.due(20.0) == []
    assert ONE not in configured.store.vms


def test_without_a_grace_absence_counts_at_once() -> None:
    """The setting may be zero."""
    book, store = _book(0.0), Store()
    store.apply(*book.take([POOL_SEEN, *OTHERS], 0.0))
    store.apply(*book.take([event("vm", VM_REF, vm_fields(1, other_config={}))], 1.0))
    assert not store.vms[ONE].enabled


# ---- deletions that got lost


def test_equal_counts_mean_that_nothing_is_lost(reader: Reader) -> None:
    """Objects that are no VMs count as well; classes that nobody counts are not asked for."""
    reader.take(event("vm", "ref:template", vm_fields(9, is_a_template=True)))
    assert reader.book.lost({"host": 2, "vm": 3, "vm_guest_metrics": 2}) == []
    assert reader.book.lost({}) == []


@pytest.mark.parametrize("cls", ["host", "vm", "vm_guest_metrics"])
@pytest.mark.parametrize("count", [1, 3])
def test_another_count_names_the_class(reader: Reader, cls: str, count: int) -> None:
    """Fewer: deletions got lost. More: something was not told."""
    assert reader.book.lost({"host": 2, "vm": 2, "vm_guest_metrics": 2} | {cls: count}) == [cls]


def test_a_listing_of_a_class_finds_what_went_and_what_came(reader: Reader) -> None:
    """What is not in it is gone, what is new is seen, what changed is changed."""
    listed = {"ref:vm-2": vm_fields(2, name_label="new name"), "ref:vm-3": vm_fields(3)}
    facts = reader.note(reader.book.relist("vm", listed, 0.0))  # type: ignore[arg-type]
    assert facts[0] == Gone("vm", "vm-1", POOL)
    assert sorted(reader.store.vms) == ["vm-2", "vm-3"]
    assert reader.store.vms[VmId("vm-2")].name == "new name"
    assert reader.book.lost({"vm": 2}) == []


def test_metrics_that_went_unseen_are_forgotten(reader: Reader) -> None:
    """Nobody keeps what the pool no longer has."""
    reader.note(reader.book.relist("vm_guest_metrics", {"ref:metrics-2": metrics_fields("192.0.2.2")}, 0.0))  # type: ignore[dict-item]
    assert reader.book.lost({"vm_guest_metrics": 1}) == []


def test_the_whole_listing_says_what_exists(reader: Reader) -> None:
    """So that the inventory drops what went while nobody listened."""
    hosts, vms = reader.book.listing()
    assert (hosts.scope, hosts.ids) == (Scope("host", PoolId("pool-1")), {"host-1", "host-2"})  # type: ignore[union-attr]
    assert (vms.scope, vms.ids) == (Scope("vm", PoolId("pool-1")), {"vm-1", "vm-2"})  # type: ignore[union-attr]


def test_an_empty_book_says_nothing() -> None:
    """Before the pool itself was seen nobody knows whose listing it would be."""
    book = _book()
    assert (book.pool, list(book.hosts), book.listing(), book.next_due()) == (None, [], [], None)


def test_what_is_read_is_what_is_subscribed_to() -> None:
    """Five classes, in the order in which they are joined."""
    assert CLASSES == ("pool", "host", "vm", "vm_guest_metrics", "vm_metrics")


# ---- whose it is


@pytest.mark.parametrize("uuid", ["pool-2", "POOL-1"])
def test_a_pool_of_another_id_is_refused_before_anything_is_said(uuid: str) -> None:
    """Wherever in a batch it stands."""
    book = _book()
    with pytest.raises(PoolError) as caught:
        book.take([*OTHERS, event("pool", POOL_REF, pool_fields(uuid=uuid, name_label="another"))], 0.0)
    assert (caught.value.code, caught.value.fields["pool"]) == ("pool-other-answers", "stored name")
    assert caught.value.fields["other"] == f"another ({uuid})"


@pytest.mark.parametrize("uuid", ["", None, 7])
def test_what_has_no_id_is_ignored(reader: Reader, uuid: object) -> None:
    """A pool, host or VM without one is no record, but it counts among the pool's objects."""
    before = dict(reader.store.vms), dict(reader.store.hosts), dict(reader.store.pools)
    facts = reader.take(
        event("pool", "ref:other", pool_fields(uuid=uuid)),
        event("host", "ref:host-9", host_fields(9, uuid=uuid)),
        event("vm", "ref:vm-9", vm_fields(9, uuid=uuid, resident_on="ref:host-9")),
        event("vm_guest_metrics", "ref:metrics-9", metrics_fields("192.0.2.9")),
    )
    assert facts == []
    assert (reader.store.vms, reader.store.hosts, reader.store.pools) == before
    assert reader.book.lost({"host": 3, "vm": 3, "vm_guest_metrics": 3}) == []
    assert [host.id for host in reader.book.hosts] == ["host-1", "host-2"]
    assert all("" not in fact.ids for fact in reader.book.listing() if isinstance(fact, Listed))
    assert reader.take(event("host", "ref:host-9", None), event("vm", "ref:vm-9", None)) == []


def test_a_vm_may_run_on_a_host_without_an_id(reader: Reader) -> None:
    """Then it is known to run nowhere."""
    reader.take(event("host", "ref:host-9", host_fields(9, uuid="")))
    reader.vm_changes(resident_on="ref:host-9")
    assert reader.vm().host is None


@pytest.mark.parametrize("cls", ["vm", "host", "vm_guest_metrics", "vm_metrics"])
def test_a_pool_has_bounds(cls: str) -> None:
    """More objects than the limit are refused by the name of their class."""
    book = _book(limit=3)
    book.take([POOL_SEEN, *(event(cls, f"ref:{number}", vm_fields(number)) for number in range(3))], 0.0)
    with pytest.raises(PoolError) as caught:
        book.take([event(cls, "ref:3", vm_fields(3))], 0.0)
    assert caught.value.code == "pool-too-large"
    assert (caught.value.fields["kind"].lower(), caught.value.fields["count"]) == (cls, "4")


# ---- since when a VM runs


@pytest.mark.parametrize("text", ["20300101T00:00:07Z", "2030-01-01T00:00:07Z", "20300101T00:00:07"])
def test_a_vm_that_runs_says_since_when(reader: Reader, text: str) -> None:
    """As its metrics have it, in any spelling; one that does not run has no such time."""
    reader.vm_changes(metrics="ref:vm-metrics-1")
    assert reader.vm().started is None
    assert _seen(reader.take(event("vm_metrics", "ref:vm-metrics-1", {"start_time": text}))) == ["vm-1"]
    assert reader.vm().started == records.at(7)
    assert reader.take(event("vm_metrics", "ref:vm-metrics-1", {"start_time": text})) == []
    reader.vm_changes(metrics="ref:vm-metrics-1", power_state="Halted")
    assert reader.vm().started is None


@pytest.mark.parametrize("value", ["19700101T00:00:00Z", "", "soon", None, 7])
def test_a_start_that_nobody_noted_is_unknown(reader: Reader, value: object) -> None:
    """XAPI says 1970 for never."""
    reader.vm_changes(metrics="ref:vm-metrics-1")
    reader.take(event("vm_metrics", "ref:vm-metrics-1", {"start_time": value}))
    assert reader.vm().started is None
