"""How a VM stands while its pool's key is being replaced, and whether it still needs the old one."""

from dataclasses import dataclass
from enum import StrEnum

from roadstead.errors.codes import REACHING_A_GUEST
from roadstead.model import LinkState, Vm, config_keys
from roadstead.plan.origins import KEY_PROBLEMS


class State(StrEnum):
    """How far a VM is."""

    DONE = "done"
    """The new key opens it."""
    WAITING = "waiting"
    """Its turn comes."""
    NEEDS_PREPARING = "needs-preparing"
    """Its line cannot be changed from here: somebody who can sign in has to put the new one in."""
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
    return vm.enabled and vm.settings.get(config_keys.MODE, "") in {"", "ssh"}


def state(vm: Vm, evidence: Evidence) -> State:
    """Return how far ``vm`` is."""
    if evidence.new_opens:
        return State.DONE
    if not vm.running:
        return State.OFF
    if _problem(vm) in REACHING_A_GUEST:
        return State.UNREACHABLE
    return State.NEEDS_PREPARING if evidence.is_stuck else State.WAITING


def needs_old(vm: Vm, evidence: Evidence) -> bool:
    """Whether ``vm`` would be lost without the old key: it would not when that one does not open it either."""
    opened_by_none = _problem(vm) in KEY_PROBLEMS and not evidence.old_opens
    return concerns(vm) and not evidence.new_opens and not opened_by_none


def _problem(vm: Vm) -> str:
    link = vm.link
    return link.problem.code if link is not None and link.state is LinkState.BROKEN and link.problem else ""
