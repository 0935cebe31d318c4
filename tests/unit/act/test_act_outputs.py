"""Taking away what was published in a pool: as far as it goes, and no longer than it may take."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest

from roadstead.act.pool_database.config import PoolConfig
from roadstead.act.publishing.outputs import Outputs, PoolDoor, Wiped
from roadstead.errors import NotFoundError, PoolError, RoadsteadError
from roadstead.inventory.store import Store
from roadstead.kit import clocks, tasks
from roadstead.model import LinkState, Seen, VmId
from roadstead.model.config_keys import DOCKER_PS
from roadstead.peers.xapi.client import XapiClient
from roadstead.plan.publishing import Choice
from roadstead.settings.schema import AlertSettings, Settings
from tests.unit.fakes import records

pytestmark = pytest.mark.looptime
OURS, OLD = "cause\nremedy\n(refused)", "Cannot connect"
CALL_SECONDS = 0.1


@dataclass
class Pool:
    """A pool that is written to, with values of VMs and messages about them."""

    wiped: list[VmId] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    errors: dict[str, RoadsteadError] = field(default_factory=dict)
    """What the pool says to a write to a VM."""

    async def publish(self, vm: VmId, changes: Mapping[str, str | None]) -> None:
        """See `PoolConfig`."""
        await asyncio.sleep(CALL_SECONDS)
        if vm in self.errors:
            raise self.errors[vm]
        assert changes == {DOCKER_PS: None}
        self.wiped.append(vm)

    async def destroy_message(self, ref: str) -> None:
        """See `XapiClient`."""
        self.cleared.append(ref)


def _outputs(pool: Pool, vms: int, choice: Choice | None = None) -> Outputs:
    store = Store()
    named = [VmId(f"vm-{number}") for number in range(1, vms + 1)]
    store.apply(Seen(records.pool()), *(Seen(records.vm(vm)) for vm in named))
    door = PoolDoor(records.POOL, cast("XapiClient", pool), cast("PoolConfig", pool))
    made = Outputs(store, Settings(), door, lambda: choice or Choice(on=True))
    made.published({vm: {DOCKER_PS: "digest"} for vm in named})
    return made


async def test_values_and_our_messages_go() -> None:
    """A message of the old pack stays; a VM that is gone meanwhile is no trouble."""
    pool = Pool(errors={"vm-2": NotFoundError("no-such-vm", name="vm-2")})
    outputs = _outputs(pool, 3)
    outputs.alerted({VmId("vm-1"): {"ref:1": OURS, "ref:2": OLD}, VmId("vm-9"): {"ref:9": OLD}})
    assert await outputs.wipe(60) == Wiped(vms=3)
    assert (sorted(pool.wiped), pool.cleared) == (["vm-1", "vm-3"], ["ref:1"])


async def test_what_takes_too_long_stays_and_is_counted() -> None:
    """The pool is not written to faster than ever because of that."""
    pool = Pool()
    wiped = await _outputs(pool, 300).wipe(5)
    assert wiped.reason == "it takes longer than 5 s"
    assert (wiped.vms, wiped.left) == (len(pool.wiped), 300 - len(pool.wiped))
    assert 0 < len(pool.wiped) <= 5 * Settings().publish.pool_writes_per_second + 1


async def test_a_refusal_ends_it() -> None:
    """With the pool's reason; nobody waits for hundreds of refusals."""
    pool = Pool(errors={f"vm-{number}": PoolError("pool-not-permitted", call="VM.x") for number in range(1, 101)})
    wiped = await _outputs(pool, 100).wipe(60)
    assert wiped == Wiped(vms=0, left=100, reason="The pool account may not call VM.x")


async def test_what_stands_at_foreign_vms_of_a_pool_that_publishes_nothing_is_left_alone() -> None:
    """It is another program's; our own VMs' values are taken away as ever."""
    pool = Pool()
    outputs = _outputs(pool, 1, Choice(on=False))
    outputs.published({VmId("foreign"): {DOCKER_PS: "digest"}})
    assert (await outputs.wipe(60)).vms == 1
    assert pool.wiped == ["vm-1"]


async def test_a_new_listing_says_what_is_not_there() -> None:
    """What we believed to stand in the pool, and does not, is not ours to take away."""
    pool = Pool()
    outputs = _outputs(pool, 3)
    outputs.alerted({VmId("vm-3"): {"ref:3": OURS}})
    outputs.answers()
    outputs.published({VmId("vm-1"): {}, VmId("vm-2"): {DOCKER_PS: "digest"}, VmId("vm-3"): {}})
    outputs.alerted({})
    assert outputs.ours() == 1


class SlowPool(Pool):
    """A pool in which something stands that takes a second to write; nothing was told of it yet."""

    def __init__(self) -> None:
        super().__init__()
        self.holds: set[str] = set()

    async def publish(self, vm: VmId, changes: Mapping[str, str | None]) -> None:
        """See `PoolConfig`."""
        await asyncio.sleep(1)
        self.holds -= {f"{key} of {vm}" for key in changes}
        self.holds |= {f"{key} of {vm}" for key, value in changes.items() if value is not None}

    async def raise_message(self, title: str, vm: str, body: str) -> str:
        """See `XapiClient`."""
        assert title and body
        await asyncio.sleep(1)
        self.holds.add(f"message about {vm}")
        return f"message about {vm}"

    async def destroy_message(self, ref: str) -> None:
        """See `XapiClient`."""
        self.holds.discard(ref)


def _writing(pool: Pool) -> Outputs:
    """There is something to publish of one VM, and an alert to raise about another."""
    store = Store()
    now = clocks.now()
    lost = records.link("vm-2", state=LinkState.BROKEN, since=now, problem=records.problem(since=now))
    store.apply(Seen(records.pool()), *(Seen(records.vm(f"vm-{number}")) for number in (1, 2)), Seen(lost))
    store.apply(Seen(records.link("vm-1")), Seen(records.engine("vm-1")), Seen(records.container(1, "vm-1")))
    door = PoolDoor(records.POOL, cast("XapiClient", pool), cast("PoolConfig", pool))
    made = Outputs(store, Settings(alert=AlertSettings(after_seconds=0.0)), door, lambda: Choice(on=True))
    for vm in ("vm-1", "vm-2"):
        made.consider(VmId(vm))
    return made


@pytest.mark.parametrize("began", [0.5, 30.0])
async def test_what_was_being_written_is_taken_away_too(began: float) -> None:
    """A write that had begun comes to its end first: nobody would take away what comes after."""
    pool = SlowPool()
    outputs = _writing(pool)
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, outputs.run(), "outputs")
        await asyncio.sleep(began)
        assert len(pool.holds) in {0, 4}
        assert await outputs.wipe(60) == Wiped(vms=2)
        await asyncio.sleep(60)
        assert pool.holds == set()
        await tasks.stop(task)


async def test_a_write_that_takes_too_long_is_not_waited_for() -> None:
    """Its end may leave something; that is beyond us."""
    outputs = _writing(SlowPool())
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, outputs.run(), "outputs")
        await asyncio.sleep(0.5)
        assert await outputs.wipe(0.1) == Wiped()
        await tasks.stop(task)
