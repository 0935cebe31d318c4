"""Which CD drive of a VM takes the CD with its certificates, and which disks in a pool are such CDs left behind."""

from collections.abc import Iterable
from datetime import datetime

from roadstead.peers.xapi.messages.disks import Device, Disk

NAME = "Container TLS"
"""How the disk of such a CD is called, as the historic pack called it; ours have a mark, too."""
UNTIL_MARK = "roadstead-tls-disk-until"
"""In the ``other_config`` of such a disk: when whoever made it has destroyed it at the latest."""
HELD_MARK = "roadstead-tls-disk-held-until"
"""The same: until when its maker lives at least. That is renewed, and for a moment absent while it is."""
TOKEN_MARK = "roadstead-tls-disk"  # noqa: S105 - the name of a key, not a secret
"""The same: a word by which its maker knows it."""
FORMER_MARK = "roadstead-tls-disk-former"
"""The same: the uuid of the CD that is to come back into the drive."""
MOST_BYTES = 16 * 2**20
"""No such CD is larger: a larger disk that carries the mark is somebody's data."""


def drive(devices: Iterable[Device]) -> Device | None:
    """Return the CD drive that is to be used: one with such a CD, which is to go anyway, else an empty one rather than
    a full one; None when there is none.
    """
    drives = [device for device in devices if device.is_cd_drive]
    return min(drives, key=_preference, default=None)


def _preference(device: Device) -> int:
    if device.disk is None:
        return 1
    return 0 if is_such(device.disk) else 2


def is_such(disk: Disk) -> bool:
    """Whether a disk is such a CD, whoever made it and whether or not somebody looks after it."""
    return disk.name == NAME and TOKEN_MARK in disk.marks and disk.size <= MOST_BYTES


def marks(until: datetime, held: datetime, token: str, former: str) -> dict[str, str]:
    """Return what marks a disk that is destroyed by ``until`` at the latest, and that its maker, who lives until
    ``held`` at least, knows by ``token``; ``former`` is the uuid of the CD that it takes the place of, or empty.
    """
    told = {UNTIL_MARK: stamp(until), HELD_MARK: stamp(held), TOKEN_MARK: token}
    return {**told, FORMER_MARK: former} if former else told


def stamp(time: datetime) -> str:
    """Return a time as it stands in a mark."""
    return time.isoformat(timespec="seconds")


def is_left_behind(disk: Disk, now: datetime) -> bool:
    """Whether a disk is such a CD of somebody who no longer looks after it, so that it is to be destroyed.

    A CD that does not say until when it is held is being renewed this moment, or its maker is of an earlier version:
    both have until the other time.
    """
    until = _time(disk.marks.get(UNTIL_MARK, ""))
    held = _time(disk.marks.get(HELD_MARK, ""))
    ends = min((time for time in (until, held) if time is not None), default=None)
    return is_such(disk) and until is not None and ends is not None and now > ends


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
