"""What somebody in a VM does with the CD in its drive: runs the script on it, which configures the engine's TLS.

The CD is read as Windows reads it, by its Joliet names, and with a library that others wrote.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

from roadstead.errors import ConflictError
from roadstead.lab.guests.certificates import Pair
from roadstead.lab.pool import values
from roadstead.lab.pool.core import Core

SCRIPT = "/configure_tls.cmd"
_SERVER = ("/server/ca.pem", "/server/server-cert.pem", "/server/server-key.pem")
_DEVICE = {"userdevice": "3", "bootable": False, "mode": "RO", "type": "CD", "unpluggable": True}


@runtime_checkable
class Securable(Protocol):
    """A guest whose engine takes other certificates."""

    async def secure_engine(self, authority: str, server: Pair) -> None:
        """Start the engine anew with these."""


class Secured(NamedTuple):
    """What the script puts in place, all PEM."""

    authority: str
    certificate: str
    key: str


def empty_drive(vm: str) -> dict[str, object]:
    """The record of an empty CD drive of the VM (reference)."""
    return {**_DEVICE, "VM": vm, "VDI": values.NULL, "empty": True, "other_config": {}}


def inserted(core: Core, vm: str) -> Path:
    """The image in the CD drive of the VM (reference). ConflictError ``lab-no-cd`` without one."""
    devices = [core.database.get("VBD", vbd) for vbd in core.vm(vm)["VBDs"]]
    for device in devices:
        if device["type"] == "CD" and not device["empty"]:
            return core.images.path(str(core.database.get("VDI", device["VDI"])["uuid"]))
    raise ConflictError("lab-no-cd", vm=core.vm(vm)["name_label"])


def run(image: Path, vm: str) -> Secured:
    """What the script on the CD configures; blocks. ConflictError ``lab-no-cd`` when the CD is another one."""
    iso = PyCdlib()
    try:
        iso.open(str(image))
    except (PyCdlibException, OSError) as error:
        raise ConflictError("lab-no-cd", vm=vm) from error
    try:
        _file(iso, SCRIPT)
        return Secured(*(_file(iso, path) for path in _SERVER))
    except PyCdlibException as error:
        raise ConflictError("lab-no-cd", vm=vm) from error
    finally:
        iso.close()


def _file(iso: PyCdlib, path: str) -> str:
    content = BytesIO()
    iso.get_file_from_iso_fp(content, joliet_path=path)
    return content.getvalue().decode("ascii")
