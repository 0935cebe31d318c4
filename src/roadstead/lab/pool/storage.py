"""Disks and the devices that show them to VMs: what may be done to them when, and what a VM's life does to them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from roadstead.lab.pool import failures, values
from roadstead.lab.pool.core import Core
from roadstead.lab.pool.database import Record

ROUNDED_BYTES = 4 * 1024 * 1024
"""Disks of storage for users grow to a multiple of this; images of CDs stay as they are."""

_OF_DISK = ("clone", "copy", "destroy", "snapshot", "resize", "update")
_NAMED = re.compile(r"(?:xvd|hd|sd)([a-p])\d*")
_HOT = ("plug", "unplug", "unplug_force")
_SHARED_BY_COPY = ("name_description", "type", "read_only", "sharable", "other_config", "xenstore_data", "tags")
_OF_DEVICE = ("userdevice", "bootable", "mode", "type", "unpluggable", "empty", "other_config")


def need_plugged(core: Core, sr: str) -> None:
    """SR_HAS_NO_PBDS unless a host sees the storage."""
    if not any(core.database.get("PBD", pbd)["currently_attached"] for pbd in core.database.get("SR", sr)["PBDs"]):
        raise failures.Failure("SR_HAS_NO_PBDS", sr)


def hosts_of(core: Core, sr: str) -> list[str]:
    """The hosts that see the storage."""
    pbds = [core.database.get("PBD", pbd) for pbd in core.database.get("SR", sr)["PBDs"]]
    return [str(pbd["host"]) for pbd in pbds if pbd["currently_attached"]]


def new_disk(core: Core, sr: str, size: int, fields: Record) -> str:
    """A disk of at least `size` bytes; its reference.  SR_BACKEND_FAILURE_44 when the storage is full."""
    storage = core.database.get("SR", sr)
    if storage["content_type"] != "iso":
        size = -(-size // ROUNDED_BYTES) * ROUNDED_BYTES
    if size > storage["physical_size"] - storage["virtual_allocation"] and storage["physical_size"]:
        raise failures.Failure("SR_BACKEND_FAILURE_44", "", "There is insufficient space", "")
    given = {"allowed_operations": _OF_DISK, "managed": True, "on_boot": "persist", **fields}
    ref = core.database.create("VDI", {**given, "SR": sr, "virtual_size": size, "physical_utilisation": size})
    core.database.write("VDI", ref, "location", core.database.get("VDI", ref)["uuid"])
    _count(core, sr)
    return ref


def _count(core: Core, sr: str) -> None:
    """Let the storage say how much of it is used."""
    used = sum(core.database.get("VDI", vdi)["virtual_size"] for vdi in core.database.get("SR", sr)["VDIs"])
    core.database.update("SR", sr, {"virtual_allocation": used, "physical_utilisation": used})


async def remove_disk(core: Core, ref: str) -> None:
    """Remove a disk that no running VM uses, with the devices that show it; drives lose their CD."""
    if core.images.is_used(ref) or any(_is_attached(core, vbd) for vbd in core.database.get("VDI", ref)["VBDs"]):
        raise failures.Failure("VDI_IN_USE", ref, "destroy")
    vdi = core.database.get("VDI", ref)
    for vbd in vdi["VBDs"]:
        if core.database.get("VBD", vbd)["type"] == "CD":
            set_medium(core, vbd, values.NULL)
        else:
            remove_device(core, vbd)
    core.database.destroy("VDI", ref)
    _count(core, str(vdi["SR"]))
    await core.images.remove(str(vdi["uuid"]))


async def copy_disk(core: Core, ref: str, sr: str, **fields: object) -> str:
    """Another disk with the same contents."""
    vdi = core.database.get("VDI", ref)
    kept = {name: vdi[name] for name in ("name_label", *_SHARED_BY_COPY)}
    copy = new_disk(core, sr, int(vdi["virtual_size"]), {**kept, **fields})
    with core.images.using(ref, writes=False), core.images.using(copy, writes=True):
        await core.images.copy(str(vdi["uuid"]), str(core.database.get("VDI", copy)["uuid"]))
    return copy


def _is_attached(core: Core, vbd: str) -> bool:
    return bool(core.database.get("VBD", vbd)["currently_attached"])


def device_number(device: str) -> int:
    """The number of a device that is named by number or like `xvda`; INVALID_DEVICE when it is neither."""
    if device.isascii() and device.isdigit():
        return int(device)
    found = _NAMED.fullmatch(device)
    if found is None:
        raise failures.Failure("INVALID_DEVICE", device)
    return ord(found[1]) - ord("a")


def used_devices(core: Core, vm: str) -> set[int]:
    """The numbers of a VM's devices."""
    return {device_number(core.database.get("VBD", vbd)["userdevice"]) for vbd in core.vm(vm)["VBDs"]}


def free_devices(core: Core, vm: str) -> list[str]:
    """The numbers that a VM's next device may have."""
    used = used_devices(core, vm)
    return [str(number) for number in range(255) if number not in used]


def new_device(core: Core, fields: Record) -> str:
    """A device of a VM; its reference."""
    ref = core.database.create("VBD", {**fields, "metrics": core.database.create("VBD_metrics", {})})
    allow(core, ref)
    return ref


def remove_device(core: Core, ref: str) -> None:
    """Remove a device that is not attached."""
    metrics = str(core.database.get("VBD", ref)["metrics"])
    core.database.destroy("VBD", ref)
    core.database.destroy("VBD_metrics", metrics)


def set_medium(core: Core, ref: str, vdi: str) -> None:
    """Put a CD into a drive; `values.NULL` takes it out."""
    core.database.update("VBD", ref, {"VDI": vdi, "empty": vdi == values.NULL})
    allow(core, ref)


def attach(core: Core, ref: str) -> None:
    """Show a device to its VM."""
    letter = chr(ord("a") + device_number(core.database.get("VBD", ref)["userdevice"]) % 26)
    core.database.update("VBD", ref, {"currently_attached": True, "device": f"xvd{letter}"})
    allow(core, ref)


def detach(core: Core, ref: str) -> None:
    """Hide a device from its VM."""
    core.database.write("VBD", ref, "currently_attached", value=False)
    allow(core, ref)


def _refusals(core: Core, ref: str) -> Iterable[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(code and parameters, operations that it forbids) of a device as it is, those that win first."""
    vbd = core.database.get("VBD", ref)
    vm = core.vm(vbd["VM"])
    state = str(vm["power_state"])
    if not vbd["unpluggable"]:
        yield ("VBD_NOT_UNPLUGGABLE", ref), ("unplug", "unplug_force")
    if vbd["type"] != "CD":
        yield ("VBD_NOT_REMOVABLE_MEDIA", ref), ("insert", "eject")
    elif vbd["empty"]:
        yield ("VBD_IS_EMPTY", ref), ("eject",)
    else:
        yield ("VBD_NOT_EMPTY", ref), ("insert",)
    if state != "Running":
        yield ("VM_BAD_POWER_STATE", str(vbd["VM"]), "running", state.lower()), _HOT
    elif vbd["currently_attached"]:
        yield ("DEVICE_ALREADY_ATTACHED", ref), ("plug",)
    else:
        yield ("DEVICE_ALREADY_DETACHED", ref), ("unplug", "unplug_force")
    if state == "Running" and not core.insides.has_tools(str(vm["uuid"])):
        yield ("VM_MISSING_PV_DRIVERS", str(vbd["VM"])), _HOT
    if state == "Running" and vbd["type"] == "CD":
        reason = "HVM CDROMs cannot be hotplugged/unplugged, only inserted or ejected"
        yield ("OPERATION_NOT_ALLOWED", reason), _HOT
    if state == "Suspended":
        yield ("VM_BAD_POWER_STATE", str(vbd["VM"]), "halted, running", "suspended"), ("insert", "eject")


def require(core: Core, ref: str, operation: str) -> None:
    """XAPI's refusal when the device does not allow this operation now."""
    for told, forbidden in _refusals(core, ref):
        if operation in forbidden:
            raise failures.Failure(*told)


def allow(core: Core, ref: str) -> None:
    """Let the device say what it allows now."""
    forbidden = {operation for _, operations in _refusals(core, ref) for operation in operations}
    allowed = [name for name in ("attach", "insert", "eject", *_HOT) if name not in forbidden]
    core.database.write("VBD", ref, "allowed_operations", tuple(allowed))


def need_unshared(core: Core, ref: str) -> None:
    """VDI_IN_USE when another VM uses the device's disk in a way that both cannot."""
    vbd = core.database.get("VBD", ref)
    if vbd["empty"]:
        return
    vdi = core.database.get("VDI", vbd["VDI"])
    others = [core.database.get("VBD", other) for other in vdi["VBDs"] if other != ref and _is_attached(core, other)]
    writes = any(other["mode"] == "RW" for other in others) or (others and vbd["mode"] == "RW")
    if core.images.is_used(vbd["VDI"], alone=vbd["mode"] == "RW") or (writes and not vdi["sharable"]):
        raise failures.Failure("VDI_IN_USE", str(vbd["VDI"]), "attach")


async def copy_devices(core: Core, source: str, target: str, **fields: object) -> None:
    """Give a copy of a VM copies of its disks; CDs are shared."""
    for ref in core.vm(source)["VBDs"]:
        vbd = core.database.get("VBD", ref)
        vdi = str(vbd["VDI"])
        if vbd["type"] != "CD" and not vbd["empty"]:
            vdi = await copy_disk(core, vdi, str(core.database.get("VDI", vdi)["SR"]), **fields)
        new_device(core, {**{name: vbd[name] for name in _OF_DEVICE}, "VM": target, "VDI": vdi})
