"""Config drives as guests read them when they boot: as coreos-cloudinit does each time, or as cloud-init, once for each
instance id.

They are read with pycdlib, whoever wrote them; a drive that a guest cannot read is passed over.
"""

from __future__ import annotations

import asyncio
import json
import logging
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

from roadstead.lab.pool import storage
from roadstead.lab.pool.core import Core
from roadstead.lab.pool.database import Record

_LOG = logging.getLogger(__name__)

MARK = "config-drive"
EACH_BOOT = "coreos"
"""What only coreos-cloudinit reads, which does so at each boot."""


class Seed(NamedTuple):
    """What a drive tells a guest: which instance it is (empty: nothing says it), and whom it lets in."""

    instance: str
    keys: tuple[str, ...]
    is_read_each_time: bool


async def read(core: Core, vm: str) -> Seed | None:
    """What is on the config drive of the VM (reference); None without one, and for one that no guest would read."""
    for _, vdi in shown(core, vm):
        try:
            return await asyncio.to_thread(_read, core.images.path(str(vdi["uuid"])))
        except (PyCdlibException, OSError, ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError) as error:
            _LOG.info("the config drive of VM %s is passed over: %s", vm, error)
    return None


def shown(core: Core, vm: str) -> list[tuple[Record, Record]]:
    """The config drives that the VM (reference) is shown: devices and their disks."""
    devices = [core.database.get("VBD", vbd) for vbd in core.vm(vm)["VBDs"]]
    pairs = [(device, core.database.get("VDI", device["VDI"])) for device in devices if not device["empty"]]
    return [(device, vdi) for device, vdi in pairs if MARK in vdi["other_config"]]


async def carry(source: Core, vm: str, target: Core, copy: str) -> None:
    """Give the VM `copy` of another pool what the VM `vm` is shown of config drives; those here go with their VM."""
    (sr,) = [ref for ref, record in target.database.all("SR") if record["content_type"] == "user"][:1]
    for device, vdi in shown(source, vm):
        fields = {name: vdi[name] for name in ("name_label", "type", "other_config")}
        disk = storage.new_disk(target, sr, int(vdi["virtual_size"]), {**fields, "read_only": False})
        path = target.images.path(str(target.database.get("VDI", disk)["uuid"]))
        content = await asyncio.to_thread(source.images.path(str(vdi["uuid"])).read_bytes)
        await asyncio.to_thread(path.write_bytes, content)
        kept = {
            name: device[name] for name in ("userdevice", "bootable", "mode", "type", "unpluggable", "other_config")
        }
        made = storage.new_device(target, {**kept, "VM": copy, "VDI": disk, "empty": False})
        if device["currently_attached"]:
            storage.attach(target, made)


def _read(path: Path) -> Seed:
    iso = PyCdlib()
    iso.open(str(path))
    try:
        said = json.loads(_file(iso, "/openstack/latest/meta_data.json"))
        config: Any = yaml.safe_load(_file(iso, "/openstack/latest/user_data")) or {}
    finally:
        iso.close()
    return _seed(said, config)


def _seed(said: Any, config: Any) -> Seed:
    """What the two files say; of a script, which is not run here, only the first counts."""
    told = config if isinstance(config, dict) else {}
    keys = (*told.get("ssh_authorized_keys", ()), *said.get("public_keys", {}).values())
    return Seed(str(said["uuid"]), tuple(dict.fromkeys(map(str, keys))), EACH_BOOT in told)


def _file(iso: PyCdlib, path: str) -> str:
    found = BytesIO()
    iso.get_file_from_iso_fp(found, rr_path=path)
    return found.getvalue().decode()
