"""How a VM stands while its pool's key is being replaced, and whether it still needs the old one."""

from dataclasses import dataclass
from enum import StrEnum

from roadstead.errors.codes import REACHING_A_GUEST
from roadstead.model import LinkState, Vm
from roadstead.plan.access import is_ssh
from roadstead.plan.origins import KEY_PROBLEMS


class State(StrEnum):
    """How far a VM is."""

    DONE = "done"
    """The new key opens it, and its old line is gone, or cannot be removed from here."""
    WAITING = "waiting"
    """Its turn comes, or its old line is just being removed."""
    NEEDS_PREPARING = "needs-preparing"
    """Its line cannot be changed from here, or it takes no key now: somebody who can sign in has to put the new one
    in.
    """
    UNREACHABLE = "unreachable"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a VM and the two keys."""

    new_opens: bool = False
    old_opens: bool = False
    """Whether the old key ever opened it, and was not taken out since."""
    is_stuck: bool = False
    """Whether the last try came to nothing that another one by itself would mend."""


def concerns(vm: Vm) -> bool:
    """Whether ``vm`` is opened with the pool's key at all."""
    return vm.enabled and is_ssh(vm)


def state(vm: Vm, evidence: Evidence) -> State:
    """Return how far ``vm`` is."""
    if (
        vm.running and problem(vm) in KEY_PROBLEMS
    ):  # whatever opened it once: a guest may have been installed anew, or lost its lines
        return State.NEEDS_PREPARING
    if evidence.new_opens:
        return State.WAITING if needs_cleaning(vm, evidence) else State.DONE
    if not vm.running:
        return State.OFF
    if problem(vm) in REACHING_A_GUEST:
        return State.UNREACHABLE
    return State.NEEDS_PREPARING if evidence.is_stuck else State.WAITING


def needs_cleaning(vm: Vm, evidence: Evidence) -> bool:
    """Whether the old line of ``vm``, which the new key opens, can be and was not yet removed."""
    is_reached = vm.running and not problem(vm)
    return is_reached and evidence.new_opens and evidence.old_opens and not evidence.is_stuck


def is_held_up(vm: Vm, evidence: Evidence) -> bool:
    """Whether the old key may not go yet: ``vm`` would be lost, or its old line is just being removed."""
    return needs_old(vm, evidence) or (concerns(vm) and needs_cleaning(vm, evidence))


def needs_old(vm: Vm, evidence: Evidence) -> bool:
    """Whether ``vm`` would be lost without the old key: it would not when that one does not open it either."""
    opened_by_none = problem(vm) in KEY_PROBLEMS and not evidence.old_opens
    return concerns(vm) and not evidence.new_opens and not opened_by_none


def problem(vm: Vm) -> str:
    """The code of what keeps ``vm`` from being watched now; empty when nothing does."""
    link = vm.link
    return link.problem.code if link is not None and link.state is LinkState.BROKEN and link.problem else ""
