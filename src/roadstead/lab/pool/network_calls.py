"""Networks and virtual network cards: made and removed; the rest of them is generic."""

from __future__ import annotations

import uuid
from typing import Any

from roadstead.lab.pool import constructors, failures, values
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Call, Method, Methods
from roadstead.lab.pool.text import checked_map, longest_valid


def mac() -> str:
    """A locally administered hardware address."""
    digits = uuid.uuid4().hex
    return ":".join(["02", *(digits[start : start + 2] for start in range(0, 10, 2))])


def _create(call: Call, record: dict[str, Any]) -> object:
    fields = {
        "name_label": longest_valid(values.text(record.get("name_label", ""))),
        "name_description": longest_valid(values.text(record.get("name_description", ""))),
        "MTU": values.integer(record.get("MTU", 1500)),
        "other_config": checked_map(values.string_map(record.get("other_config", {}))),
        "tags": values.strings(record.get("tags", [])),
        "bridge": f"xapi{len(call.database.table('network').rows)}",
    }
    return call.database.create("network", fields)


def _destroy(call: Call, ref: str) -> object:
    network = call.database.get("network", ref)
    for field, code in (("VIFs", "NETWORK_CONTAINS_VIF"), ("PIFs", "NETWORK_CONTAINS_PIF")):
        if network[field]:
            raise failures.Failure(code, *network[field])
    call.database.destroy("network", ref)
    return ""


def _create_vif(call: Call, record: dict[str, Any]) -> object:
    constructors.need(record, "device", "network", "VM")
    vm, network = values.text(record["VM"]), values.text(record["network"])
    device = values.text(record["device"])
    present = call.database.get("VM", vm)["VIFs"]
    call.database.get("network", network)
    if any(call.database.get("VIF", vif)["device"] == device for vif in present):
        raise failures.Failure("DEVICE_ALREADY_EXISTS", device)
    fields = {"device": device, "network": network, "VM": vm, "MAC": values.text(record.get("MAC", "")) or mac()}
    return call.database.create("VIF", fields)


def _destroy_vif(call: Call, ref: str) -> object:
    if call.database.get("VIF", ref)["currently_attached"]:
        raise failures.Failure("OPERATION_NOT_ALLOWED", "VIF currently attached to a running VM")
    call.database.destroy("VIF", ref)
    return ""


METHODS: Methods = (
    Method("network.create", ("record",), _create, Role.VM_ADMIN),
    Method("network.destroy", ("ref",), _destroy, Role.VM_ADMIN),
    Method("VIF.create", ("record",), _create_vif, Role.VM_ADMIN),
    Method("VIF.destroy", ("ref",), _destroy_vif, Role.VM_ADMIN),
)
