"""Which CD drive of a VM takes the CD with its certificates, and which disks in a pool are such CDs left behind."""

from collections.abc import Iterable
from datetime import datetime

from roadstead.peers.xapi.messages.disks import Device, Disk

NAME = "Container TLS"
"""How the disk of such a CD is called, as the historic pack called it; ours have a mark, too."""
UNTIL_MARK = "roadstead-tls-disk-until"
"""In the ``other_config`` of such a disk: when whoever made it has destroyed it at the latest."""
TOKEN_MARK = "roadstead-tls-disk"  # noqa: S105 - the name of a key, not a secret
"""The same: a word by which its maker knows it."""
MOST_BYTES = 16 * 2**20
"""No such CD is larger: a larger disk that carries the mark is somebody's data."""


def drive(devices: Iterable[Device]) -> Device | None:
    """Return the CD drive that is to be used, an empty one rather than a full one; None when there is none."""
    drives = [device for device in devices if device.is_cd_drive]
    return min(drives, key=lambda device: device.disk is not None, default=None)


def marks(until: datetime, token: str) -> dict[str, str]:
    """Return what marks a disk that is destroyed by ``until`` at the latest, and that its maker knows by ``token``."""
    return {UNTIL_MARK: until.isoformat(timespec="seconds"), TOKEN_MARK: token}


def is_left_behind(disk: Disk, now: datetime) -> bool:
    """Whether a disk is such a CD of somebody who no longer looks after it, so that it is to be destroyed."""
    until = _time(disk.marks.get(UNTIL_MARK, ""))
    return disk.size <= MOST_BYTES and until is not None and now > until


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
