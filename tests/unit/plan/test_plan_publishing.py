"""What is to be published of a VM, whatever state it is in."""

from datetime import timedelta
from typing import Any

import pytest

from roadstead.model import LinkState, PowerState
from roadstead.plan.publishing import Aim, Choice, What, aim
from tests.unit.fakes import records

LOST = timedelta(seconds=60)
NOW = records.at(1000)


def aimed(choice: Choice | None = None, **fields: Any) -> Aim:
    """What is aimed at for such a VM."""
    return aim(records.vm(**fields), choice or Choice(), LOST, NOW)


def test_a_vm_that_is_heard_is_published() -> None:
    """As it is now."""
    assert aimed(link=records.link()) == Aim(What.CURRENT)


@pytest.mark.parametrize(
    "fields",
    [
        {"settings": {}},
        {"settings": {"xscontainer-monitor": "False"}},
        {"settings": {"xscontainer-monitor": "true"}},
        {"power": PowerState.HALTED},
        {"power": PowerState.SUSPENDED},
    ],
)
def test_what_nobody_keeps_current_goes_at_once(fields: dict[str, Any]) -> None:
    """Of a VM that is not managed (a clone, for example), and of one that does not run, whatever its link says."""
    assert aimed(link=records.link(), **fields) == Aim(What.NOTHING)


def test_a_lost_vm_is_published_for_a_while() -> None:
    """Until the time after it was last heard, which is told; then no more: the clients cannot show that it is stale."""
    broken = records.link(state=LinkState.BROKEN, heard=records.at(950))

    assert aimed(link=broken) == Aim(What.AS_IT_IS, records.at(1010))
    assert aim(records.vm(link=broken), Choice(), LOST, records.at(1010)) == Aim(What.NOTHING)


def test_a_vm_that_was_never_heard_counts_from_when_that_was_tried() -> None:
    """What a former run published stays until this one knows more, but not for ever."""
    connecting = records.link(state=LinkState.CONNECTING, since=records.at(990))

    assert aimed(link=connecting) == Aim(What.AS_IT_IS, records.at(1050))
    assert aimed(link=None) == Aim(What.AS_IT_IS)


def test_the_operator_chooses_for_a_pool() -> None:
    """Nothing is published where it is off, and of VMs without the tag; VMs that are not ours are left alone there."""
    live = records.link()

    assert aimed(Choice(on=False), link=live) == Aim(What.NOTHING)
    assert aimed(Choice(on=False), settings={}) == Aim(What.AS_IT_IS)
    assert aimed(Choice(tag="show"), link=live) == Aim(What.NOTHING)
    assert aimed(Choice(tag="show"), link=live, tags=("show",)) == Aim(What.CURRENT)
