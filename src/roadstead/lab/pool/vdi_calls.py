"""Disks as clients make, copy and remove them; the rest of them is generic."""

from __future__ import annotations

from typing import Any

from roadstead.lab.pool import constructors, failures, storage, values
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Call, Method, Methods

_TYPES = (
    "system",
    "user",
    "ephemeral",
    "suspend",
    "crashdump",
    "ha_statefile",
    "metadata",
    "redo_log",
    "rrd",
    "pvs_cache",
    "cbt_metadata",
)
_NEEDED = ("SR", "virtual_size", "type", "sharable", "read_only", "other_config")
_GIVEN = ("name_label", "name_description", "xenstore_data", "sm_config", "tags")


def _create(call: Call, record: dict[str, Any]) -> object:
    constructors.need(record, *_NEEDED)
    fields = constructors.read("VDI", record, (*_NEEDED, *_GIVEN))
    constructors.one_of(_TYPES, fields["type"])
    storage.need_plugged(call.core, fields["SR"])
    return storage.new_disk(call.core, fields["SR"], fields["virtual_size"], fields)


async def _destroy(call: Call, ref: str) -> object:
    await storage.remove_disk(call.core, ref)
    return ""


async def _copy(call: Call, ref: str, sr: str, *_: str) -> object:
    storage.need_plugged(call.core, sr)
    return await storage.copy_disk(call.core, ref, sr)


async def _clone(call: Call, ref: str, *_: object) -> object:
    return await storage.copy_disk(call.core, ref, str(call.database.get("VDI", ref)["SR"]))


async def _snapshot(call: Call, ref: str, *_: object) -> object:
    marks = {"is_a_snapshot": True, "snapshot_of": ref, "snapshot_time": values.now()}
    return await storage.copy_disk(call.core, ref, str(call.database.get("VDI", ref)["SR"]), **marks)


def _update(call: Call, ref: str) -> object:
    call.database.get("VDI", ref)
    return ""


def _set_on_boot(call: Call, ref: str, value: str) -> object:
    constructors.one_of(("persist", "reset"), value)
    if call.database.get("VDI", ref)["VBDs"]:
        raise failures.Failure("VDI_IN_USE", ref, "set_on_boot")
    call.database.write("VDI", ref, "on_boot", value)
    return ""


METHODS: Methods = tuple(
    Method(f"VDI.{name}", kinds, run, Role.VM_ADMIN, optional=optional, asynchronous=True)
    for name, kinds, run, optional in (
        ("create", ("record",), _create, 0),
        ("destroy", ("ref",), _destroy, 0),
        ("copy", ("ref", "ref", "ref", "ref"), _copy, 2),
        ("clone", ("ref", "map"), _clone, 1),
        ("snapshot", ("ref", "map"), _snapshot, 1),
        ("update", ("ref",), _update, 0),
        ("set_on_boot", ("ref", "str"), _set_on_boot, 0),
    )
)
