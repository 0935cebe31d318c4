"""Devices of VMs: made, plugged, unplugged and removed, and CDs put into drives; the rest of them is generic."""

from __future__ import annotations

from typing import Any

from roadstead.lab.pool import constructors, failures, storage, values
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Call, Method, Methods

_NEEDED = (
    "VM",
    "VDI",
    "userdevice",
    "bootable",
    "mode",
    "type",
    "empty",
    "other_config",
    "qos_algorithm_type",
    "qos_algorithm_params",
)
_AUTODETECT = "autodetect"


def _create(call: Call, record: dict[str, Any]) -> object:
    constructors.need(record, *_NEEDED)
    fields = {"unpluggable": True, **constructors.read("VBD", record, (*_NEEDED, "unpluggable"))}
    constructors.one_of(("RO", "RW"), fields["mode"])
    constructors.one_of(("CD", "Disk", "Floppy"), fields["type"])
    _judge_medium(call, fields)
    free = storage.free_devices(call.core, fields["VM"])
    if fields["userdevice"] == _AUTODETECT and free:
        fields["userdevice"] = free[0]
    if storage.device_number(fields["userdevice"]) in storage.used_devices(call.core, fields["VM"]):
        raise failures.Failure("DEVICE_ALREADY_EXISTS", fields["userdevice"])
    return storage.new_device(call.core, fields)


def _judge_medium(call: Call, fields: dict[str, Any]) -> None:
    """Refuse what a device of this type cannot show."""
    is_drive, empty = fields["type"] == "CD", fields["empty"]
    if not empty:
        call.database.get("VDI", fields["VDI"])
    if is_drive and fields["mode"] != "RO":
        raise failures.Failure("VBD_CDS_MUST_BE_READONLY")
    if empty and not is_drive:
        raise failures.Failure("VBD_NOT_REMOVABLE_MEDIA", "in constructor")
    if not empty and fields["mode"] == "RW" and call.database.get("VDI", fields["VDI"])["read_only"]:
        raise failures.Failure("VDI_READONLY", fields["VDI"])
    if empty:
        fields["VDI"] = values.NULL


def _destroy(call: Call, ref: str) -> object:
    vbd = call.database.get("VBD", ref)
    if vbd["currently_attached"]:
        vm = call.core.vm(vbd["VM"])["uuid"]
        raise failures.Failure("OPERATION_NOT_ALLOWED", f"VBD '{vbd['uuid']}' still attached to '{vm}'")
    storage.remove_device(call.core, ref)
    return ""


def _plug(call: Call, ref: str) -> object:
    storage.require(call.core, ref, "plug")
    storage.need_unshared(call.core, ref)
    storage.attach(call.core, ref)
    return ""


def _unplug(call: Call, ref: str) -> object:
    storage.require(call.core, ref, "unplug")
    storage.detach(call.core, ref)
    return ""


def _insert(call: Call, ref: str, vdi: str) -> object:
    storage.require(call.core, ref, "insert")
    call.database.get("VDI", vdi)
    storage.set_medium(call.core, ref, vdi)
    return ""


def _eject(call: Call, ref: str) -> object:
    storage.require(call.core, ref, "eject")
    storage.set_medium(call.core, ref, values.NULL)
    return ""


def _set_mode(call: Call, ref: str, mode: str) -> object:
    constructors.one_of(("RO", "RW"), mode)
    vm = str(call.database.get("VBD", ref)["VM"])
    state = str(call.core.vm(vm)["power_state"])
    if state != "Halted":
        raise failures.Failure("VM_BAD_POWER_STATE", vm, "Halted", state)
    call.database.write("VBD", ref, "mode", mode)
    return ""


def _assert_attachable(call: Call, ref: str) -> object:
    storage.need_unshared(call.core, ref)
    return ""


def _allowed_devices(call: Call, vm: str) -> object:
    return tuple(storage.free_devices(call.core, vm))


METHODS: Methods = (
    *(
        Method(f"VBD.{name}", kinds, run, role, asynchronous=True)
        for name, kinds, run, role in (
            ("create", ("record",), _create, Role.VM_ADMIN),
            ("destroy", ("ref",), _destroy, Role.VM_ADMIN),
            ("plug", ("ref",), _plug, Role.VM_ADMIN),
            ("unplug", ("ref",), _unplug, Role.VM_ADMIN),
            ("unplug_force", ("ref",), _unplug, Role.VM_ADMIN),
            ("insert", ("ref", "ref"), _insert, Role.VM_OPERATOR),
            ("eject", ("ref",), _eject, Role.VM_OPERATOR),
            ("set_mode", ("ref", "str"), _set_mode, Role.VM_ADMIN),
            ("assert_attachable", ("ref",), _assert_attachable, Role.VM_ADMIN),
        )
    ),
    Method("VM.get_allowed_VBD_devices", ("ref",), _allowed_devices),
)
