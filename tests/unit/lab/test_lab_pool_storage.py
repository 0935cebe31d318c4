"""Disks, drives and storage of the pool: who may show what to whom, and what a VM's life does to its disks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roadstead.lab.pool.contents import DISKS, ISOS
from roadstead.lab.pool.server import LabPool
from roadstead.lab.pool.values import NULL
from tests.unit.lab.pool_support import Client, signed_in

MIB = 1 << 20


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of two hosts with a halted VM that has guest tools, and one that has none."""
    async with LabPool(tmp_path / "lab", hosts=2) as running:
        await running.create_vm("web-1", addresses=(), running=False)
        running.add_bare_vms("bare")
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[Client]:
    """A signed-in client."""
    async with signed_in(pool) as made:
        yield made


async def named(client: Client, kind: str, label: str) -> str:
    """The one object of that name."""
    (found,) = await client.call(f"{kind}.get_by_name_label", label)
    return str(found)


async def disk(client: Client, label: str = DISKS, **fields: Any) -> str:
    """A new disk."""
    record = {"name_label": "disk", "virtual_size": MIB, "type": "user", "sharable": False, "read_only": False}
    sr = await named(client, "SR", label)
    return str(await client.call("VDI.create", {**record, "other_config": {}, "SR": sr, **fields}))


def device(vm: str, vdi: str, number: str, **fields: Any) -> dict[str, Any]:
    """The record of a new device."""
    qos = {"qos_algorithm_type": "", "qos_algorithm_params": {}}
    plain = {"bootable": False, "mode": "RW", "type": "Disk", "empty": False, "other_config": {}, **qos}
    return {"VM": vm, "VDI": vdi, "userdevice": number, **plain, **fields}


def drive(vm: str, number: str = "3") -> dict[str, Any]:
    """The record of an empty drive."""
    return device(vm, NULL, number, type="CD", mode="RO", empty=True)


async def test_config_drive_is_made_plugged_and_replaced(client: Client, pool: LabPool) -> None:
    """A disk of type system goes to the first free device of a running VM, read-only, and leaves it again."""
    vm = pool.find("web-1")
    await pool.start_vm("web-1")
    vdi = await disk(client, type="system", other_config={"config-drive": "True"})
    (free, *_) = await client.call("VM.get_allowed_VBD_devices", vm)
    vbd = await client.call("VBD.create", device(vm, vdi, free, mode="RO", other_config={"config-drive": "True"}))

    assert (free, await client.call("VM.get_VBDs", vm), await client.call("VDI.get_VBDs", vdi)) == ("0", [vbd], [vbd])
    await client.call("VBD.plug", vbd)
    assert await client.call("VBD.get_device", vbd) == "xvda"
    assert await client.refused("VDI.destroy", vdi) == ["VDI_IN_USE", vdi, "destroy"]
    await client.call("VBD.unplug", vbd)
    assert await client.refused("VBD.unplug", vbd) == ["DEVICE_ALREADY_DETACHED", vbd]
    await client.call("VBD.destroy", vbd)
    await client.call("VDI.destroy", vdi)
    assert await client.call("VM.get_VBDs", vm) == []
    assert await client.call("VBD_metrics.get_all") == []


async def test_devices_that_make_no_sense_are_refused(client: Client, pool: LabPool) -> None:
    """Unknown VMs, disks, types, modes and devices, and disks that may not be written."""
    vm, vdi = pool.find("web-1"), await disk(client, read_only=True)
    unknown = ["INTERNAL_ERROR", 'Failure("Unknown tag/contents")']

    async def refused(*arguments: Any, **fields: Any) -> list[str]:
        return await client.refused("VBD.create", device(*arguments, **fields))

    assert await refused("OpaqueRef:no", vdi, "0", mode="RO") == ["HANDLE_INVALID", "VM", "OpaqueRef:no"]
    assert await refused(vm, "OpaqueRef:no", "0") == ["HANDLE_INVALID", "VDI", "OpaqueRef:no"]
    assert await refused(vm, vdi, "0", type="Tape") == unknown
    assert await refused(vm, vdi, "0", mode="ro") == unknown
    assert await refused(vm, vdi, "0") == ["VDI_READONLY", vdi]
    assert await refused(vm, vdi, "xvdz", mode="RO") == ["INVALID_DEVICE", "xvdz"]
    await client.call("VBD.create", device(vm, vdi, "xvdb", mode="RO"))
    assert await refused(vm, vdi, "1", mode="RO") == ["DEVICE_ALREADY_EXISTS", "1"]
    chosen = await client.call("VBD.create", device(vm, vdi, "autodetect", mode="RO"))
    assert await client.call("VBD.get_userdevice", chosen) == "0"


async def test_cds_go_in_and_out_whatever_the_vm_does(client: Client, pool: LabPool) -> None:
    """A drive takes a CD of a halted and of a running VM; removing the CD's image empties the drive."""
    vm, iso = pool.find("bare"), await disk(client, ISOS, virtual_size=4096, read_only=True)
    cd = await client.call("VBD.create", drive(vm))
    await client.call("VBD.insert", cd, iso)
    await client.call("VM.start", vm, False, False)
    assert await client.call("VBD.get_allowed_operations", cd) == ["attach", "eject"]
    await client.call("VBD.eject", cd)
    await client.call("VBD.insert", cd, iso)
    assert await client.refused("VBD.plug", cd) == ["DEVICE_ALREADY_ATTACHED", cd]
    assert await client.refused("VBD.unplug", cd) == ["VM_MISSING_PV_DRIVERS", vm]
    await client.call("VM.hard_shutdown", vm)
    assert await client.call("VBD.get_VDI", cd) == iso
    await client.call("VDI.destroy", iso)
    assert (await client.call("VBD.get_empty", cd), await client.call("VBD.get_VDI", cd)) == (True, NULL)


async def test_drives_of_vms_with_tools_stay(client: Client, pool: LabPool) -> None:
    """Also a guest with tools keeps its CD drive; a suspended VM's drive does nothing."""
    vm, iso = pool.find("web-1"), await disk(client, ISOS, read_only=True)
    cd = await client.call("VBD.create", drive(vm))
    await pool.start_vm("web-1")
    assert (await client.refused("VBD.unplug", cd))[0] == "OPERATION_NOT_ALLOWED"
    await client.call("VM.suspend", vm)
    expected = ["VM_BAD_POWER_STATE", vm, "halted, running", "suspended"]
    assert await client.refused("VBD.insert", cd, iso) == expected


async def test_two_vms_do_not_write_one_disk(client: Client, pool: LabPool) -> None:
    """A disk that one running VM writes is refused to another, when it starts and when it is plugged."""
    vdi = await disk(client)
    first = await client.call("VBD.create", device(pool.find("web-1"), vdi, "0"))
    await client.call("VBD.create", device(pool.find("bare"), vdi, "0"))
    await pool.start_vm("web-1")

    refused = ["VDI_IN_USE", vdi, "attach"]
    assert await client.refused("VM.start", pool.find("bare"), False, False) == refused
    await client.call("VBD.unplug", first)
    await client.call("VM.start", pool.find("bare"), False, False)
    assert await client.refused("VBD.plug", first) == refused


async def test_copies_of_vms_have_copies_of_disks(client: Client, pool: LabPool) -> None:
    """Clones and snapshots copy disks and share CDs; a revert brings the snapshot's disks back."""
    vm, vdi = pool.find("web-1"), await disk(client, other_config={"config-drive": "True"})
    iso = await disk(client, ISOS, read_only=True)
    await client.call("VBD.create", device(vm, vdi, "0"))
    cd = await client.call("VBD.create", drive(vm))
    await client.call("VBD.insert", cd, iso)
    pool.core.images.path(await client.call("VDI.get_uuid", vdi)).write_bytes(b"then")

    snapshot = await client.call("VM.snapshot", vm, "before")
    pool.core.images.path(await client.call("VDI.get_uuid", vdi)).write_bytes(b"now")
    clone = await client.call("VM.clone", vm, "copy")
    assert await _contents(client, pool, clone) == {b"now", None}
    assert await _contents(client, pool, snapshot) == {b"then", None}
    await client.call("VM.revert", snapshot)
    assert await _contents(client, pool, vm) == {b"then", None}
    assert await client.refused("VDI.get_record", vdi) == ["HANDLE_INVALID", "VDI", vdi]
    await client.call("VM.destroy", clone)
    assert len(await client.call("VBD.get_all")) == 4


async def _contents(client: Client, pool: LabPool, vm: str) -> set[bytes | None]:
    """What the files of a VM's disks hold; None for a disk that nobody wrote to."""
    files = []
    for vbd in await client.call("VM.get_VBDs", vm):
        uuid = await client.call("VDI.get_uuid", await client.call("VBD.get_VDI", vbd))
        files.append(pool.core.images.path(uuid))
    return {file.read_bytes() if file.exists() else None for file in files}


async def test_storage_is_counted_and_ends(client: Client) -> None:
    """Disks count against their storage; one that does not fit is refused by the storage's own failure."""
    sr = await named(client, "SR", DISKS)
    vdi = await disk(client, virtual_size=3 * MIB)
    assert await client.call("VDI.get_virtual_size", vdi) == 4 * MIB
    assert await client.call("SR.get_virtual_allocation", sr) == 4 * MIB
    copy = await client.call("VDI.copy", vdi, sr)
    assert await client.call("SR.get_physical_utilisation", sr) == 8 * MIB
    await client.call("VDI.destroy", copy)
    with pytest.raises(Exception, match="SR_BACKEND_FAILURE_44"):
        await disk(client, virtual_size=1 << 41)


async def test_storage_that_no_host_sees(client: Client) -> None:
    """Without a plugged PBD no disk is made; a host lets go of storage only when no VM uses it."""
    sr = await named(client, "SR", DISKS)
    pbds = await client.call("SR.get_PBDs", sr)
    for pbd in pbds:
        await client.call("PBD.unplug", pbd)
    with pytest.raises(Exception, match="SR_HAS_NO_PBDS"):
        await disk(client)
    assert await client.refused("SR.scan", sr) == ["SR_HAS_NO_PBDS", sr]
    await client.call("PBD.plug", pbds[0])
    await client.call("SR.scan", sr)
    assert await client.refused("SR.forget", sr) == ["SR_HAS_PBD", sr]
    assert (await client.refused("PBD.destroy", pbds[0]))[0] == "OPERATION_NOT_ALLOWED"


async def test_storage_is_made_and_removed(client: Client, pool: LabPool) -> None:
    """Shared storage has a PBD on each host; it goes when it is unplugged and empty."""
    master = pool.host_ref(1)
    assert await client.refused("SR.create", master, {}, 0, "s", "", "tape", "user", True) == [
        "SR_UNKNOWN_DRIVER",
        "tape",
    ]
    sr = await client.call("SR.create", master, {"server": "s"}, 0, "nfs", "", "nfs", "user", True, {})
    vdi = await disk(client, "nfs")
    pbds = await client.call("SR.get_PBDs", sr)
    assert len(pbds) == 2
    assert await client.refused("SR.destroy", sr) == ["SR_NOT_EMPTY", sr]
    await client.call("VDI.destroy", vdi)
    twice = {"host": master, "SR": sr, "device_config": {}}
    assert (await client.refused("PBD.create", twice))[0] == "PBD_EXISTS"
    for pbd in pbds:
        await client.call("PBD.unplug", pbd)
    await client.call("SR.destroy", sr)
    assert await client.call("SR.get_by_name_label", "nfs") == []


@pytest.mark.parametrize(
    ("call", "role"),
    [
        ("VDI.create", "vm-admin"),
        ("VBD.insert", "vm-operator"),
        ("VBD.plug", "vm-admin"),
        ("PBD.plug", "pool-operator"),
    ],
)
async def test_roles_of_storage_calls(pool: LabPool, call: str, role: str) -> None:
    """Each call is refused to the role below the one that it needs, before its arguments count."""
    below = {"vm-admin": "vm-operator", "vm-operator": "read-only", "pool-operator": "vm-power-admin"}[role]
    arguments: dict[str, tuple[Any, ...]] = {"VDI.create": ({},), "VBD.insert": ("OpaqueRef:x", "OpaqueRef:y")}
    given = arguments.get(call, ("OpaqueRef:x",))
    async with signed_in(pool, below) as client:
        assert (await client.refused(call, *given))[:2] == ["RBAC_PERMISSION_DENIED", call.lower()]
    async with signed_in(pool, role) as client:
        assert (await client.refused(call, *given))[0] != "RBAC_PERMISSION_DENIED"
