"""Which alert a pool is to hold about a VM: one, once it is out of sight for a while, until it is seen again."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from roadstead.errors import CODES
from roadstead.model import LinkState, Vm


@dataclass(frozen=True, slots=True)
class Alert:
    """What is wrong with a VM: the ``code`` of its problem, and the ``body`` that people read."""

    code: str
    body: str


@dataclass(frozen=True, slots=True)
class Aim:
    """The alert that should be there; None for none. Where ``is_open``, whatever is there stays for now, and ``alert``
    is for where there is none. That must be asked ``again`` even if nothing happens.
    """

    alert: Alert | None = None
    is_open: bool = False
    again: datetime | None = None


def aim(vm: Vm | None, after: timedelta, now: datetime) -> Aim:
    """Return what a pool should hold about ``vm`` at ``now``, when VMs may be out of sight for as long as ``after``."""
    if vm is None or not vm.enabled or not vm.running:
        return Aim()
    link = vm.link
    if link is not None and link.state is LinkState.LIVE:
        return Aim()
    if link is None or link.state is not LinkState.BROKEN or link.problem is None:
        return Aim(is_open=True)
    due = link.since + after
    if now < due:
        return Aim(is_open=True, again=due)
    problem = link.problem
    alert = Alert(problem.code, f"{problem.cause}\n{problem.remedy}\n({problem.code})")
    # The reason may change with each attempt: that delays no alert, nor is one exchanged for another each time.
    settled = problem.since + after
    return Aim(alert, is_open=True, again=settled) if now < settled else Aim(alert)


def code_of(body: str) -> str:
    """Return the code of the problem that an alert's body tells of; empty when the body is not one of ours."""
    last = body.rstrip().rpartition("\n")[2]
    code = last[1:-1] if last.startswith("(") and last.endswith(")") else ""
    return code if code in CODES else ""
