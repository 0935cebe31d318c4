"""The life of VMs: started, stopped, moved, copied and destroyed, with XAPI's refusals in every wrong state."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from roadstead.lab.pool import constructors, failures, storage, values
from roadstead.lab.pool.accounts import Role, check, role_for_key
from roadstead.lab.pool.core import Call, Core, Method, Methods
from roadstead.lab.pool.database import Record
from roadstead.lab.pool.text import checked_map, longest_valid

_OPERATIONS = {
    "Running": ("pause", "clean_shutdown", "clean_reboot", "hard_shutdown", "hard_reboot", "suspend", "pool_migrate"),
    "Paused": ("unpause", "hard_shutdown", "hard_reboot"),
    "Suspended": ("resume", "hard_shutdown"),
    "Halted": ("start", "start_on", "clone", "copy", "export", "destroy"),
}
_HANDED_OVER_S = 0.01
"""How long a migration shows in `current_operations` at least."""


def require_state(core: Core, ref: str, *wanted: str) -> Record:
    """The VM's record; VM_BAD_POWER_STATE unless it is in one of these states."""
    vm = core.vm(ref)
    if vm["power_state"] not in wanted:
        expected = ", ".join(state.lower() for state in wanted)
        raise failures.Failure("VM_BAD_POWER_STATE", ref, expected, vm["power_state"].lower())
    return vm


def require_free(core: Core, ref: str, operation: str) -> Record:
    """The VM's record; refused for templates, blocked operations and while another operation is under way."""
    vm = core.vm(ref)
    if ref in core.busy:
        raise failures.Failure("OTHER_OPERATION_IN_PROGRESS", "VM", ref, core.busy[ref])
    if operation in vm["blocked_operations"]:
        raise failures.Failure("OPERATION_BLOCKED", ref, vm["blocked_operations"][operation])
    if vm["is_a_template"] and operation not in ("clone", "destroy", "snapshot"):
        raise failures.Failure("VM_IS_TEMPLATE", ref, operation)
    return vm


def require_tools(core: Core, ref: str, vm: Record) -> None:
    """VM_LACKS_FEATURE unless guest tools run in the VM."""
    if not core.insides.has_tools(str(vm["uuid"])):
        raise failures.Failure("VM_LACKS_FEATURE", ref)


def set_state(core: Core, ref: str, state: str, **fields: object) -> None:
    """Give a VM a power state, and what goes with it."""
    allowed = ("snapshot", *_OPERATIONS[state])
    core.database.update("VM", ref, {**fields, "power_state": state, "allowed_operations": allowed})


async def _during(core: Core, ref: str, operation: str, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` while the VM shows `operation`, so that others are refused."""
    core.busy[ref] = operation
    core.database.write("VM", ref, "current_operations", {f"OpaqueRef:{operation}": operation})
    try:
        await work
    finally:
        del core.busy[ref]
        if ref in core.database.table("VM").rows:
            core.database.write("VM", ref, "current_operations", {})


def choose_host(core: Core) -> str:
    """The enabled host with the fewest running VMs."""
    hosts = [(len(record["resident_VMs"]), ref) for ref, record in core.database.all("host") if record["enabled"]]
    if not hosts:
        raise failures.Failure("NO_HOSTS_AVAILABLE")
    return min(hosts, key=lambda found: found[0])[1]


def power_on(core: Core, ref: str, host: str, *, paused: bool = False) -> None:
    """Start a halted VM on `host`."""
    core.domains += 1
    set_state(core, ref, "Paused" if paused else "Running", resident_on=host, domid=core.domains)
    vm = core.vm(ref)
    fresh = {"start_time": values.now(), "memory_actual": vm["memory_static_max"], "current_domain_type": "hvm"}
    core.database.update("VM_metrics", vm["metrics"], fresh)
    for vif in vm["VIFs"]:
        core.database.write("VIF", vif, "currently_attached", value=True)
    for vbd in vm["VBDs"]:
        storage.attach(core, vbd)
    core.insides.boot(ref)


async def power_off(core: Core, ref: str, operation: str = "hard_shutdown") -> None:
    """Stop a VM; its guest metrics stay readable until the next start."""
    await _during(core, ref, operation, core.insides.halt(ref))
    set_state(core, ref, "Halted", resident_on=values.NULL, domid=-1)
    for vif in core.vm(ref)["VIFs"]:
        core.database.write("VIF", vif, "currently_attached", value=False)
    for vbd in core.vm(ref)["VBDs"]:
        storage.detach(core, vbd)


async def move(core: Core, ref: str, host: str) -> None:
    """Let a running VM live on on another host; what is inside does not notice."""
    core.database.get("host", host)
    await _during(core, ref, "pool_migrate", asyncio.sleep(_HANDED_OVER_S))
    core.database.write("VM", ref, "resident_on", host)


async def remove(core: Core, ref: str) -> None:
    """Destroy a halted VM with all that belongs to it alone."""
    await _during(core, ref, "destroy", core.insides.remove(str(core.vm(ref)["uuid"])))
    vm = core.vm(ref)
    for vif in vm["VIFs"]:
        core.database.destroy("VIF", vif)
    for vbd in vm["VBDs"]:
        storage.remove_device(core, vbd)
    for kind, field in (("VM_metrics", "metrics"), ("VM_guest_metrics", "guest_metrics")):
        if vm[field] in core.database.table(kind).rows:
            core.database.destroy(kind, vm[field])
    for snapshot in vm["snapshots"]:
        core.database.write("VM", snapshot, "snapshot_of", values.NULL)
    core.database.destroy("VM", ref)


def _start(call: Call, ref: str, paused: bool, force: bool) -> object:  # noqa: ARG001, FBT001 - XAPI's arguments
    return _start_at(call, ref, "", paused=paused)


def _start_on(call: Call, ref: str, host: str, paused: bool, force: bool) -> object:  # noqa: ARG001, FBT001
    return _start_at(call, ref, host, paused=paused)


def _start_at(call: Call, ref: str, host: str, *, paused: bool) -> str:
    require_free(call.core, ref, "start")
    require_state(call.core, ref, "Halted")
    if host and not call.database.get("host", host)["enabled"]:
        raise failures.Failure("HOST_DISABLED", host)
    for vbd in call.core.vm(ref)["VBDs"]:
        storage.need_unshared(call.core, vbd)
    power_on(call.core, ref, host or choose_host(call.core), paused=paused)
    return ""


def _pause(call: Call, ref: str) -> object:
    require_free(call.core, ref, "pause")
    require_state(call.core, ref, "Running")
    set_state(call.core, ref, "Paused")
    return ""


def _unpause(call: Call, ref: str) -> object:
    require_free(call.core, ref, "unpause")
    require_state(call.core, ref, "Paused")
    set_state(call.core, ref, "Running")
    return ""


async def _hard_shutdown(call: Call, ref: str) -> object:
    require_free(call.core, ref, "hard_shutdown")
    require_state(call.core, ref, "Paused", "Suspended", "Running")
    await power_off(call.core, ref)
    return ""


async def _clean_shutdown(call: Call, ref: str) -> object:
    vm = require_free(call.core, ref, "clean_shutdown")
    require_state(call.core, ref, "Running")
    require_tools(call.core, ref, vm)
    await power_off(call.core, ref, "clean_shutdown")
    return ""


async def _reboot(call: Call, ref: str, operation: str) -> object:
    host = str(call.core.vm(ref)["resident_on"])
    await power_off(call.core, ref, operation)
    power_on(call.core, ref, host)
    return ""


async def _hard_reboot(call: Call, ref: str) -> object:
    require_free(call.core, ref, "hard_reboot")
    require_state(call.core, ref, "Paused", "Running")
    return await _reboot(call, ref, "hard_reboot")


async def _clean_reboot(call: Call, ref: str) -> object:
    vm = require_free(call.core, ref, "clean_reboot")
    require_state(call.core, ref, "Running")
    require_tools(call.core, ref, vm)
    return await _reboot(call, ref, "clean_reboot")


async def _suspend(call: Call, ref: str) -> object:
    vm = require_free(call.core, ref, "suspend")
    require_state(call.core, ref, "Running")
    require_tools(call.core, ref, vm)
    await power_off(call.core, ref, "suspend")
    set_state(call.core, ref, "Suspended")
    return ""


def _resume(call: Call, ref: str, paused: bool, force: bool) -> object:  # noqa: ARG001, FBT001 - XAPI's arguments
    require_free(call.core, ref, "resume")
    require_state(call.core, ref, "Suspended")
    power_on(call.core, ref, choose_host(call.core), paused=paused)
    return ""


async def _migrate(call: Call, ref: str, host: str, options: dict[str, str]) -> object:  # noqa: ARG001 - XAPI's arguments
    vm = require_free(call.core, ref, "pool_migrate")
    require_state(call.core, ref, "Running")
    require_tools(call.core, ref, vm)
    await move(call.core, ref, host)
    return ""


async def _destroy(call: Call, ref: str) -> object:
    require_free(call.core, ref, "destroy")
    require_state(call.core, ref, "Halted", "Suspended")
    await remove(call.core, ref)
    return ""


def new_vm(core: Core, fields: Record) -> str:
    """A VM that is off, with the objects that every VM has.  Returns its reference."""
    metrics = core.database.create("VM_metrics", {"install_time": values.now()})
    fields = {"affinity": choose_host(core), "allowed_operations": ("snapshot", *_OPERATIONS["Halted"]), **fields}
    return core.database.create("VM", {**fields, "metrics": metrics})


COPIED = ("other_config", "name_description", "is_default_template", "tags", "platform", "xenstore_data")


async def _clone(call: Call, ref: str, label: str) -> object:
    vm = require_free(call.core, ref, "clone")
    require_state(call.core, ref, "Halted", "Suspended")
    fields = {name: vm[name] for name in COPIED}
    fields |= {"name_label": longest_valid(label), "is_a_template": vm["is_a_template"], "is_default_template": False}
    if vm["is_a_template"]:
        fields["other_config"] = {**vm["other_config"], "base_template_name": vm["name_label"]}
    copy = new_vm(call.core, fields)
    await storage.copy_devices(call.core, ref, copy)
    call.core.insides.copied(str(vm["uuid"]), str(call.core.vm(copy)["uuid"]))
    return copy


async def _snapshot(call: Call, ref: str, label: str, *_: object) -> object:
    snapshot = new_snapshot(call.core, ref, label)
    await storage.copy_devices(call.core, ref, snapshot, is_a_snapshot=True)
    return snapshot


def new_snapshot(core: Core, ref: str, label: str) -> str:
    """A snapshot of a VM: a template of its own that keeps all of its keys."""
    vm = require_free(core, ref, "snapshot")
    fields = {
        **{name: vm[name] for name in COPIED},
        "name_label": longest_valid(label),
        "is_a_template": True,
        "is_a_snapshot": True,
        "snapshot_of": ref,
        "snapshot_time": values.now(),
        "snapshot_info": {"power-state-at-snapshot": vm["power_state"]},
        "snapshot_metadata": json.dumps({"name_label": vm["name_label"]}),
    }
    return new_vm(core, fields)


async def _revert(call: Call, snapshot: str) -> object:
    """The VM becomes what it was: keys that came since the snapshot vanish."""
    saved = call.core.vm(snapshot)
    if not saved["is_a_snapshot"] or saved["snapshot_of"] == values.NULL:
        raise failures.Failure("OPERATION_NOT_ALLOWED", "not a snapshot")
    ref = str(saved["snapshot_of"])
    require_free(call.core, ref, "revert")
    if call.core.vm(ref)["power_state"] != "Halted":
        await power_off(call.core, ref, "revert")
    await _revert_disks(call.core, snapshot, ref)
    label = json.loads(saved["snapshot_metadata"])["name_label"]
    call.database.update("VM", ref, {**{name: saved[name] for name in COPIED}, "name_label": label})
    return ""


async def _revert_disks(core: Core, snapshot: str, ref: str) -> None:
    """The VM gets copies of the snapshot's disks in the place of its own."""
    for vbd in core.vm(ref)["VBDs"]:
        device = core.database.get("VBD", vbd)
        if device["type"] == "CD" or device["empty"]:
            storage.remove_device(core, vbd)
        else:
            await storage.remove_disk(core, device["VDI"])
    await storage.copy_devices(core, snapshot, ref)


def _provision(call: Call, ref: str) -> object:
    call.core.vm(ref)
    call.database.write("VM", ref, "is_a_template", value=False)
    return ""


def _create(call: Call, record: dict[str, Any]) -> object:
    constructors.need(record, "name_label", "memory_static_max", "is_a_template")
    given = set(call.database.table("VM").schema.fields) - {"uuid", "power_state", "metrics", "guest_metrics"}
    return new_vm(call.core, constructors.read("VM", record, given))


def _set_other_config(call: Call, ref: str, wanted: dict[str, str]) -> object:
    """Replace the whole map; each key that changes needs the role for it."""
    present = call.core.vm(ref)["other_config"]
    checked_map(wanted)
    if call.who is not None and call.core.profile.guards_maps:
        for key in wanted.keys() | present.keys():
            if wanted.get(key) != present.get(key):
                role = role_for_key("VM", key, Role.VM_ADMIN)
                check(call.who.account, f"VM.set_other_config/key:{key}", role)
    call.database.write("VM", ref, "other_config", wanted)
    return ""


def _power(name: str, run: Callable[..., object], *kinds: str, role: Role = Role.VM_OPERATOR) -> Method:
    return Method(f"VM.{name}", ("ref", *kinds), run, role, asynchronous=True)


METHODS: Methods = (
    _power("start", _start, "bool", "bool"),
    _power("start_on", _start_on, "ref", "bool", "bool", role=Role.VM_POWER_ADMIN),
    _power("pause", _pause),
    _power("unpause", _unpause),
    _power("hard_shutdown", _hard_shutdown),
    _power("clean_shutdown", _clean_shutdown),
    _power("shutdown", _hard_shutdown),
    _power("hard_reboot", _hard_reboot),
    _power("clean_reboot", _clean_reboot),
    _power("suspend", _suspend),
    _power("resume", _resume, "bool", "bool"),
    _power("pool_migrate", _migrate, "ref", "map", role=Role.VM_POWER_ADMIN),
    _power("destroy", _destroy, role=Role.VM_ADMIN),
    _power("clone", _clone, "str", role=Role.VM_ADMIN),
    _power("revert", _revert, role=Role.VM_POWER_ADMIN),
    _power("provision", _provision, role=Role.VM_ADMIN),
    Method("VM.snapshot", ("ref", "str", "set"), _snapshot, Role.VM_POWER_ADMIN, optional=1, asynchronous=True),
    Method("VM.set_other_config", ("ref", "map"), _set_other_config, Role.VM_ADMIN),
    Method("VM.create", ("record",), _create, Role.VM_ADMIN, asynchronous=True),
)
