"""A pool's disks, the devices by which VMs see them, and the storage that they are in: read, made, filled, removed.

Everything is asked for at the moment of need: nothing of it is watched. Facts about XAPI: the storage decides how large
a disk gets; ``/import_raw_vdi`` answers 200 before it has read the data, so only its task tells how it ended; a host
serves the disks of a storage only if it sees that storage (``PBD.currently_attached``).
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any
from urllib.parse import urlencode

from roadstead.errors import AmbiguousError, NotFoundError, PoolError
from roadstead.peers.xapi import faults, messages, writes
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages.disks import (
    Device,
    Disk,
    Machine,
    Storage,
    device_record,
    disk_record,
    machine_record,
    references,
    storage_record,
    system_name,
)
from roadstead.peers.xapi.wire import Request

MASTER = ""
"""Stands for the address of the master."""
NO_DISK = "OpaqueRef:NULL"
"""What an empty drive shows."""
SLOW_SECONDS = 60.0
"""Limit on a call that makes the storage work."""
TASK_SECONDS = 0.2
"""How often the task of a transfer is looked at."""
TASK_END_SECONDS = 3.0
"""Limit on clearing away the task of a transfer, also of one that was cut short; XAPI clears old ones away."""
REPLY_BYTES = 64 * 2**10
"""The longest reply to an upload; it is text about what went wrong."""
MOST_NAMESAKES = 20
"""So many storages of one name are told apart for who must choose."""
HOST_INTERNAL_BRIDGE = "xenapi"
"""The bridge of the network that leads from a host to its own VMs."""


class Disks:
    """Disks of one pool. Every call raises `PoolError`; a missing object is `NotFoundError` or None, as is said."""

    def __init__(self, client: XapiClient) -> None:
        self._client = client
        self._call = client.call

    # ---- reading

    async def machine(self, uuid: str) -> Machine:
        """Return the VM or template of this uuid. Raises `NotFoundError` ``no-such-vm``."""
        found = await self._by_uuid("VM", uuid)
        if found is None:
            raise NotFoundError("no-such-vm", name=uuid)
        return machine_record(*found)

    async def storage(self, uuid: str) -> Storage:
        """Return the storage of this uuid. Raises `NotFoundError` ``no-such-storage``."""
        found = await self._by_uuid("SR", uuid)
        if found is None:
            raise NotFoundError("no-such-storage", name=uuid)
        return storage_record(*found, host=await self._host_of(found[1]))

    async def storage_named(self, name: str) -> Storage:
        """Return the storage of this name or uuid. Raises `NotFoundError` ``no-such-storage``, `AmbiguousError`."""
        found = await self._call("SR.get_by_name_label", name)
        refs = [str(ref) for ref in found] if isinstance(found, list) else []
        if len(refs) > 1:
            uuids = [str(await self._call("SR.get_uuid", ref)) for ref in refs[:MOST_NAMESAKES]]
            raise AmbiguousError("ambiguous-name", name=name, kind="storage", count=len(refs), candidates=uuids)
        for ref in refs:
            record = await self._record("SR", ref)
            if record is not None:
                return storage_record(ref, record, host=await self._host_of(record))
        return await self.storage(name)

    async def storage_of(self, disk: Disk) -> Storage:
        """Return the storage that a disk is in. Raises `NotFoundError` ``no-such-storage``."""
        record = await self._record("SR", disk.storage)
        if record is None:
            raise NotFoundError("no-such-storage", name=disk.storage)
        return storage_record(disk.storage, record, host=await self._host_of(record))

    async def system(self, machine: Machine) -> str:
        """Return what the guest tools say that runs in a VM; empty when they say nothing."""
        record = await self._record("VM_guest_metrics", machine.guest_metrics) if machine.guest_metrics else None
        return "" if record is None else system_name(record)

    async def disk(self, uuid: str) -> Disk | None:
        """Return the disk of this uuid, or None."""
        found = await self._by_uuid("VDI", uuid)
        return None if found is None else disk_record(*found)

    async def disk_at(self, ref: str) -> Disk | None:
        """Return the disk of this reference, or None."""
        record = await self._record("VDI", ref)
        return None if record is None else disk_record(ref, record)

    async def devices(self, machine: Machine) -> list[Device]:
        """Return the devices of a VM; one that goes meanwhile is left out."""
        found = [await self.device(ref) for ref in machine.devices]
        return [device for device in found if device is not None]

    async def device(self, ref: str) -> Device | None:
        """Return a device (its reference), or None when it is gone."""
        record = await self._record("VBD", ref)
        if record is None:
            return None
        shown = messages.reference(record, "VDI")
        return device_record(ref, record, disk=await self.disk_at(shown) if shown else None)

    async def internal_device(self, machine: Machine) -> str | None:
        """Return the number of the VM's network card in the host-internal network, or None."""
        for ref in machine.cards:
            card = await self._record("VIF", ref)
            network = messages.reference(card, "network") if card else None
            joined = await self._record("network", network) if network else None
            if card and joined and messages.string(joined, "bridge") == HOST_INTERNAL_BRIDGE:
                return messages.string(card, "device")
        return None

    async def host_of(self, disk: Disk) -> str | None:
        """Return the address of a host that sees the disk (see `Storage`)."""
        record = await self._record("SR", disk.storage)
        return None if record is None else await self._host_of(record)

    async def read(self, disk: Disk, host: str, seconds: float) -> bytes:
        """Return what stands on a disk, from a host that sees it: exactly as much as the disk is large."""
        content = await self._client.transfer(_export(disk), host, seconds=seconds)
        _need_whole(disk, len(content))
        return content

    async def copy(self, disk: Disk, host: str, file: IO[bytes], seconds: float) -> None:
        """Write what stands on a disk, which may be large, into an empty file; otherwise as `read`."""
        request = _export(disk)._replace(taker=lambda piece: asyncio.to_thread(file.write, piece))
        await self._client.transfer(request, host, seconds=seconds)
        _need_whole(disk, await asyncio.to_thread(file.tell))

    async def tools(self) -> list[Disk]:
        """Return the images of guest tools that the pool has, by name: XAPI alone says which disks are, of those in the
        storage that hosts bring along (``VDI.is_tools_iso``, read-only).
        """
        found = await self._call("VDI.get_all_records_where", 'field "is_tools_iso" = "true"')
        records = found.items() if isinstance(found, dict) else ()
        disks = [disk_record(ref, record) for ref, record in records if isinstance(record, dict)]
        return sorted(disks, key=lambda disk: (disk.name, disk.uuid))

    # ---- writing

    async def create(self, storage: str, name: str, size: int, marks: Mapping[str, str]) -> str:
        """Make a disk of at least ``size`` bytes for the system's own use; return its reference."""
        record = {
            "name_label": name,
            "name_description": "",
            "SR": storage,
            "virtual_size": str(size),
            "type": "system",
            "sharable": False,
            "read_only": False,
            "other_config": dict(marks),
        }
        return str(await self._call("VDI.create", record, seconds=SLOW_SECONDS))

    async def write(self, disk: str, content: bytes, host: str, seconds: float) -> None:
        """Put ``content`` on a disk (its reference) by a host that sees it; return when it is there."""
        call = "import_raw_vdi"
        task = str(await self._call("task.create", "Writing a disk", ""))
        try:
            query = urlencode({"vdi": disk, "format": "raw", "task_id": task})
            request = Request("PUT", f"/{call}?{query}", call, REPLY_BYTES, content)
            await self._client.transfer(request, host, seconds=seconds)
            await self._ended(task, call)
        finally:
            with suppress(PoolError, TimeoutError):  # who waits for us waits for this, too
                async with asyncio.timeout(TASK_END_SECONDS):
                    await self._call("task.destroy", task)

    async def rename(self, disk: str, name: str) -> None:
        """Give a disk (its reference) another name."""
        await self._call("VDI.set_name_label", disk, name)

    async def mark(self, disk: str, key: str, value: str) -> None:
        """Let a key in the ``other_config`` of a disk (its reference) be ``value``; it is absent for a moment."""
        await writes.replace_key(self._call, "VDI", disk, key, value)

    async def uuid(self, disk: str) -> str:
        """Return the uuid of a disk (its reference)."""
        return str(await self._call("VDI.get_uuid", disk))

    async def named(self, name: str) -> list[str]:
        """Return the references of the disks of this name."""
        found = await self._call("VDI.get_by_name_label", name)
        return [str(ref) for ref in found] if isinstance(found, list) else []

    async def show(self, machine: str, disk: str, marks: Mapping[str, str]) -> str:
        """Give a VM a device that shows it the disk for reading, the first that is free; return its reference."""
        return await self._add_device(machine, disk, "Disk", marks)

    async def _add_device(self, machine: str, disk: str, kind: str, marks: Mapping[str, str]) -> str:
        free = await self._call("VM.get_allowed_VBD_devices", machine)
        if not isinstance(free, list) or not free:
            raise PoolError(
                "pool-call-failed", call="VBD.create", reason="the VM has no free device", xapi="INVALID_DEVICE"
            )
        record = {
            "VM": machine,
            "VDI": disk,
            "userdevice": str(free[0]),
            "bootable": False,
            "mode": "RO",
            "type": kind,
            "empty": disk == NO_DISK,
            "unpluggable": True,
            "other_config": dict(marks),
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
        return str(await self._call("VBD.create", record))

    async def default_storage(self) -> str:
        """Return the uuid of the pool's default storage. Raises `NotFoundError` ``no-such-storage`` without one."""
        found, _ = await self._client.pool()
        pool = await self._record("pool", found)
        ref = messages.reference(pool, "default_SR") if pool is not None else None
        record = await self._record("SR", ref) if ref else None
        if record is None:
            raise NotFoundError("no-such-storage", name="by default")
        return messages.string(record, "uuid")

    async def add_drive(self, machine: str) -> str:
        """Give a VM an empty CD drive, the first device that is free; return its reference."""
        return await self._add_device(machine, NO_DISK, "CD", {})

    async def insert(self, device: str, disk: str) -> None:
        """Put a disk (its reference) into a CD drive, which is empty."""
        await self._call("VBD.insert", device, disk, seconds=SLOW_SECONDS)

    async def eject(self, device: str) -> None:
        """Take out what is in a CD drive."""
        await self._call("VBD.eject", device, seconds=SLOW_SECONDS)

    async def plug(self, device: str) -> None:
        """Show a device to its running VM."""
        await self._call("VBD.plug", device, seconds=SLOW_SECONDS)

    async def unplug(self, device: str) -> None:
        """Take a device away from its running VM, which must agree."""
        await self._call("VBD.unplug", device, seconds=SLOW_SECONDS)

    async def hide(self, device: str) -> None:
        """Remove a device, which is unplugged; one that is gone already is fine."""
        await self._unless_gone("VBD.destroy", device)

    async def destroy(self, disk: str) -> None:
        """Remove a disk (its reference) that nobody uses, with its devices; one that is gone already is fine."""
        await self._unless_gone("VDI.destroy", disk)

    async def discard(self, disk: str) -> None:
        """Remove a disk (its reference) with its devices, also from a VM that runs; what is gone already is fine."""
        record = await self._record("VDI", disk)
        for ref in references(record, "VBDs") if record is not None else ():
            device = await self._record("VBD", ref)
            if device is not None and device.get("currently_attached") is True:
                await self.unplug(ref)
            await self.hide(ref)
        await self.destroy(disk)

    # ---- pieces

    async def _ended(self, task: str, call: str) -> None:
        while True:
            record = await self._record("task", task) or {}
            status = messages.string(record, "status")
            if status == "success":
                return
            if status not in {"pending", "cancelling"}:
                told = record.get("error_info")
                words = [str(word) for word in told] if isinstance(told, list) else []
                raise PoolError("pool-call-failed", call=call, reason=" ".join(words) or "it ended without a word")
            await asyncio.sleep(TASK_SECONDS)

    async def _host_of(self, storage: messages.XapiObject) -> str | None:
        seeing = []
        for ref in references(storage, "PBDs"):
            record = await self._record("PBD", ref)
            host = messages.reference(record, "host") if record else None
            if record and host and record.get("currently_attached") is True:
                seeing.append(host)
        _, pool = await self._client.pool()
        if not seeing or messages.reference(pool, "master") in seeing:
            return MASTER if seeing else None
        return str(await self._call("host.get_address", seeing[0]))

    async def _by_uuid(self, cls: str, uuid: str) -> tuple[str, dict[str, Any]] | None:
        try:
            ref = str(await self._call(f"{cls}.get_by_uuid", uuid))
        except PoolError as error:
            if faults.is_gone(error):
                return None
            raise
        record = await self._record(cls, ref)
        return None if record is None else (ref, record)

    async def _record(self, cls: str, ref: str) -> dict[str, Any] | None:
        try:
            record = await self._call(f"{cls}.get_record", ref)
        except PoolError as error:
            if faults.is_gone(error):
                return None
            raise
        return record if isinstance(record, dict) else None

    async def _unless_gone(self, method: str, ref: str) -> None:
        try:
            await self._call(method, ref, seconds=SLOW_SECONDS)
        except PoolError as error:
            if not faults.is_gone(error):
                raise


def _export(disk: Disk) -> Request:
    call = "export_raw_vdi"
    query = urlencode({"vdi": disk.uuid, "format": "raw"})
    return Request("GET", f"/{call}?{query}", call, disk.size)


def _need_whole(disk: Disk, size: int) -> None:
    """What went wrong in the middle stands in the midst of the data. Raises `PoolError`."""
    if size != disk.size:
        reason = f"{size} of {disk.size} bytes came"
        raise PoolError("pool-call-failed", call="export_raw_vdi", reason=reason)
