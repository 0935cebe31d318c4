"""What is decided about a VM while its pool's key is replaced, and why one refuses the key."""

from typing import Any

import pytest

from roadstead.errors import LinkError
from roadstead.model import LinkState, PowerState, Vm
from roadstead.plan.origins import Origin, explain
from roadstead.plan.pins import Memory
from roadstead.plan.rotation import Evidence, State, concerns, is_held_up, needs_old, state
from tests.unit.fakes import records

PIN = {"xscontainer-sshhostkey": "AAAA"}
STRANGER = Memory(pool_known=True)
UNPREPARED = Memory(pool_known=True, forgotten=frozenset({"AAAA"}))


def _vm(code: str = "", **fields: Any) -> Vm:
    link = records.link(state=LinkState.BROKEN, problem=records.problem(code, records.at(0))) if code else None
    given: dict[str, Any] = {"settings": records.MANAGED, "power": PowerState.RUNNING, "link": link, **fields}
    return records.vm(**given)


@pytest.mark.parametrize(
    ("vm", "evidence", "expected", "needs"),
    [
        (_vm(), Evidence(old_opens=True), State.WAITING, True),
        (_vm(), Evidence(), State.WAITING, True),
        (_vm(), Evidence(old_opens=True, is_stuck=True), State.NEEDS_PREPARING, True),
        (_vm("refused"), Evidence(old_opens=True, is_stuck=True), State.UNREACHABLE, True),
        (_vm("engine-down"), Evidence(old_opens=True), State.WAITING, True),
        (_vm("key-rejected"), Evidence(old_opens=True), State.NEEDS_PREPARING, True),
        (_vm("key-rejected"), Evidence(), State.NEEDS_PREPARING, False),
        (_vm("key-rejected"), Evidence(new_opens=True), State.NEEDS_PREPARING, False),
        (_vm("key-rejected", power=PowerState.HALTED), Evidence(new_opens=True), State.DONE, False),
        (_vm("key-of-another-pool"), Evidence(), State.NEEDS_PREPARING, False),
        (_vm(), Evidence(new_opens=True), State.DONE, False),
        (_vm(), Evidence(new_opens=True, old_opens=True), State.WAITING, False),
        (_vm(), Evidence(new_opens=True, old_opens=True, is_stuck=True), State.DONE, False),
        (_vm("refused"), Evidence(new_opens=True, old_opens=True), State.DONE, False),
        (_vm(power=PowerState.HALTED), Evidence(), State.OFF, True),
        (_vm(power=PowerState.HALTED), Evidence(new_opens=True), State.DONE, False),
        (_vm("refused"), Evidence(new_opens=True, old_opens=True, is_stuck=True), State.DONE, False),
    ],
)
def test_how_far_a_vm_is(vm: Vm, evidence: Evidence, expected: State, *, needs: bool) -> None:
    """A VM needs the old key until the new one opened it, unless neither ever did."""
    assert (state(vm, evidence), needs_old(vm, evidence)) == (expected, needs)


@pytest.mark.parametrize(
    ("vm", "evidence", "expected"),
    [
        (_vm(), Evidence(old_opens=True), True),
        (_vm(), Evidence(new_opens=True, old_opens=True), True),
        (_vm(), Evidence(new_opens=True, old_opens=True, is_stuck=True), False),
        (_vm("refused"), Evidence(new_opens=True, old_opens=True), False),
        (_vm(power=PowerState.HALTED), Evidence(new_opens=True, old_opens=True), False),
        (_vm(settings={}), Evidence(new_opens=True, old_opens=True), False),
    ],
)
def test_the_old_key_stays_until_the_lines_are_gone_that_can_be_removed(
    vm: Vm, evidence: Evidence, *, expected: bool
) -> None:
    """Where that cannot be done now, nobody waits for it."""
    assert is_held_up(vm, evidence) is expected


def test_only_managed_vms_that_are_reached_over_ssh_are_concerned() -> None:
    """One that is not managed, or has another mode, holds no rotation up."""
    assert concerns(_vm())
    for settings in ({}, records.MANAGED | {"xscontainer-mode": "tls"}):
        vm = _vm(settings=settings)
        assert not concerns(vm)
        assert not needs_old(vm, Evidence(old_opens=True))


@pytest.mark.parametrize(
    ("settings", "origin", "expected"),
    [
        (PIN, Origin(opened_here=False, opened_by=("north",), memory=Memory(last="AAAA")), "the key of the pool north"),
        ({}, Origin(opened_here=False, opened_by=("north", "west"), memory=Memory()), "north, west"),
        (PIN, Origin(opened_here=False, opened_by=(), memory=STRANGER), "when it came here"),
        (PIN, Origin(opened_here=True, opened_by=("north",), memory=STRANGER), ""),
        (PIN, Origin(opened_here=False, opened_by=(), memory=UNPREPARED), ""),
        ({}, Origin(opened_here=False, opened_by=(), memory=STRANGER), ""),
        (PIN, Origin(opened_here=False, opened_by=(), memory=Memory()), ""),
        (PIN, Origin(opened_here=False, opened_by=(), memory=Memory(last="AAAA", pool_known=True)), ""),
    ],
)
def test_a_vm_that_came_from_another_pool_is_told_apart(
    settings: dict[str, str], origin: Origin, expected: str
) -> None:
    """Only where something that was seen says so: reached in another pool, or pinned when it came into a known one,
    but not by a pin that was forgotten here and that the pool shows a while still.
    """
    vm = records.vm(settings=records.MANAGED | settings)
    error = explain(LinkError("key-rejected", user="core"), vm, origin)
    assert error.code == ("key-of-another-pool" if expected else "key-rejected")
    assert expected in error.cause
    assert error.fields["user"] == "core"
    assert explain(LinkError("refused", port=22), vm, origin).code == "refused"
