"""Which disks are config drives, which VM may get one, and what becomes of the one that it had.

What is read as a config drive is shown to whoever asks, and what is replaced is destroyed, so both are held to the mark
*and* to a size that no disk with data has: marks are copied with VMs, and anybody who administers one can set them.
"""

import re
import uuid
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from roadstead.kit import clocks
from roadstead.model import PowerState
from roadstead.model.config_keys import CONFIG_DRIVE, DRIVE_MARK, INSTANCE_MARK, MARKED
from roadstead.peers.xapi.messages.disks import Device, Disk, Machine

DRIVE_BYTES = 16 * 2**20
"""No config drive is larger."""
ROUNDED_BYTES = 2 * 2**20
"""Drives are made in multiples of this, as the historic pack did: no storage rounds a disk to less."""
UNFINISHED = "Automatic Config Drive (being made)"
"""How the disk of a drive is called until it is in its place: what is called so can be asked for."""
UNFINISHED_AGE = timedelta(minutes=10)
"""A drive that is unfinished for longer is no longer being made: several times what making one may take, since the
clocks of two instances may differ.
"""
TOOLS_BYTES = 1024 * 2**20
"""No guest tools ISO is larger."""
NO_AGENT, AGENT_OF_TOOLS, AGENT_KEPT = AGENTS = ("", "tools", "kept")
"""Which files of the guest agent a drive gets: none, those of the pool's guest tools, those of the drive that goes."""
_MARK = re.compile(r"([0-9a-f-]{36}) (\d{1,11}) [0-9a-f]{1,64}")


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_INSTANCES = uuid.UUID("5b0c7d0a-5f0e-4a4c-9f55-0d3c1b0e8a61")
"""The namespace of the ids that we make."""


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


class Begun(NamedTuple):
    """What the mark of a drive says: for which VM it is, and when its making began."""

    vm: str
    at: datetime


def instance(former: Collection[Former], vm: str, *, again: bool) -> str:
    """Return the instance id of a VM's next drive: that of the drive that it has, or another one, if its guest is to be
    provisioned ``again`` or it has none. Empty is the VM's uuid.

    That id is best avoided: cloud-init compares the id that it knows with the uuid of the machine (DMI), which is the
    VM's, and looks at no drive where the two agree (``check_instance_id`` of its ConfigDrive), so it would never see
    another id. A VM whose drive has it already keeps it, since any other may be a first boot to its guest.
    """
    return _next_instance(former, vm) if again or not former else _present_instance(former, vm)


def _present_instance(former: Iterable[Former], vm: str) -> str:
    """Return the id on a drive of ours; a drive that was copied with another VM says nothing."""
    for each in former:
        whose, _, id = each.disk.marks.get(INSTANCE_MARK, "").partition(" ")
        if whose == vm and _UUID.fullmatch(id):
            return id
    return ""


def _next_instance(former: Iterable[Former], vm: str) -> str:
    """Return another id for a VM. It is made of the drive that goes, so that who looks first sees what will be made."""
    gone = " ".join(each.disk.uuid for each in former)
    return str(uuid.uuid5(_INSTANCES, f"{vm} {gone}"))


def instance_mark(vm: str, id: str) -> dict[str, str]:
    """Return the marks of a drive whose VM has this instance id (empty: its uuid)."""
    return {INSTANCE_MARK: f"{vm} {id}"} if id else {}


class Fate(Enum):
    """What becomes of a drive whose making was broken off."""

    REMOVED = "removed"
    FINISHED = "finished"
    """It is the VM's drive: what is left to do is done."""
    LEFT = "left"
    """Another VM is shown it: it was copied with its VM."""


def mark(vm: str, at: datetime, digits: str) -> str:
    """Return the value of `DRIVE_MARK` for a drive for ``vm`` whose making begins."""
    return f"{vm} {int(at.timestamp())} {digits}"


def begun(disk: Disk) -> Begun | None:
    """Return what the mark of a drive says; None for a disk that is no drive of ours."""
    found = _MARK.fullmatch(disk.marks.get(DRIVE_MARK, "")) if is_drive(disk) else None
    at = clocks.at(int(found[2])) if found else None
    return Begun(found[1], at) if found and at else None


def is_being_made(disk: Disk, now: datetime) -> bool:
    """Whether somebody may be making this drive at ``now``."""
    known = begun(disk) if disk.name == UNFINISHED else None
    return known is not None and now - known.at < UNFINISHED_AGE


def fate(disk: Disk, devices: Collection[Device]) -> Fate:
    """Return what becomes of a drive that nobody makes any more, given the ``devices`` of the VM that it is for. The VM
    keeps the drive that it sees; where it sees none now, the one that it had before.
    """
    own = [device for device in devices if device.disk is not None and device.disk.ref == disk.ref]
    if set(disk.devices) - {device.ref for device in own}:
        return Fate.LEFT
    others = [each.device for each in former(devices) if each.disk.ref != disk.ref]
    if not own or any(device.is_attached for device in others):
        return Fate.REMOVED
    return Fate.FINISHED if not others or any(device.is_attached for device in own) else Fate.REMOVED
