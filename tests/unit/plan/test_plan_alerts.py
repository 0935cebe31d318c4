"""Which alert a pool is to hold about a VM."""

from datetime import timedelta

import pytest

from roadstead.model import LinkState, PowerState, Vm
from roadstead.plan.alerts import Aim, aim, code_of
from tests.unit.fakes import records

AFTER = timedelta(seconds=120)
BROKEN = records.link(state=LinkState.BROKEN, problem=records.problem("key-rejected", records.at(0)))


def test_a_vm_that_is_out_of_sight_for_long_gets_one() -> None:
    """With the cause, the remedy, and the code by which it is known again."""
    alert = aim(records.vm(link=BROKEN), AFTER, records.at(120)).alert

    assert alert is not None
    assert alert.code == code_of(alert.body) == "key-rejected"
    problem = records.problem("key-rejected")
    assert alert.body.startswith(f"{problem.cause}\n{problem.remedy}\n")


def test_before_that_whatever_is_there_stays() -> None:
    """An outage of a minute raises nothing, and a restart of ours clears nothing."""
    assert aim(records.vm(link=BROKEN), AFTER, records.at(119)) == Aim(is_open=True, again=records.at(120))
    assert aim(records.vm(link=records.link(state=LinkState.CONNECTING)), AFTER, records.at(500)) == Aim(is_open=True)
    assert aim(records.vm(link=None), AFTER, records.at(500)) == Aim(is_open=True)


def test_a_reason_that_changes_delays_no_alert() -> None:
    """What counts is how long the VM is out of sight; but one that is there is not exchanged at each change."""
    problem = records.problem("key-rejected", records.at(110))
    vm = records.vm(link=records.link(state=LinkState.BROKEN, problem=problem))

    assert aim(vm, AFTER, records.at(119)) == Aim(is_open=True, again=records.at(120))
    aimed = aim(vm, AFTER, records.at(120))
    assert (aimed.is_open, aimed.again) == (True, records.at(230))
    assert aimed.alert is not None
    assert aimed.alert.code == "key-rejected"
    assert aim(vm, AFTER, records.at(230)) == Aim(aimed.alert)


@pytest.mark.parametrize(
    "vm",
    [
        pytest.param(records.vm(link=records.link()), id="recovered"),
        pytest.param(records.vm(link=BROKEN, power=PowerState.HALTED), id="stopped"),
        pytest.param(records.vm(link=BROKEN, settings={}), id="disabled"),
        pytest.param(None, id="deleted"),
    ],
)
def test_it_goes_when_there_is_nothing_to_monitor_or_to_complain_of(vm: Vm | None) -> None:
    """Recovered, stopped, disabled, deleted."""
    assert aim(vm, AFTER, records.at(500)) == Aim()


def test_other_bodies_have_no_code() -> None:
    """Those of the old pack."""
    assert code_of("Cannot monitor vm (because)\nof this") == ""
    assert code_of("") == ""
    assert code_of("Cannot monitor vm\n(errno 111)") == ""
