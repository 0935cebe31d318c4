"""What gone VMs leave behind: collected when it is certain, asked for no more often than needed, forgotten here too."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from roadstead.act.leftovers import AGAIN_SECONDS, RETRY_SECONDS, Leftovers
from roadstead.act.memory import Memories, Met
from roadstead.act.pools.pool import PoolKeeper
from roadstead.inventory.store import Store
from roadstead.kit import tasks
from roadstead.model import Gone, Pool, PoolId, Seen, Vm, VmId
from roadstead.model.config_keys import NAMED_MARK, POOL_MARK, PRIVATE_KEY_SECRET, TLS_CA_CERT, VM_MARK
from roadstead.peers.database.client import Database
from roadstead.peers.xapi.client import Secret
from roadstead.plan.pins import Memory
from roadstead.settings.schema import PoolSettings
from tests.unit.fakes import records
from tests.unit.fakes.databases import FakeDatabase
from tests.unit.fakes.ways import keep_virtual_time
from tests.unit.fakes.xapi import POOL_REF, FakeXapi, small_pool

pytestmark = pytest.mark.looptime
UUID = "00000000-0000-4000-8000-00000000000a"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
DELAY, LONG = 10.0, 30.0
SETTINGS = PoolSettings(collect_seconds=DELAY, keyed_days=90)
ONE, TWO = records.VM, VmId("vm-2")


@dataclass
class Desk:
    """An inventory, a pool with secrets, and who looks after them."""

    xapi: FakeXapi = field(default_factory=lambda: small_pool(2))
    store: Store = field(default_factory=Store)
    database: FakeDatabase = field(default_factory=FakeDatabase)
    forgotten: list[str] = field(default_factory=list)
    left_pool: list[str] = field(default_factory=list)
    is_live: bool = True

    def __post_init__(self) -> None:
        self.memories = Memories(cast("Database", self.database))
        keepers = {records.POOL: cast("PoolKeeper", self)}
        self.leftovers = Leftovers(self.store, keepers, self.memories, self.forgotten.append, SETTINGS)

    # what is asked of a keeper

    id: PoolId = records.POOL

    @property
    def record(self) -> Pool:
        return records.pool(live=self.is_live)

    @property
    def client(self) -> FakeXapi:
        return self.xapi

    @property
    def outputs(self) -> "Desk":
        return self

    def left(self, vm: VmId) -> None:
        self.left_pool.append(vm)

    # what a test says

    def see(self, *vms: Vm) -> None:
        """The pool is live and has these VMs."""
        self.store.apply(Seen(records.pool(live=True)), *(Seen(vm) for vm in vms))
        for vm in vms:
            self.leftovers.consider(vm.id)
        self.leftovers.consider_pool(records.POOL)

    def lose(self, vm: VmId = ONE) -> None:
        """The VM is deleted."""
        self.xapi.objects["vm"].pop(f"ref:{vm}", None)
        self.store.apply(Gone("vm", vm))
        self.leftovers.consider(vm)

    def come_back(self) -> None:
        """The pool was lost and is live again."""
        self.store.apply(Seen(records.pool(live=False)))
        self.leftovers.consider_pool(records.POOL)
        self.see()

    def keep(self, uuid: str = UUID, marks: dict[str, str] | None = None, value: str = PEM) -> None:
        """The pool has this secret."""
        self.xapi.secrets[uuid] = Secret(uuid=uuid, value=value, marks={VM_MARK: ONE} if marks is None else marks)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Two VMs of a live pool."""
    desk = Desk()
    async with _running(desk):
        desk.see(records.vm(settings=records.MANAGED | {TLS_CA_CERT: UUID}), records.vm(TWO))
        yield desk


@asynccontextmanager
async def _running(desk: Desk) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, desk.leftovers.run(), "leftovers")
        await asyncio.sleep(0)
        yield
        await tasks.stop(task)


async def test_a_gone_vms_secret_is_collected_after_a_while(desk: Desk) -> None:
    """Its value is not even read."""
    desk.keep()
    await asyncio.sleep(LONG)
    assert UUID in desk.xapi.secrets
    desk.lose()
    await asyncio.sleep(DELAY / 2)
    assert UUID in desk.xapi.secrets
    await asyncio.sleep(DELAY)
    assert desk.xapi.secrets == {}
    assert "read_secret" not in desk.xapi.calls


@pytest.mark.parametrize(("value", "stays"), [(PEM, False), ("a password", True)])
async def test_of_unmarked_secrets_only_the_old_packs_go(desk: Desk, value: str, *, stays: bool) -> None:
    """And only those that a key of the VM named."""
    desk.keep(marks={}, value=value)
    desk.keep("00000000-0000-4000-8000-00000000000b", marks={})
    desk.lose()
    await asyncio.sleep(LONG)
    assert (UUID in desk.xapi.secrets) == stays
    assert "00000000-0000-4000-8000-00000000000b" in desk.xapi.secrets


async def test_what_is_named_still_is_looked_at_again_later(desk: Desk) -> None:
    """Nothing tells us when a snapshot goes."""
    desk.keep()
    desk.xapi.put("vm", "ref:snapshot", {"uuid": "s", "other_config": {TLS_CA_CERT: UUID}})
    desk.lose()
    await asyncio.sleep(LONG)
    assert UUID in desk.xapi.secrets
    desk.xapi.drop("vm", "ref:snapshot")
    await asyncio.sleep(AGAIN_SECONDS)
    assert desk.xapi.secrets == {}


async def test_what_a_living_vm_names_stays_though_the_pool_tells_nothing_of_it(desk: Desk) -> None:
    """What was told of a VM counts as well as what the pool says when it is asked."""
    desk.keep()
    desk.see(records.vm(TWO, settings=records.MANAGED | {TLS_CA_CERT: UUID}))
    desk.lose()
    await asyncio.sleep(LONG)
    assert UUID in desk.xapi.secrets
    desk.lose(TWO)
    await asyncio.sleep(LONG)
    assert desk.xapi.secrets == {}


async def test_a_vm_that_comes_back_while_it_is_looked_at_keeps_its_secrets(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question who names a secret, and its removal."""
    desk.keep()
    asked = desk.xapi.mentioned

    async def mentioned(texts: Collection[str]) -> set[str]:
        found = await asked(texts)
        desk.see(records.vm())
        return found

    monkeypatch.setattr(desk.xapi, "mentioned", mentioned)
    desk.lose()
    await asyncio.sleep(LONG)
    assert UUID in desk.xapi.secrets
    assert "destroy_secret" not in desk.xapi.calls


async def test_a_pool_with_nothing_left_behind_is_asked_little(desk: Desk) -> None:
    """For its secrets' marks and unfinished drives, once for all VMs that went; nothing is looked for then."""
    for number in range(3, 9):
        desk.see(records.vm(f"vm-{number}"))
    for number in range(3, 9):
        desk.lose(VmId(f"vm-{number}"))
    await asyncio.sleep(LONG)
    assert desk.xapi.calls == ["list_all secret", "VDI.get_by_name_label"]


@pytest.mark.parametrize(("code", "tries"), [("pool-not-permitted", 1), ("pool-timed-out", 3)])
async def test_a_pool_that_refuses_is_left_alone_one_that_fails_is_asked_again(
    desk: Desk, code: str, tries: int
) -> None:
    """Nothing goes in the meantime, neither there nor here."""
    desk.keep()
    await desk.memories.expect(records.POOL, ONE, " SHA256:said", None)
    desk.xapi.fail("destroy_secret" if code == "pool-not-permitted" else "list_all", code)
    desk.lose()
    await asyncio.sleep(DELAY + 2.5 * RETRY_SECONDS)
    assert UUID in desk.xapi.secrets
    asked = [call for call in desk.xapi.calls if call == "list_all secret"]
    assert len(asked) == tries
    desk.xapi.fail("list_all", None)
    desk.xapi.fail("destroy_secret", None)
    if code == "pool-timed-out":
        await asyncio.sleep(RETRY_SECONDS)
        assert desk.xapi.secrets == {}


async def test_a_pool_that_is_away_is_swept_when_it_is_back(desk: Desk) -> None:
    """It is not asked while it is lost."""
    desk.keep()
    await asyncio.sleep(LONG)
    desk.xapi.calls.clear()
    desk.is_live = False
    desk.store.apply(Seen(records.pool(live=False)))
    desk.leftovers.consider_pool(records.POOL)
    desk.lose()
    await asyncio.sleep(LONG)
    assert desk.xapi.calls == []
    desk.is_live = True
    desk.see()
    await asyncio.sleep(LONG)
    assert desk.xapi.secrets == {}


async def test_a_vm_that_moved_keeps_its_secrets_where_they_are(desk: Desk) -> None:
    """They go when it is in no pool that we know."""
    desk.keep()
    desk.store.apply(Seen(records.pool("pool-2", live=True)), Gone("vm", ONE), Seen(records.vm(pool="pool-2")))
    desk.leftovers.consider(ONE)
    await asyncio.sleep(LONG)
    assert (desk.left_pool, desk.forgotten, list(desk.xapi.secrets)) == ([ONE], [], [UUID])
    desk.lose()
    await asyncio.sleep(LONG)
    assert desk.xapi.secrets == {}


async def test_what_is_remembered_of_a_gone_vm_is_forgotten(desk: Desk) -> None:
    """At once what holds for this run, later its pin; that the pool's key opens it stays known."""
    desk.memories.met(ONE, Met(records.POOL, "AAAApin", "SHA256:pool"))
    desk.memories.met(TWO, Met(records.POOL, "AAAAtwo"))
    desk.memories.note_winner(ONE, "192.0.2.1")
    desk.memories.consent(ONE, "ssh-rsa SHA256:said")
    desk.memories.accept_address(ONE)
    desk.lose()
    assert (desk.forgotten, desk.left_pool, desk.memories.winner(ONE)) == ([ONE], [ONE], None)
    assert desk.memories.of(records.vm()) == Memory(last="AAAApin")
    await asyncio.sleep(LONG)
    assert desk.memories.of(records.vm()) == Memory()
    assert set(desk.database.last) == {TWO}
    assert desk.memories.keyed.by_pool(records.POOL) == {ONE: {"SHA256:pool"}}


async def test_a_pin_that_a_template_carries_is_remembered(desk: Desk) -> None:
    """So what is made from it is not taken for a VM with a pin of its own."""
    desk.memories.met(ONE, Met(records.POOL, "AAAA/pin+="))
    desk.xapi.put("vm", "ref:template", {"uuid": "t", "other_config": {records.HOST_KEY: "AAAA/pin+="}})
    desk.lose()
    await asyncio.sleep(LONG)
    assert desk.memories.of(records.vm()).last == "AAAA/pin+="


async def test_whom_a_key_opens_is_forgotten_long_after_it_went(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clones that come and go would add up. Not while a pool is away: it may have the VM; and it may come back."""
    keep_virtual_time(monkeypatch)
    day = 86400.0
    for vm in (ONE, TWO):
        desk.memories.met(vm, Met(records.POOL, "", "SHA256:pool"))
        desk.lose(vm)
    await desk.memories.flush()
    await asyncio.sleep(LONG)
    marked = {known.vm: known.gone for known in desk.database.keyed.values()}
    assert all(marked.values()) and marked.keys() == {ONE, TWO}
    desk.see(records.vm(TWO))
    await asyncio.sleep(SETTINGS.keyed_days * day - AGAIN_SECONDS)
    assert desk.memories.keyed.by_pool(records.POOL).keys() == {ONE, TWO}
    assert desk.database.keyed[records.POOL, TWO, "SHA256:pool"].gone is None
    desk.is_live = False
    await asyncio.sleep(10 * day)
    assert desk.memories.keyed.by_pool(records.POOL).keys() == {ONE, TWO}
    desk.is_live = True
    desk.come_back()
    await asyncio.sleep(LONG)
    await desk.memories.flush()
    assert desk.memories.keyed.by_pool(records.POOL).keys() == {TWO}
    assert {vm for _, vm, _ in desk.database.keyed} == {TWO}


OURS = {POOL_MARK: records.POOL, NAMED_MARK: PRIVATE_KEY_SECRET}


async def test_a_private_key_that_nothing_names_goes_after_an_hour(desk: Desk) -> None:
    """Nobody would ever use it; what a key names, what another pool's mark says and what is unmarked stays."""
    desk.come_back()
    await asyncio.sleep(LONG)
    secrets: dict[str, dict[str, str]] = {
        "named": OURS,
        "nameless": OURS,
        "older": {POOL_MARK: records.POOL},
        "another pool's": {**OURS, POOL_MARK: "pool-2"},
        "unmarked": {},
    }
    for uuid, marks in secrets.items():
        desk.keep(uuid, marks)
    await desk.xapi.set_pool_key(PRIVATE_KEY_SECRET, "named")
    await asyncio.sleep(AGAIN_SECONDS + LONG)
    assert len(desk.xapi.secrets) == 5
    await asyncio.sleep(AGAIN_SECONDS)
    assert set(desk.xapi.secrets) == {"named", "another pool's", "unmarked"}


async def test_what_was_made_for_a_living_vm_and_never_named_goes_after_an_hour(desk: Desk) -> None:
    """A server died between making a VM's certificates and naming them: the VM's own word for itself saves none of
    them. What a key of the VM names stays, and what a snapshot of it does.
    """
    desk.keep()
    for uuid in ("left", "a snapshot's"):
        desk.keep(uuid, {VM_MARK: TWO})
    desk.xapi.change("vm", "ref:vm-2", tags=["see a snapshot's"])
    desk.come_back()
    await asyncio.sleep(AGAIN_SECONDS - LONG)
    assert len(desk.xapi.secrets) == 3
    await asyncio.sleep(AGAIN_SECONDS + 2 * LONG)
    assert set(desk.xapi.secrets) == {UUID, "a snapshot's"}
    assert "read_secret" not in desk.xapi.calls


async def test_a_secret_that_is_named_in_time_stays(desk: Desk) -> None:
    """And when it loses its name again, its time begins anew; what anything else mentions stays, too."""
    desk.come_back()
    desk.keep("slow", OURS)
    desk.keep("mentioned", OURS)
    desk.xapi.change("vm", "ref:vm-2", tags=["see mentioned"])
    await asyncio.sleep(LONG)
    await desk.xapi.set_pool_key(PRIVATE_KEY_SECRET, "slow")
    await asyncio.sleep(2 * AGAIN_SECONDS)
    desk.xapi.change("pool", POOL_REF, other_config={})
    await asyncio.sleep(AGAIN_SECONDS)
    assert set(desk.xapi.secrets) == {"slow", "mentioned"}
    await asyncio.sleep(2 * AGAIN_SECONDS)
    assert set(desk.xapi.secrets) == {"mentioned"}
