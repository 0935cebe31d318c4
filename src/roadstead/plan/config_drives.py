"""Which disks are config drives, which VM may get one, and what becomes of the one that it had.

What is read as a config drive is shown to whoever asks, and what is replaced is destroyed, so both are held to the mark
*and* to a size that no disk with data has: marks are copied with VMs, and anybody who administers one can set them.
"""

from collections.abc import Iterable
from typing import NamedTuple

from roadstead.model import PowerState
from roadstead.model.config_keys import CONFIG_DRIVE, MARKED
from roadstead.peers.xapi.messages.disks import Device, Disk, Machine

DRIVE_BYTES = 16 * 2**20
"""No config drive is larger."""
ROUNDED_BYTES = 2 * 2**20
"""Drives are made in multiples of this, as the historic pack did: no storage rounds a disk to less."""


class Former(NamedTuple):
    """A drive that a VM had: the device that showed it, and whether the disk goes with the device."""

    device: Device
    disk: Disk
    disk_goes: bool


def is_drive(disk: Disk) -> bool:
    """Whether a disk is a config drive, and may be read as one."""
    return disk.marks.get(CONFIG_DRIVE, "").lower() == MARKED.lower() and disk.size <= DRIVE_BYTES


def size_of(image: bytes) -> int:
    """Return how large a disk for ``image`` is to be."""
    return -(-len(image) // ROUNDED_BYTES) * ROUNDED_BYTES


def unfit(machine: Machine) -> str:
    """Return why something is given no config drive, in words that follow "it is"; empty if it may have one."""
    if machine.is_snapshot:
        return "a snapshot"
    if machine.is_control_domain:
        return "the control domain of a host"
    if not (machine.is_template or machine.power in {PowerState.HALTED, PowerState.RUNNING}):
        return machine.power.lower() or "in a state that is not known"
    return ""


def former(devices: Iterable[Device]) -> list[Former]:
    """Return the drives among a VM's devices; the mark on the device or on its disk is enough, as it always was. A disk
    that another VM is shown, too, stays.
    """
    found = []
    for device in devices:
        disk = device.disk
        if device.is_drive or disk is None or disk.size > DRIVE_BYTES:
            continue
        if CONFIG_DRIVE in device.marks or CONFIG_DRIVE in disk.marks:
            found.append(Former(device, disk, set(disk.devices) <= {device.ref}))
    return found
