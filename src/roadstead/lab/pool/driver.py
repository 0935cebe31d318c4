"""What an operator of the lab does to VMs by hand: make, start, stop, move, rename, destroy them, by name or uuid."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from roadstead.errors import AmbiguousError, ConflictError, InputError, NotFoundError
from roadstead.lab.pool import cds, storage, vm_calls
from roadstead.lab.pool.core import Core
from roadstead.lab.pool.database import Record
from roadstead.lab.pool.failures import Failure
from roadstead.lab.pool.machines import PORT_KEY, USER_KEY, Machines
from roadstead.lab.pool.state import WINDOWS, Machine
from roadstead.lab.pool.text import longest_valid

TOOLS_STORAGE = "XenServer Tools"
TOOLS_ISO = "guest-tools.iso"
MONITOR_KEY = "xscontainer-monitor"


def is_real(vm: Record) -> bool:
    """Whether a VM's record is that of a VM, not of a template, a snapshot or a control domain."""
    return not (vm["is_a_template"] or vm["is_a_snapshot"] or vm["is_control_domain"])


@contextmanager
def _refusals(call: str) -> Iterator[None]:
    """The pool's refusals as errors that say what was refused."""
    try:
        yield
    except Failure as failure:
        reason = " ".join((failure.code, *failure.params[1:]))
        raise ConflictError("lab-order-refused", call=call, reason=reason) from failure


@dataclass(frozen=True, slots=True)
class NewVm:
    """How a new VM is to be.  With `addresses` it is a guest that somebody else made; without, the lab makes one."""

    name: str
    containers: int = 20
    enabled: bool = True
    addresses: tuple[str, ...] | None = None
    user: str = ""
    running: bool = True
    kind: str = ""
    raw: bool = False
    """Both as in `Machine`."""


class VmDriver:
    """Acts on the VMs of one pool.  `core` and `machines` are there once the pool has started.

    What waits for a boot raises `ConflictError` `lab-guest-failed` when the guest does not come up; its VM is off then.
    """

    core: Core
    machines: Machines

    def find_all(self, name: str) -> list[str]:
        """The references of all real VMs with this name or uuid."""
        vms = self.core.database.all("VM")
        return [ref for ref, vm in vms if name in (vm["name_label"], vm["uuid"]) and is_real(vm)]

    def find(self, name: str) -> str:
        """The reference of the one real VM with this name or uuid."""
        if not name:
            raise InputError("field-invalid", field="VM", reason="the name is missing")
        found = self.find_all(name)
        if not found:
            raise NotFoundError("no-such-lab-vm", name=name)
        if len(found) > 1:
            candidates = ", ".join(str(self.core.vm(ref)["uuid"]) for ref in found)
            raise AmbiguousError("ambiguous-name", name=name, count=len(found), kind="VM", candidates=candidates)
        return found[0]

    def uuid_of(self, name: str) -> str:
        """The uuid of the one real VM with this name or uuid."""
        return str(self.core.vm(self.find(name))["uuid"])

    def add_bare_vms(self, *names: str) -> None:
        """Make VMs without disks, network cards, guests and tools, halted, where there is none of that name."""
        for name in names:
            if not self.find_all(name):
                vm_calls.new_vm(self.core, {"name_label": name})

    async def add_tools(self, image: bytes) -> str:
        """Give the pool the guest tools ISO that hosts bring along, in a storage of its own; return the disk's uuid."""
        database = self.core.database
        fields = {"type": "iso", "content_type": "iso", "shared": True, "is_tools_sr": True}
        sr = database.create("SR", {"name_label": TOOLS_STORAGE, **fields})
        for host, _ in database.all("host"):
            database.create("PBD", {"host": host, "SR": sr, "currently_attached": True})
        told = {"name_label": TOOLS_ISO, "type": "user", "read_only": True, "is_tools_iso": True}
        disk = storage.new_disk(self.core, sr, len(image), told)
        uuid = str(database.get("VDI", disk)["uuid"])
        await asyncio.to_thread(self.core.images.path(uuid).write_bytes, image)
        return uuid

    async def create_vm(
        self,
        name: str,
        *,
        containers: int = 20,
        enabled: bool = True,
        addresses: tuple[str, ...] | None = None,
        user: str = "",
        running: bool = True,
    ) -> str:
        """Make a VM, and start it.  Returns its uuid when it has booted and announces its addresses."""
        return await self.make_vm(NewVm(name, containers, enabled, addresses, user, running))

    async def make_vm(self, wanted: NewVm, *, wait: bool = True) -> str:
        """Make the VM `wanted`; with `wait`, return only when it has booted.  Returns its uuid."""
        ref = vm_calls.new_vm(self.core, {"name_label": wanted.name})
        uuid = str(self.core.vm(ref)["uuid"])
        number = self.machines.next_number() if wanted.addresses is None else 0
        self.machines.known[uuid] = Machine(
            number,
            wanted.containers,
            wanted.addresses,
            kind=wanted.kind,
            raw=wanted.raw,
            admitted=() if wanted.raw else self.machines.newer_keys(),
        )
        keys = {MONITOR_KEY: "True"} if wanted.enabled else {}
        if wanted.user:
            keys[USER_KEY] = wanted.user
        self.core.database.write("VM", ref, "other_config", keys)
        if wanted.kind == WINDOWS:
            storage.new_device(self.core, cds.empty_drive(ref))
        if wanted.running:
            vm_calls.power_on(self.core, ref, vm_calls.choose_host(self.core))
        if wanted.running and wait:
            await self._booted(ref)
        return uuid

    async def _booted(self, ref: str) -> None:
        await self.machines.booted(ref)
        vm = self.core.vm(ref)
        reason = self.machines.failures.get(str(vm["uuid"]))
        if reason is not None:
            await vm_calls.power_off(self.core, ref)
            raise ConflictError("lab-guest-failed", guest=vm["name_label"], reason=reason)

    async def start_vm(self, name: str, host: int | None = None) -> None:
        """Start a VM; return when it has booted."""
        ref = self.find(name)
        with _refusals("VM.start"):
            vm_calls.require_free(self.core, ref, "start")
            vm_calls.require_state(self.core, ref, "Halted")
            chosen = self.host_ref(host) if host is not None else vm_calls.choose_host(self.core)
            vm_calls.power_on(self.core, ref, chosen)
        await self._booted(ref)

    async def stop_vm(self, name: str) -> None:
        """Switch a VM off; return when nothing in it answers any more."""
        ref = self.find(name)
        with _refusals("VM.hard_shutdown"):
            vm_calls.require_free(self.core, ref, "hard_shutdown")
            vm_calls.require_state(self.core, ref, "Paused", "Suspended", "Running")
            await vm_calls.power_off(self.core, ref)

    async def migrate_vm(self, name: str, host: int | None = None) -> None:
        """Move a running VM to the host of that number; to the next one when none is given."""
        ref = self.find(name)
        with _refusals("VM.pool_migrate"):
            vm_calls.require_free(self.core, ref, "pool_migrate")
            vm_calls.require_state(self.core, ref, "Running")
            await vm_calls.move(self.core, ref, self._target(ref, host))

    def _target(self, ref: str, host: int | None) -> str:
        if host is not None:
            return self.host_ref(host)
        hosts = list(self.core.database.table("host").rows)
        return hosts[(hosts.index(self.core.vm(ref)["resident_on"]) + 1) % len(hosts)]

    def host_ref(self, number: int) -> str:
        """The reference of the host of that number, from 1."""
        hosts = list(self.core.database.table("host").rows)
        if not 1 <= number <= len(hosts):
            raise NotFoundError("no-such-lab-host", name=number, count=len(hosts))
        return hosts[number - 1]

    def host_number(self, ref: str) -> int | None:
        """The number of a host; None for the reference of none."""
        hosts = list(self.core.database.table("host").rows)
        return hosts.index(ref) + 1 if ref in hosts else None

    def announced(self, name: str) -> list[str]:
        """The addresses that a VM's guest tools announce, in their order."""
        metrics = self.core.vm(self.find(name))["guest_metrics"]
        rows = self.core.database.table("VM_guest_metrics").rows
        told = rows[metrics].record["networks"] if metrics in rows else {}
        return [address for key, address in told.items() if not key.endswith("/ip")]

    def rename_vm(self, name: str, new: str) -> None:
        """Give a VM another name."""
        if not new:
            raise InputError("field-invalid", field="VALUE", reason="the new name is missing")
        self.core.database.write("VM", self.find(name), "name_label", new)

    async def destroy_vm(self, name: str) -> None:
        """Remove a VM, whatever its state."""
        ref = self.find(name)
        with _refusals("VM.destroy"):
            vm_calls.require_free(self.core, ref, "destroy")
            if self.core.vm(ref)["power_state"] != "Halted":
                await vm_calls.power_off(self.core, ref)
            await vm_calls.remove(self.core, ref)

    def set_addresses(self, name: str, addresses: tuple[str, ...]) -> None:
        """Let a VM announce these texts as its addresses, whatever its guest has."""
        ref = self.find(name)
        uuid = str(self.core.vm(ref)["uuid"])
        machine = self.machines.known.setdefault(uuid, Machine())
        machine.addresses = addresses
        if self.core.vm(ref)["power_state"] == "Running":
            self.machines.announce(ref, addresses)

    def set_user(self, name: str, user: str) -> None:
        """Set the key that names a VM's account."""
        self.set_key(name, USER_KEY, user)

    def set_key(self, name: str, key: str, value: str | None) -> dict[str, str]:
        """Make a key of a VM's `other_config` be `value`, or not be there; returns the whole map.

        `InputError` for what a pool's database does not take.
        """
        if not key or longest_valid(key + (value or "")) != key + (value or ""):
            raise InputError("field-invalid", field="VALUE", reason="a pool takes no such text")
        ref = self.find(name)
        known: dict[str, str] = {**self.core.vm(ref)["other_config"]}
        known.pop(key, None)
        known |= {} if value is None else {key: value}
        self.core.database.write("VM", ref, "other_config", known)
        return known

    async def admit(self, name: str, public_key: str) -> None:
        """Append a key in a VM's guest, as its user does, who lets a pool in."""
        uuid = self.uuid_of(name)
        if await self.machines.guest(uuid) is None:
            raise ConflictError("lab-vm-without-guest", vm=name)
        await self.machines.admit(uuid, public_key)

    async def run_cd(self, name: str) -> None:
        """Run the script that is on the CD in a VM's drive, as its administrator does."""
        ref, uuid = self.find(name), self.uuid_of(name)
        secured = await asyncio.to_thread(cds.run, cds.inserted(self.core, ref), name)
        if not await self.machines.secure(uuid, secured):
            raise ConflictError("lab-vm-without-guest", vm=name)

    async def make_raw(self, name: str) -> None:
        """Let a VM be as nobody has prepared it: no key opens its guest, and no key of its own says anything of us."""
        ref, uuid = self.find(name), self.uuid_of(name)
        if await self.machines.guest(uuid) is None:
            raise ConflictError("lab-vm-without-guest", vm=name)
        await self.machines.make_raw(uuid)
        kept = {
            key: value
            for key, value in self.core.vm(ref)["other_config"].items()
            if not key.startswith(("xscontainer-", "roadstead-")) or key == PORT_KEY
        }
        self.core.database.write("VM", ref, "other_config", kept)

    async def new_host_key(self, name: str) -> None:
        """Give a VM's guest another SSH host key."""
        guest = await self.machines.guest(self.uuid_of(name))
        if guest is None:
            raise ConflictError("lab-vm-without-guest", vm=name)
        await guest.new_host_key()

    async def door(self, name: str) -> tuple[str, ...]:
        """The words that run a command inside a VM's guest, when they stand before it."""
        guest = await self.machines.guest(self.uuid_of(name))
        if guest is None:
            raise ConflictError("lab-vm-without-guest", vm=name)
        if self.core.vm(self.find(name))["power_state"] != "Running":
            raise ConflictError("vm-off", vm=name)
        if not guest.door:
            raise ConflictError("lab-guest-without-inside", vm=name)
        return guest.door

    async def truth(self) -> dict[str, dict[str, object]]:
        """What the guests themselves know: VM uuid → its name, whether it runs, and its containers."""
        told: dict[str, dict[str, object]] = {}
        for uuid in tuple(self.machines.known):
            record = self.core.vm(self.core.database.by_uuid("VM", uuid))
            guest = await self.machines.guest(uuid)
            running = record["power_state"] == "Running"
            containers = await guest.truth() if guest is not None and running else []
            told[uuid] = {"name": record["name_label"], "running": running, "containers": containers}
        return told

    def decorate(self) -> None:
        """Give the first VM a snapshot, so that clients must tell the two apart."""
        real = [ref for ref, record in self.core.database.all("VM") if is_real(record)]
        if real:
            vm_calls.new_snapshot(self.core, real[0], f"{self.core.vm(real[0])['name_label']} before the upgrade")
