"""Which disks are config drives, and which VMs get one."""

from __future__ import annotations

from typing import Any

import pytest

from roadstead.peers.xapi.messages.disks import Device, Disk, Machine, disk_record, machine_record
from roadstead.plan import config_drives as plan

MARK = {"config-drive": "True"}


def disk(**fields: Any) -> Disk:
    """A disk that one device shows."""
    record = {"uuid": "d", "SR": "sr", "virtual_size": 2**21, "other_config": MARK, "VBDs": ["b"], **fields}
    return disk_record("v", record)


def device(shown: Disk | None, marks: dict[str, str] | None = None, *, is_drive: bool = False) -> Device:
    """A device."""
    return Device(ref="b", is_attached=False, is_drive=is_drive, marks=marks or {}, disk=shown)


@pytest.mark.parametrize(
    ("fields", "is_drive"),
    [
        ({}, True),
        ({"other_config": {"config-drive": "true"}}, True),
        ({"other_config": {"config-drive": ""}}, False),
        ({"other_config": {}}, False),
        ({"virtual_size": plan.DRIVE_BYTES}, True),
        ({"virtual_size": str(plan.DRIVE_BYTES + 1)}, False),
    ],
)
def test_only_small_marked_disks_are_read(fields: dict[str, Any], is_drive: bool) -> None:  # noqa: FBT001
    """The mark is XenCenter's: the word, in any case."""
    assert plan.is_drive(disk(**fields)) is is_drive


def test_former_drives_are_those_that_are_marked_and_small() -> None:
    """By the mark of the disk or of the device; a disk that others see stays, and so do CDs and whatever is large."""
    bare: dict[str, Any] = {"other_config": {}}
    assert [each.disk_goes for each in plan.former([device(disk())])] == [True]
    assert [each.disk_goes for each in plan.former([device(disk(**bare), MARK)])] == [True]
    assert [each.disk_goes for each in plan.former([device(disk(VBDs=["b", "c"]))])] == [False]
    left = [device(disk(**bare)), device(None, MARK), device(disk(), is_drive=True)]
    assert plan.former([*left, device(disk(virtual_size=2**30), MARK)]) == []


def machine(**fields: Any) -> Machine:
    """A VM."""
    return machine_record("m", {"uuid": "u", "name_label": "web", "power_state": "Halted", **fields})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, ""),
        ({"power_state": "Running"}, ""),
        ({"is_a_template": True}, ""),
        ({"power_state": "Suspended"}, "suspended"),
        ({"power_state": "Paused"}, "paused"),
        ({"power_state": ""}, "in a state that is not known"),
        ({"is_a_snapshot": True, "is_a_template": True}, "a snapshot"),
        ({"is_control_domain": True, "power_state": "Running"}, "the control domain of a host"),
    ],
)
def test_who_gets_a_drive(fields: dict[str, Any], why: str) -> None:
    """A VM that is off or runs, and a template."""
    assert plan.unfit(machine(**fields)) == why


def test_a_disk_is_made_in_whole_steps() -> None:
    """The next 2 MiB."""
    assert [plan.size_of(bytes(length)) for length in (1, 2**21, 2**21 + 1)] == [2**21, 2**21, 2**22]
