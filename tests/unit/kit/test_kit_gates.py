"""Limits on what happens at once: never more, in order, and nothing is lost to a cancellation."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.kit.gates import Budget, Gate

pytestmark = pytest.mark.looptime


async def test_a_gate_lets_in_as_many_as_it_is_wide() -> None:
    """Ten holders of a gate of three need four rounds."""
    gate = Gate(3)
    inside = most = 0

    async def hold() -> None:
        nonlocal inside, most
        async with gate():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(1)
            inside -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(hold())
    assert most == 3
    assert asyncio.get_running_loop().time() == 4


async def test_waiters_at_a_gate_are_served_in_order() -> None:
    """First come, first served."""
    gate, served = Gate(1), []

    async def hold(name: int) -> None:
        async with gate():
            served.append(name)
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as group:
        for name in range(5):
            group.create_task(hold(name))
    assert served == list(range(5))


async def test_a_gate_counts_who_waits() -> None:
    """Waiting is visible, and ends with a cancellation as well."""
    gate = Gate(1)
    async with gate(), asyncio.TaskGroup() as group:
        waiter = group.create_task(gate().__aenter__())
        await asyncio.sleep(1)
        assert repr(gate) == "<Gate of 1, 1 waiting>"
        waiter.cancel()
        await asyncio.sleep(1)
        assert gate.waiting == 0
    async with asyncio.timeout(1), gate():
        pass


async def test_a_failing_holder_gives_its_place_back() -> None:
    """Errors inside do not narrow a gate."""
    gate = Gate(1)
    with pytest.raises(ValueError, match="mine"):
        async with gate():
            raise ValueError("mine")
    async with asyncio.timeout(1), gate():
        pass


async def test_whoever_wants_more_than_is_left_waits() -> None:
    """A budget is never overdrawn; what was given back goes to who waits."""
    budget = Budget(10, 10)
    async with asyncio.TaskGroup() as group:
        with budget.share() as share:
            await share.grow(7)
            entered = asyncio.Event()

            async def hold() -> None:
                with budget.share() as other:
                    await other.grow(4)
                    entered.set()

            group.create_task(hold())
            await asyncio.sleep(5)
            assert not entered.is_set()
        async with asyncio.timeout(1):
            await entered.wait()
    assert budget.free == 10


async def test_more_than_all_means_all() -> None:
    """An amount above the total waits for everything instead of for ever."""
    budget = Budget(10, 1000)
    async with asyncio.timeout(1):
        with budget.share() as share:
            await share.grow(1000)
            assert share.is_whole
            assert budget.free == 0
    assert budget.free == 10


async def test_a_share_is_never_more_than_the_largest() -> None:
    """Who holds that much has all it may ever want."""
    budget = Budget(100, 10)
    with budget.share() as share:
        await share.grow(4)
        assert (share.held, share.is_whole) == (4, False)
        await share.grow(3)
        assert share.held == 4
        await share.grow(1000)
        assert (share.held, share.is_whole) == (10, True)
    assert budget.free == 100


async def test_holders_that_all_want_more_come_to_an_end() -> None:
    """Ten hold all there is but what is kept, and each wants more: one at a time gets it, and nothing is overdrawn."""
    budget, ended, least = Budget(100, 10), [], 100

    async def hold(name: int) -> None:
        nonlocal least
        with budget.share() as share:
            for amount in range(1, 11):
                await share.grow(amount)
                least = min(least, budget.free)
                await asyncio.sleep(1)
            ended.append(name)

    async with asyncio.timeout(1000), asyncio.TaskGroup() as group:
        for name in range(50):
            group.create_task(hold(name))
    assert len(ended) == 50
    assert least >= 0
    assert budget.free == 100


async def test_a_cancelled_waiter_hands_its_turn_on() -> None:
    """Of two that wait, one is cancelled in the moment in which it could go on: the other goes on."""
    budget = Budget(10, 10)
    done = []

    async def hold(name: str) -> None:
        with budget.share() as share:
            await share.grow(10)
            done.append(name)

    async with asyncio.TaskGroup() as group:
        with budget.share() as share:
            await share.grow(10)
            first, _ = group.create_task(hold("first")), group.create_task(hold("second"))
            await asyncio.sleep(1)
        first.cancel()
    assert done == ["second"]
    assert budget.free == 10


async def test_a_waiter_that_gives_up_holds_up_nobody() -> None:
    """What it wanted may be more than is left; who comes after it wants less."""
    budget = Budget(10, 4)
    with budget.share() as whole, budget.share() as share, budget.share() as large, budget.share() as small:
        await share.grow(4)
        await whole.grow(3)
        assert whole.is_whole
        async with asyncio.timeout(2), asyncio.TaskGroup() as group:
            giving_up = group.create_task(large.grow(4))
            await asyncio.sleep(0)
            group.create_task(small.grow(2))
            await asyncio.sleep(1)
            assert (large.held, small.held) == (0, 0)
            giving_up.cancel()
        assert small.held == 2
    assert budget.free == 10


@given(
    amounts=st.lists(st.tuples(st.lists(st.integers(0, 15), max_size=4), st.floats(0, 3), st.booleans()), max_size=20),
    total=st.integers(1, 10),
    largest=st.integers(1, 12),
)
async def test_a_budget_is_kept_whatever_happens(
    amounts: list[tuple[list[int], float, bool]], total: int, largest: int
) -> None:
    """Any mixture of sizes, times and cancellations: never overdrawn, everybody served, everything given back."""
    budget = Budget(total, largest)
    served = 0

    async def hold(steps: list[int], seconds: float) -> None:
        nonlocal served
        with budget.share() as share:
            for amount in steps:
                await share.grow(amount)
                assert 0 <= budget.free <= total
                assert share.held >= min(amount, budget.largest)
                await asyncio.sleep(seconds)
            served += 1

    async with asyncio.TaskGroup() as group:
        for steps, seconds, cancelled in amounts:
            task = group.create_task(hold(steps, seconds))
            await asyncio.sleep(0.1)
            if cancelled:
                task.cancel()
    assert budget.free == total
    assert served >= sum(not cancelled for *_, cancelled in amounts)
