"""Config drives, the whole way: PyPI's client of XAPI → the plugin's file → the TLS listener → the pool's storage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from roadstead.act.drives import config_drives, drive_leftovers
from roadstead.act.pools.trials import PoolChange
from roadstead.artifacts import drive_templates, iso, iso_files
from roadstead.lab.pool.contents import DISKS, ISOS, TEMPLATE
from roadstead.lab.pool.mishaps import Mishap
from roadstead.model.config_keys import CONFIG_DRIVE, DRIVE_MARK, INSTANCE_MARK, MONITOR
from roadstead.plan import config_drives as plan
from tests.contract.plugged import Plugin, plugged
from tests.contract.pool_clients import PLUGIN, Clients
from tests.contract.world import QUICK, kept, lab, running

MIB = 2**20
TEXT = "#cloud-config\nhostname: %VMNAMETOHOSTNAME%\nssh_authorized_keys:\n  - ssh-rsa %XSCONTAINERRSAPUB% x\n# ü €\n"
SETTINGS = QUICK.model_copy(update={"pool": QUICK.pool.model_copy(update={"call_seconds": 10.0})})


class Drives:
    """A pool whose clients make config drives, and what its storage holds."""

    def __init__(self, client: Plugin) -> None:
        self.client = client
        self.clients = Clients(client.one)
        self.core = client.one.pool.core
        self.database = self.core.database
        self.vm = client.one.vm("vm-1").id

    def record(self, kind: str, uuid: str) -> dict[str, Any]:
        """An object by its uuid."""
        table = self.database.table(kind)
        return dict(self.database.get(kind, table.by_uuid[uuid]))

    def storage(self, label: str = DISKS) -> str:
        """The uuid of a storage."""
        return next(str(sr["uuid"]) for _, sr in self.database.all("SR") if sr["name_label"] == label)

    def count(self) -> tuple[int, int, int]:
        """How many disks, devices and pending tasks there are."""
        pending = [task for _, task in self.database.all("task") if task["status"] == "pending"]
        return len(self.database.table("VDI").rows), len(self.database.table("VBD").rows), len(pending)

    async def create(self, text: str = TEXT, host: int = 0, **given: str) -> str:
        """Make a drive as XenCenter does; return the uuid of its disk."""
        arguments = {"vmuuid": self.vm, "sruuid": self.storage(), "configuration": text, **given}
        said = await self.clients.call(host, "create_config_drive", **arguments)
        assert said.startswith("True")
        return said.removeprefix("True")

    async def refused(self, text: str = TEXT, **given: str) -> tuple[str, str]:
        """Ask in vain for a drive; return code and sentences."""
        arguments = {"vmuuid": self.vm, "sruuid": self.storage(), "configuration": text, **given}
        plugin_failure, function, code, sentences = await self.clients.failure("create_config_drive", **arguments)
        assert (plugin_failure, function) == ("XENAPI_PLUGIN_FAILURE", "create_config_drive")
        return code, sentences

    async def read(self, disk: str, host: int = 0) -> str:
        """Read a drive back as XenCenter does."""
        said = await self.clients.call(host, "get_config_drive_configuration", vdiuuid=disk)
        assert said.startswith("True")
        return said.removeprefix("True")

    def content(self, disk: str) -> bytes:
        """What the disk holds."""
        return self.core.images.path(disk).read_bytes()

    async def foreign(self, content: bytes, size: int = 4 * MIB, **fields: Any) -> str:
        """A disk that somebody else made; return its uuid."""
        sr = self.database.table("SR").by_uuid[self.storage()]
        record = {"name_label": "d", "virtual_size": str(size), "type": "user", "sharable": False, "read_only": False}

        def make(api: Any) -> Any:
            ref = api.VDI.create({**record, "SR": sr, "other_config": {CONFIG_DRIVE: "True"}, **fields})
            return api.VDI.get_uuid(ref)

        uuid = str(await self.clients.ask(make))
        self.core.images.path(uuid).write_bytes(content)
        return uuid


@asynccontextmanager
async def drives(folder: Path, **made: Any) -> AsyncIterator[Drives]:
    """A pool with one VM and the plugin on its hosts."""
    async with plugged(folder, vms=1, settings=SETTINGS, **made) as client:
        await client.one.pool.core.plugins.install(PLUGIN)
        yield Drives(client)


@pytest.mark.limit(60)
async def test_what_was_given_is_read_back_and_replaced(tmp_path: Path) -> None:
    """Byte for byte, from any host; a second drive takes the place of the first, of which nothing is left."""
    async with drives(tmp_path) as one:
        first = await one.create(host=1)
        assert await one.read(first, host=1) == TEXT
        disk = one.record("VDI", first)
        (ref,) = disk["VBDs"]
        device = one.database.get("VBD", ref)
        marks = dict(disk["other_config"])
        assert marks.pop(DRIVE_MARK).startswith(f"{one.vm} ")
        assert marks.pop(INSTANCE_MARK).startswith(f"{one.vm} ")
        assert (disk["name_label"], disk["type"], marks) == ("Automatic Config Drive", "system", {CONFIG_DRIVE: "True"})
        assert (device["type"], device["mode"], device["userdevice"], device["other_config"]) == (
            "Disk",
            "RO",
            "0",
            {CONFIG_DRIVE: "True"},
        )
        assert device["currently_attached"], "the VM runs"
        second = await one.create("#cloud-config\nhostname: other\n")
        assert second != first
        assert await one.read(second) == "#cloud-config\nhostname: other\n"
        assert one.count() == (1, 1, 0)
        assert not one.core.images.path(first).exists()


@pytest.mark.limit(60)
async def test_tokens_are_filled_in_and_management_is_offered(tmp_path: Path) -> None:
    """The VM's name and the pool's key stand on the drive; a VM of which clients know nothing can then be enabled."""
    async with drives(tmp_path) as one:
        ref = one.client.one.pool.find("vm-1")
        one.database.write("VM", ref, "other_config", {})
        disk = await one.create()
        image = one.content(disk)
        said = iso_files.read(image, "openstack/latest/user_data", MIB).decode()
        key = (await one.client.one.core.commands.pools.key(one.client.one.pool_id)).public.split()[1]
        assert said == TEXT.replace("%VMNAMETOHOSTNAME%", "vm1").replace("%XSCONTAINERRSAPUB%", key)
        assert (await one.clients.config(one.vm))[MONITOR] == "False"
        assert await one.clients.call(0, "register", vmuuid=one.vm) == "TrueNone"
        await one.create()
        assert (await one.clients.config(one.vm))[MONITOR] == "True", "what was enabled stays so"


@pytest.mark.limit(60)
async def test_flow_of_xen_orchestra_and_xe(tmp_path: Path) -> None:
    """The default of a template, whatever its name; the drive of a VM that is off; `%BR%` as xe writes line ends."""
    async with drives(tmp_path) as one:
        template = next(vm for _, vm in one.database.all("VM") if vm["name_label"] == TEMPLATE)
        for uuid in (str(template["uuid"]), "no-uuid"):
            said = await one.clients.call(1, "get_config_drive_default", templateuuid=uuid)
            assert said == "True" + drive_templates.PROFILES["cloud-config"]
        ref = one.database.table("VM").by_uuid[str(template["uuid"])]
        one.database.write("VM", ref, "name_label", "CoreOS")
        default = (await one.clients.call(0, "get_config_drive_default", templateuuid=str(template["uuid"])))[4:]
        assert "coreos:" in default
        await one.client.one.pool.stop_vm("vm-1")
        disk = await one.create(default)
        assert await one.read(disk) == default
        (device,) = one.record("VDI", disk)["VBDs"]
        assert not one.database.get("VBD", device)["currently_attached"]
        await one.create("#cloud-config%BR%hostname: a%BR%")
        (disk,) = one.database.table("VDI").by_uuid
        # Between XAPI and its clients XML makes one character of a line's end; between us and the drive nothing does.
        assert await one.read(disk) == "#cloud-config\nhostname: a\n"
        assert await one.client.call("get_config_drive_configuration", vdiuuid=disk) == (
            "True#cloud-config\r\nhostname: a\r\n"
        )
        # A template gets one, too, as XenCenter's properties of a template write it.
        assert await one.create(default, vmuuid=str(template["uuid"]))
        assert one.count() == (2, 2, 0)


@pytest.mark.limit(60)
async def test_every_other_disk_is_unreadable_alike(tmp_path: Path) -> None:
    """Nobody learns by the plugin what a foreign disk holds, nor whether there is one."""
    good = iso.build("config-2", {"openstack/latest/user_data.template": b"secret"})
    async with drives(tmp_path) as one:
        disks = [
            "3f0a4ad8-0000-4000-8000-000000000000",
            await one.foreign(good, other_config={}),
            await one.foreign(good, other_config={CONFIG_DRIVE: "False"}),
            await one.foreign(good, 20 * MIB),
            await one.foreign(b"\xff" * 100_000),
            await one.foreign(b""),
            await one.foreign(iso.build("config-2", {"openstack/latest/user_data": b"secret"})),
            await one.foreign(iso.build("config-2", {"openstack/latest/user_data.template": b"\xff\xfe"})),
            await one.foreign(iso.build("config-2", {"openstack/latest/user_data.template": b"x" * 2 * MIB})),
        ]
        said = set()
        for disk in disks:
            failure = await one.clients.failure("get_config_drive_configuration", vdiuuid=disk)
            assert failure[:3] == [
                "XENAPI_PLUGIN_FAILURE",
                "get_config_drive_configuration",
                "config-drive-unreadable",
            ]
            said.add(failure[3].replace(f"The disk {disk} is", "The disk is"))
        assert len(said) == 1
        assert "secret" not in said.pop()
        assert await one.read(await one.foreign(good, other_config={CONFIG_DRIVE: "true"})) == "secret"


@pytest.mark.limit(60)
async def test_what_cannot_become_a_drive_changes_nothing(tmp_path: Path) -> None:
    """The text, the VM and the storage are judged before anything is made, each in a sentence that names it."""
    async with drives(tmp_path) as one:
        kept = await one.create()
        before = one.count()
        for text, code, word in (
            ("#cloud-config\nhostname: a\n bad: [\n", "config-invalid", "line 3"),
            ("#cloud-config\nhostname: %NOSUCHTHING%\n", "token-unknown", "%NOSUCHTHING%"),
            ("", "field-invalid", "empty"),
            ("#!/bin/sh\n" + "%CONTAINERRSAPUB%" * 4000, "config-too-large", "1048576"),
        ):
            said = await one.refused(text)
            assert said[0] == code
            assert word in said[1]
        control = next(vm for _, vm in one.database.all("VM") if vm["is_control_domain"])
        for given, code, word in (
            ({"vmuuid": "nothing"}, "no-such-vm", "nothing"),
            ({"vmuuid": str(control["uuid"])}, "vm-takes-no-drive", "control domain"),
            ({"sruuid": "nowhere"}, "no-such-storage", "nowhere"),
            ({"sruuid": one.storage(ISOS)}, "storage-refuses", ISOS),
        ):
            said = await one.refused(**given)
            assert said[0] == code
            assert word in said[1]
        sr = one.database.table("SR").by_uuid[one.storage()]
        one.database.write("SR", sr, "physical_size", 5 * MIB)
        assert (await one.refused())[0] == "storage-full"
        for pbd in one.database.get("SR", sr)["PBDs"]:
            one.database.write("PBD", pbd, "currently_attached", value=False)
        assert (await one.refused())[0] == "storage-unseen"
        assert one.count() == before
        assert one.record("VDI", kept)["VBDs"]


STEPS = {
    ("VDI.create", Mishap.REFUSED): "storage-refuses",
    ("VDI.create", Mishap.LOST): "pool-unreachable",
    ("task.create", Mishap.REFUSED): "config-drive-not-written",
    ("import_raw_vdi", Mishap.REFUSED): "config-drive-not-written",
    ("VBD.create", Mishap.REFUSED): "config-drive-not-swapped",
    ("VBD.create", Mishap.LOST): "pool-unreachable",
    ("VBD.plug", Mishap.REFUSED): "config-drive-not-swapped",
    ("VBD.plug", Mishap.LOST): "pool-unreachable",
    ("VBD.unplug", Mishap.REFUSED): "config-drive-not-swapped",
    ("VBD.unplug", Mishap.LOST): "pool-unreachable",
    ("VDI.destroy", Mishap.REFUSED): "config-drive-not-swapped",
}
"""What goes wrong, with the code that tells it."""


@pytest.mark.limit(90)
async def test_a_fault_at_any_step_leaves_nothing_behind(tmp_path: Path) -> None:
    """The VM keeps the drive that it had, plugged as it was, and the storage has no disk more."""
    async with drives(tmp_path) as one:
        kept = await one.create()
        before = one.count()
        for (call, mishap), code in STEPS.items():
            one.core.mishaps.prepare(call, mishap)
            said = await one.refused("#cloud-config\n")
            assert (said[0], call) == (code, call)
            assert one.core.mishaps.outstanding == []
            assert (one.count(), call) == (before, call)
            (device,) = one.record("VDI", kept)["VBDs"]
            assert one.database.get("VBD", device)["currently_attached"], call
            assert await one.read(kept) == TEXT
        replaced = await one.create("#cloud-config\n")
        assert await one.read(replaced) == "#cloud-config\n"
        assert one.count() == before


@pytest.mark.limit(90)
@pytest.mark.parametrize("call", ["VDI.create", "import_raw_vdi", "VBD.create", "VBD.plug", "VBD.unplug"])
async def test_a_pool_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """In time for the plugin to hear of it; what the pool made meanwhile is found by its mark and removed."""
    async with drives(tmp_path) as one:
        kept = await one.create()
        before = one.count()[:2]
        monkeypatch.setattr(config_drives, "CREATE_SECONDS", 3.0)
        one.core.mishaps.prepare(call, Mishap.SILENT)
        assert (await one.refused())[0] == "config-drive-late"
        assert one.core.mishaps.outstanding == []
        assert one.count()[:2] == before
        (device,) = one.record("VDI", kept)["VBDs"]
        assert one.database.get("VBD", device)["currently_attached"]


@pytest.mark.limit(90)
async def test_a_vm_is_never_left_without_a_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the former drive may be gone the new one stays, whatever was heard of it."""
    async with drives(tmp_path) as one:
        await one.create()
        one.core.mishaps.prepare("VDI.destroy", Mishap.LOST)
        second = await one.create("#cloud-config\n# second\n")
        assert await one.read(second) == "#cloud-config\n# second\n"
        assert one.count() == (1, 1, 0)
        monkeypatch.setattr(config_drives, "CREATE_SECONDS", 3.0)
        one.core.mishaps.prepare("VDI.destroy", Mishap.SILENT)
        third = await one.create("#cloud-config\n# third\n")
        assert await one.read(third) == "#cloud-config\n# third\n"
        assert one.count()[:2] == (1, 1)


LONG_AGO = 1_700_000_000
PLAIN = {"bootable": False, "mode": "RO", "type": "Disk", "empty": False}
QOS = {"qos_algorithm_type": "", "qos_algorithm_params": {}}


class Broken(Drives):
    """A pool in which servers died while they made drives."""

    def left(self, vm: str = "", at: float = LONG_AGO, **fields: Any) -> Any:
        """A drive whose making was broken off; return its uuid (to be awaited)."""
        marks = {CONFIG_DRIVE: "True", DRIVE_MARK: plan.mark(vm or self.vm, datetime.fromtimestamp(at, UTC), "ab")}
        return self.foreign(b"", **{"name_label": plan.UNFINISHED, "other_config": marks, **fields})

    async def shown(self, disk: str, vm: str = "vm-1", *, attached: bool) -> None:
        """The drive is shown to a VM."""

        def show(api: Any) -> None:
            ref = self.client.one.pool.find(vm)
            free = api.VM.get_allowed_VBD_devices(ref)[0]
            record = {"VM": ref, "VDI": api.VDI.get_by_uuid(disk), "userdevice": free, "other_config": {}}
            device = api.VBD.create({**record, **PLAIN, **QOS})
            if attached:
                api.VBD.plug(device)

        await self.clients.ask(show)

    def attached(self, disk: str) -> list[bool]:
        """Whether each device of a disk is attached."""
        return [bool(self.database.get("VBD", ref)["currently_attached"]) for ref in self.record("VDI", disk)["VBDs"]]

    def disks(self) -> dict[str, str]:
        """The names of the disks by their uuids."""
        return {str(disk["uuid"]): str(disk["name_label"]) for _, disk in self.database.all("VDI")}

    async def sweep(self) -> Any:
        """As after each start."""
        one = self.client.one
        return await drive_leftovers.sweep(one.core.commands.pools.keeper(one.pool_id).client)


async def _unplug(one: Drives, disk: str) -> None:
    (device,) = one.record("VDI", disk)["VBDs"]
    await one.clients.ask(lambda api: api.VBD.unplug(device))


@pytest.mark.limit(60)
async def test_what_was_broken_off_is_removed(tmp_path: Path) -> None:
    """By a later save and by itself: disks that nobody sees, and those beside the drive that the VM sees."""
    async with drives(tmp_path) as made:
        one = Broken(made.client)
        kept = await one.create()
        unseen, gone = await one.left(), await one.left("00000000-0000-4000-8000-000000000000")
        unplugged, plugged = await one.left(), await one.left()
        await one.shown(unplugged, attached=False)
        await one.shown(plugged, attached=True)
        assert {unseen, gone, unplugged, plugged} < set(one.disks())

        assert await one.sweep() is None
        assert one.disks() == {kept: drive_leftovers.NAME}
        assert one.attached(kept) == [True]
        assert await one.read(kept) == TEXT

        await one.left()
        second = await one.create()
        assert one.disks() == {second: drive_leftovers.NAME}


@pytest.mark.limit(60)
async def test_what_is_being_made_or_is_not_ours_stays(tmp_path: Path) -> None:
    """A young one, whose time is told; what carries the name or the mark alone, is large, or was copied with a VM."""
    async with drives(tmp_path) as made:
        one = Broken(made.client)
        one.client.one.pool.add_bare_vms("copy")
        young = await one.left(at=time.time() - 60)
        marks = {CONFIG_DRIVE: "True"}
        foreign = [
            await one.left(other_config=marks),
            await one.left(other_config={DRIVE_MARK: plan.mark(one.vm, datetime.fromtimestamp(0, UTC), "ab")}),
            await one.left(other_config={**marks, DRIVE_MARK: "x"}),
            await one.left(name_label="d"),
            await one.left(size=20 * MIB),
        ]
        copied = await one.left()
        await one.shown(copied, "copy", attached=False)
        again = await one.sweep()

        assert {young, copied, *foreign} == set(one.disks())
        assert 500 < again.total_seconds() <= 540


@pytest.mark.limit(60)
async def test_the_drive_that_a_vm_sees_is_finished(tmp_path: Path) -> None:
    """The server died after the former one was taken away, or unplugged: what was to be done next is done."""
    async with drives(tmp_path) as made:
        one = Broken(made.client)
        former = await one.create()
        new = await one.left()
        await one.shown(new, attached=True)
        await _unplug(one, former)
        await one.sweep()
        assert one.disks() == {new: drive_leftovers.NAME}
        assert one.attached(new) == [True]

        one.core.mishaps.prepare("VDI.set_name_label", Mishap.REFUSED)
        last = await one.create()
        assert one.core.mishaps.outstanding == []
        assert one.disks() == {last: plan.UNFINISHED}, "it is in its place, and is named later"
        await _unplug(one, last)
        await one.client.one.pool.stop_vm("vm-1")
        marks = one.record("VDI", last)["other_config"]
        aged = {**marks, DRIVE_MARK: plan.mark(one.vm, datetime.fromtimestamp(LONG_AGO, UTC), "ab")}
        one.database.write("VDI", one.database.table("VDI").by_uuid[last], "other_config", aged)
        await one.sweep()
        assert one.disks() == {last: drive_leftovers.NAME}


@pytest.mark.limit(60)
async def test_a_server_that_dies_leaves_what_is_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its first moment a disk has the name and the mark by which it is found."""

    async def nothing(_making: object) -> None:
        """A dead server takes nothing back."""

    async with drives(tmp_path) as made:
        one = Broken(made.client)
        monkeypatch.setattr("roadstead.act.drives.config_drives._Making._discard", nothing)
        for call in ("import_raw_vdi", "VBD.create"):
            one.core.mishaps.prepare(call, Mishap.REFUSED)
            await one.refused()
        assert len(one.disks()) == 2
        monkeypatch.setattr(plan, "UNFINISHED_AGE", timedelta(0))
        await one.sweep()
        assert one.disks() == {}


@pytest.mark.limit(60)
async def test_a_disk_with_data_is_never_taken_for_a_drive(tmp_path: Path) -> None:
    """Marks are copied and set by hand: what is large, or shown to another VM, stays."""
    async with drives(tmp_path) as one:
        large = await one.foreign(b"data", 40 * MIB)
        shared = await one.foreign(b"data", sharable=True)
        one.client.one.pool.add_bare_vms("other")
        plain = {"bootable": False, "mode": "RO", "type": "Disk", "empty": False, "other_config": {}}
        qos = {"qos_algorithm_type": "", "qos_algorithm_params": {}}

        def show(api: Any) -> None:
            for name, disk, number in (("vm-1", large, "4"), ("vm-1", shared, "5"), ("other", shared, "5")):
                vm, vdi = one.client.one.pool.find(name), api.VDI.get_by_uuid(disk)
                api.VBD.create({"VM": vm, "VDI": vdi, "userdevice": number, **plain, **qos})

        await one.clients.ask(show)
        await one.create()
        assert len(one.record("VDI", large)["VBDs"]) == 1
        (left,) = one.record("VDI", shared)["VBDs"]
        assert one.database.get("VBD", left)["VM"] == one.client.one.pool.find("other")


@pytest.mark.limit(60)
async def test_the_host_that_sees_the_storage_is_asked(tmp_path: Path) -> None:
    """The master does not see it: what is written and read goes through the member that does."""
    async with drives(tmp_path) as one:
        sr = one.database.table("SR").by_uuid[one.storage()]
        for pbd in one.database.get("SR", sr)["PBDs"]:
            if one.database.get("PBD", pbd)["host"] == one.core.master:
                one.database.write("PBD", pbd, "currently_attached", value=False)
        assert await one.read(await one.create()) == TEXT


@pytest.mark.limit(60)
async def test_the_host_internal_network_is_found(tmp_path: Path) -> None:
    """Only a VM with a card in it keeps what the template says of it, with the number of that card."""
    text = "#cloud-config\n%XSHINEXISTS%runcmd: [dhclient eth%XSHIN%]\n%XSENDHINEXISTS%hostname: a\n"
    async with drives(tmp_path) as one:
        bare = iso_files.read(one.content(await one.create(text)), "openstack/latest/user_data", MIB)
        assert bare == b"#cloud-config\nhostname: a\n"
        network = next(ref for ref, net in one.database.all("network") if net["bridge"] == "xenapi")
        vm = one.client.one.pool.find("vm-1")
        one.database.create("VIF", {"VM": vm, "network": network, "device": "3"})
        joined = iso_files.read(one.content(await one.create(text)), "openstack/latest/user_data", MIB)
        assert joined == b"#cloud-config\nruncmd: [dhclient eth3]\nhostname: a\n"


async def test_our_own_account_needs_no_more_than_pool_operator(tmp_path: Path) -> None:
    """What the pool asks of whoever makes, fills, shows, reads and removes disks, it has."""
    async with (
        lab(tmp_path, ["vm-1"], hosts=1) as (pool, _),
        kept(tmp_path) as database,
        running(SETTINGS, database) as core,
    ):
        account = PoolChange(url=pool.url, user="pool-operator", password=pool.password, fingerprint=pool.fingerprint)
        added = await core.commands.pools.add(account)
        made = config_drives.ConfigDrives(core.commands.pools, core.commands.templates)
        (sr,) = [str(sr["uuid"]) for _, sr in pool.core.database.all("SR") if sr["name_label"] == DISKS]
        for text in ("#cloud-config\n# first\n", "#cloud-config\n# second\n"):
            disk = await made.create(added.id, config_drives.Wanted(pool.uuid_of("vm-1"), sr, text))
            assert await made.template(added.id, disk) == text
        assert len(pool.core.database.table("VDI").rows) == 1


async def test_two_at_once_leave_one(tmp_path: Path) -> None:
    """Who saves twice gets one drive after the other, and the later one stays."""
    async with plugged(tmp_path, vms=1, settings=SETTINGS) as client:
        one = Drives(client)
        given = {"vmuuid": one.vm, "sruuid": one.storage()}
        asked = [client.call("create_config_drive", configuration=f"#!/bin/sh\n# {n}\n", **given) for n in range(3)]
        made = await asyncio.gather(*asked)
        assert len(set(made)) == 3
        assert one.count() == (1, 1, 0)
