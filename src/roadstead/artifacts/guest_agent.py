"""The files of the guest agent on a config drive, as the historic pack put them there from the pool's guest tools ISO.

What a guest does with them its own text says: units of the historic template start them from the mounted drive, so the
programs among them keep their right to run. Whoever made an image, it is looked along these names and nowhere else.
"""

from collections.abc import Callable

from roadstead.artifacts import iso_files
from roadstead.artifacts.iso_files import Image
from roadstead.errors import InputError

FOLDER = "agent"
MUST = "xe-daemon"
"""The agent itself; an ISO without it has none (some bring it in packages only)."""
NAMES = (
    MUST,
    "xe-linux-distribution",
    "xe-linux-distribution.service",
    "xe-update-guest-attrs",
    "xen-vcpu-hotplug.rules",
    "install.sh",
    "versions.deb",
    "versions.rpm",
    "versions.tgz",
)
"""All that releases of the historic pack took; each release of the tools has some of them."""
PROGRAMS = frozenset({MUST, "xe-linux-distribution", "xe-update-guest-attrs", "install.sh"})
FILE_BYTES = 8 * 2**20
"""The largest of the files; the agent has 2 to 5 MB."""
ALL_BYTES = 10 * 2**20
"""Of all of them; a drive has room for that besides three texts of the largest size."""

_THERE = "Linux"
"""The folder of the tools ISO."""


def in_tools(image: Image, disk: str) -> dict[str, bytes]:
    """Return the files that a tools ISO (uuid ``disk``) has, by their paths on a drive. Raises `InputError`
    ``tools-iso-unreadable`` and ``tools-iso-without-agent``.
    """
    found = _files(image, _THERE, lambda name, reason: _unreadable(disk, name, reason))
    if f"{FOLDER}/{MUST}" not in found:
        raise InputError("tools-iso-without-agent", disk=disk)
    return found


def on_drive(image: Image, disk: str) -> dict[str, bytes]:
    """Return the files that a config drive (uuid ``disk``) has, by their paths; none is fine. Raises `InputError`
    ``config-drive-unreadable``.
    """
    return _files(image, FOLDER, lambda _name, _reason: InputError("config-drive-unreadable", disk=disk))


def is_program(path: str) -> bool:
    """Whether the file at ``path`` of a drive is one that guests run."""
    folder, _, name = path.partition("/")
    return folder == FOLDER and name in PROGRAMS


def _files(image: Image, folder: str, refusal: Callable[[str, str], InputError]) -> dict[str, bytes]:
    found, left = {}, ALL_BYTES
    for name in NAMES:
        try:
            content = iso_files.find(image, f"{folder}/{name}", min(FILE_BYTES, left))
        except ValueError as error:
            raise refusal(name, str(error)) from error
        if content is not None:
            found[f"{FOLDER}/{name}"] = content
            left -= len(content)
    return found


def _unreadable(disk: str, name: str, reason: str) -> InputError:
    return InputError("tools-iso-unreadable", disk=disk, file=f"{_THERE}/{name}", reason=reason)
