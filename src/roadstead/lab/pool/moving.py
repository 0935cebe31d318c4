"""A VM that comes from another pool, as cross-pool migration brings it: with its uuid, keys and all that is inside."""

from __future__ import annotations

from roadstead.errors import ConflictError
from roadstead.lab.pool import seeds, vm_calls
from roadstead.lab.pool.driver import VmDriver


async def bring(target: VmDriver, source: VmDriver, name: str) -> str:
    """Move a VM of the pool `source`, running or halted, to `target`; its uuid.

    Its `other_config` and its config drive come along, and name what only the old pool has.  The guest lets in whom it
    let in before.
    """
    ref = source.find(name)
    vm = source.core.vm(ref)
    uuid, state = str(vm["uuid"]), vm["power_state"]
    if state not in ("Running", "Halted"):
        raise ConflictError("lab-order-refused", call="VM.migrate_send", reason=f"VM_BAD_POWER_STATE {state}")
    machine, guest = source.machines.release(uuid)
    kept = {field: vm[field] for field in vm_calls.COPIED}
    fresh = vm_calls.new_vm(target.core, {**kept, "uuid": uuid, "name_label": vm["name_label"]})
    await seeds.carry(source.core, ref, target.core, fresh)
    for _, vdi in seeds.shown(source.core, ref):
        await source.core.images.remove(str(vdi["uuid"]))
    await vm_calls.remove(source.core, ref)
    target.machines.adopt(uuid, machine, guest, is_up=state == "Running")
    if state == "Running":
        vm_calls.power_on(target.core, fresh, vm_calls.choose_host(target.core))
        await target.machines.booted(fresh)
    return uuid
