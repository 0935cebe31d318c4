"""Storage and the hosts' ways to it: made, plugged, unplugged and removed; the rest of them is generic."""

from __future__ import annotations

from typing import Any

from roadstead.lab.pool import constructors, failures, storage
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Call, Method, Methods
from roadstead.lab.pool.text import longest_valid

_SIZE = 1 << 40
_TYPES = ("dummy", "ext", "file", "iso", "lvm", "nfs", "udev")


def _create(call: Call, host: str, config: dict[str, str], size: int, *told: Any) -> object:
    label, description, kind, content, shared, *sm_config = told
    call.database.get("host", host)
    if kind not in _TYPES:
        raise failures.Failure("SR_UNKNOWN_DRIVER", kind)
    fields = {
        "name_label": longest_valid(label),
        "name_description": longest_valid(description),
        "type": kind,
        "content_type": content,
        "shared": shared,
        "physical_size": size or _SIZE,
        "sm_config": sm_config[0] if sm_config else {},
    }
    ref = call.database.create("SR", fields)
    for each in call.database.table("host").rows if shared else (host,):
        call.database.create("PBD", {"host": each, "SR": ref, "device_config": config, "currently_attached": True})
    return ref


def _scan(call: Call, ref: str) -> object:
    storage.need_plugged(call.core, ref)
    return ""


def _forget(call: Call, ref: str) -> object:
    if storage.hosts_of(call.core, ref):
        raise failures.Failure("SR_HAS_PBD", ref)
    for kind, field in (("PBD", "PBDs"), ("VDI", "VDIs")):
        for member in call.database.get("SR", ref)[field]:
            call.database.destroy(kind, member)
    call.database.destroy("SR", ref)
    return ""


def _destroy(call: Call, ref: str) -> object:
    if call.database.get("SR", ref)["VDIs"]:
        raise failures.Failure("SR_NOT_EMPTY", ref)
    return _forget(call, ref)


def _supported_types(_: Call) -> object:
    return _TYPES


def _create_pbd(call: Call, record: dict[str, Any]) -> object:
    constructors.need(record, "host", "SR", "device_config")
    fields = constructors.read("PBD", record, ("host", "SR", "device_config", "other_config"))
    call.database.get("host", fields["host"])
    for present in call.database.get("SR", fields["SR"])["PBDs"]:
        if call.database.get("PBD", present)["host"] == fields["host"]:
            raise failures.Failure("PBD_EXISTS", fields["SR"], fields["host"], present)
    return call.database.create("PBD", fields)


def _plug_pbd(call: Call, ref: str) -> object:
    call.database.write("PBD", ref, "currently_attached", value=True)
    return ""


def _unplug_pbd(call: Call, ref: str) -> object:
    pbd = call.database.get("PBD", ref)
    for vdi in call.database.get("SR", pbd["SR"])["VDIs"]:
        for vbd in call.database.get("VDI", vdi)["VBDs"]:
            device = call.database.get("VBD", vbd)
            if device["currently_attached"] and call.core.vm(device["VM"])["resident_on"] == pbd["host"]:
                raise failures.Failure("VDI_IN_USE", vdi, "unplug")
    call.database.write("PBD", ref, "currently_attached", value=False)
    return ""


def _destroy_pbd(call: Call, ref: str) -> object:
    if call.database.get("PBD", ref)["currently_attached"]:
        raise failures.Failure("OPERATION_NOT_ALLOWED", "PBD is currently attached")
    call.database.destroy("PBD", ref)
    return ""


METHODS: Methods = (
    *(
        Method(name, kinds, run, Role.POOL_OPERATOR, asynchronous=True)
        for name, kinds, run in (
            ("SR.forget", ("ref",), _forget),
            ("SR.destroy", ("ref",), _destroy),
            ("PBD.create", ("record",), _create_pbd),
            ("PBD.destroy", ("ref",), _destroy_pbd),
            ("PBD.plug", ("ref",), _plug_pbd),
            ("PBD.unplug", ("ref",), _unplug_pbd),
        )
    ),
    Method(
        "SR.create",
        ("ref", "map", "int", "str", "str", "str", "str", "bool", "map"),
        _create,
        Role.POOL_OPERATOR,
        optional=1,
        asynchronous=True,
    ),
    Method("SR.scan", ("ref",), _scan, Role.VM_POWER_ADMIN, asynchronous=True),
    Method("SR.get_supported_types", (), _supported_types),
)
