"""A config drive in time: whichever call of the pool hangs, whoever asked hears soon enough, and what is true."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import asyncssh
import pytest

from roadstead.act.drives.config_drives import ConfigDrives, Wanted
from roadstead.act.drives.templates import Templates
from roadstead.act.keys.pair import KeyPair
from roadstead.act.pool_database.config import PoolConfig
from roadstead.act.pools.pools import Pools
from roadstead.errors import PoolError
from roadstead.model.config_keys import CONFIG_DRIVE, MONITOR
from roadstead.peers.xapi.client import XapiClient
from tests.unit.fakes import records

pytestmark = pytest.mark.looptime
PLUGIN_SECONDS = 110.0
"""How long the plugin waits for an answer."""
CALL_SECONDS = 30.0
"""The default of the setting ``call_seconds``."""
TEXT = "#cloud-config\nssh_authorized_keys:\n  - ssh-rsa %XSCONTAINERRSAPUB%\n"
MARKS = {CONFIG_DRIVE: "True"}


@cache
def _public() -> str:
    return asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_public_key().decode().strip()


@dataclass
class Storage:
    """A pool with a VM that runs and has two config drives. Of a call that ``hangs`` nothing is heard; whether it is
    done all the same says ``is_done``.
    """

    hangs: str = ""
    is_done: bool = False
    hangs_for_ever: bool = False
    """Whether everything hangs from that call on."""
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.objects["vm"] = {"uuid": "vm-1", "name_label": "web", "power_state": "Running", "VBDs": []}
        self.objects["sr"] = {"uuid": "sr-1", "name_label": "disks", "content_type": "user", "PBDs": ["pbd"]}
        self.objects["pbd"] = {"host": "host", "currently_attached": True}
        for number in (1, 2):
            self._made_disk(f"old-{number}", {"name_label": "old", "other_config": MARKS})
            self._made_device(f"device of old-{number}", f"old-{number}")
            self.objects[f"device of old-{number}"]["currently_attached"] = True

    def drives(self) -> set[str]:
        """The disks that the VM is shown."""
        return {
            self.objects[ref]["VDI"] for ref in self.objects["vm"]["VBDs"] if self.objects[ref]["currently_attached"]
        }

    # ---- what is asked of a client

    async def pool(self) -> tuple[str, dict[str, Any]]:
        return "pool", {"master": "host"}

    async def add_vm_key(self, uuid: str, key: str, value: str) -> bool:
        del uuid
        await self._heard("VM.add_to_other_config", CALL_SECONDS)
        self.config[key] = value
        return True

    async def transfer(self, request: Any, host: str, *, seconds: float) -> bytes:
        del request, host
        await self._heard("import_raw_vdi", seconds)
        return b""

    async def call(self, method: str, *params: Any, seconds: float | None = None) -> Any:
        result = self._do(method, *params) if method != self.hangs or self.is_done else None
        await self._heard(method, seconds or CALL_SECONDS)
        return result

    # ---- pieces

    async def _heard(self, method: str, seconds: float) -> None:
        if method == self.hangs:
            self.hangs = "*" if self.hangs_for_ever else ""
        elif self.hangs != "*":
            return
        await asyncio.sleep(seconds)
        raise PoolError("pool-timed-out", call=method)

    def _do(self, method: str, *params: Any) -> Any:
        cls, _, verb = method.partition(".")
        if verb == "get_by_uuid":
            return self._found({"VM": "vm", "SR": "sr"}.get(cls, params[0]))
        if verb == "get_record":
            return self.objects[self._found(params[0])]
        return self._read(method, *params) if "get_" in verb else self._write(method, *params)

    def _read(self, method: str, given: str) -> Any:
        if method.endswith(".get_by_name_label"):
            return [ref for ref, one in self.objects.items() if one.get("name_label") == given]
        return ["3"] if method == "VM.get_allowed_VBD_devices" else self.objects[given]["uuid"]

    def _write(self, method: str, *params: Any) -> Any:
        match method:
            case "VDI.create":
                return self._made_disk("new", params[0])
            case "VBD.create":
                return self._made_device("device of new", params[0]["VDI"])
            case "VBD.plug" | "VBD.unplug":
                self.objects[params[0]]["currently_attached"] = method == "VBD.plug"
            case "VBD.destroy" | "VDI.destroy":
                self._drop(params[0])
            case "VDI.set_name_label":
                self.objects[params[0]]["name_label"] = params[1]
            case "task.create":
                self.objects["task"] = {"status": "success"}
                return "task"
        return None

    def _found(self, ref: str) -> str:
        if ref not in self.objects:
            raise PoolError("pool-call-failed", call="", reason="gone", xapi="HANDLE_INVALID")
        return ref

    def _made_disk(self, ref: str, record: dict[str, Any]) -> str:
        self.objects[ref] = {"virtual_size": "1024", **record, "uuid": ref, "VBDs": []}
        return ref

    def _made_device(self, ref: str, disk: str) -> str:
        made = {"VDI": disk, "VM": "vm", "type": "Disk", "other_config": MARKS, "currently_attached": False}
        self.objects[ref] = made
        self.objects["vm"]["VBDs"].append(ref)
        self.objects[disk]["VBDs"].append(ref)
        return ref

    def _drop(self, ref: str) -> None:
        gone = self.objects.pop(self._found(ref))
        for device in gone.get("VBDs", []):
            self._drop(device)
        if "VDI" in gone:
            self.objects["vm"]["VBDs"].remove(ref)
            with suppress(KeyError):
                self.objects[gone["VDI"]]["VBDs"].remove(ref)


@dataclass
class Desk:
    """The pools, of which there is one."""

    client: Storage

    def keeper(self, pool: str) -> Desk:
        assert pool == records.POOL
        return self

    @property
    def config(self) -> PoolConfig:
        return PoolConfig(cast("XapiClient", self.client), 60.0)

    async def key(self, pool: str) -> KeyPair:
        assert pool == records.POOL
        return KeyPair((), _public())


async def _asked(storage: Storage) -> tuple[str, float]:
    """Ask for a drive; return the disk, or the code of what went wrong, and how long that took."""
    drives = ConfigDrives(cast("Pools", Desk(storage)), cast("Templates", None))
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        said = await drives.create(records.POOL, Wanted("vm-1", "sr-1", TEXT))
    except PoolError as error:
        said = error.code
    return said, loop.time() - began


BEFORE = ["VM.get_record", "VDI.create", "task.create", "import_raw_vdi"]
BETWEEN = ["VBD.create", "VBD.plug", "VBD.unplug"]
AFTER = ["VDI.set_name_label", "VM.add_to_other_config", "VBD.destroy"]
OLD = {"old-1", "old-2"}


async def test_the_drive_takes_the_place_of_all_former_ones() -> None:
    """Where nothing hangs."""
    storage = Storage()
    assert (await _asked(storage))[0] == "new"
    assert (storage.drives(), storage.config) == ({"new"}, {MONITOR: "False"})


@pytest.mark.parametrize("call", [*BEFORE, *BETWEEN])
@pytest.mark.parametrize("is_done", [False, True])
async def test_what_fails_before_the_swap_leaves_the_former_drives(call: str, *, is_done: bool) -> None:
    """Told in time, with nothing left of the new one."""
    storage = Storage(hangs=call, is_done=is_done)
    said, took = await _asked(storage)
    assert said in {"pool-timed-out", "config-drive-late"}
    assert took < PLUGIN_SECONDS
    assert storage.drives() == OLD
    assert "new" not in storage.objects


@pytest.mark.parametrize("call", [*BEFORE, *BETWEEN, "VDI.destroy"])
async def test_a_pool_that_hangs_for_ever_is_given_up_in_time(call: str) -> None:
    """Nothing can be taken back then; the former drives were not destroyed."""
    storage = Storage(hangs=call, hangs_for_ever=True)
    said, took = await _asked(storage)
    assert said in {"pool-timed-out", "config-drive-late"}
    assert took < PLUGIN_SECONDS
    assert set(storage.objects) >= OLD


@pytest.mark.parametrize("hangs_for_ever", [False, True])
@pytest.mark.parametrize("call", AFTER)
async def test_a_drive_that_is_in_its_place_is_told_as_made(call: str, *, hangs_for_ever: bool) -> None:
    """Whatever becomes of the rest."""
    storage = Storage(hangs=call, hangs_for_ever=hangs_for_ever)
    said, took = await _asked(storage)
    assert (said, "new" in storage.drives()) == ("new", True)
    assert took < PLUGIN_SECONDS


async def test_a_former_drive_that_is_gone_counts_as_removed() -> None:
    """Although the answer never came, also when the time was over with that."""
    storage = Storage(hangs="VDI.destroy", is_done=True)
    said, took = await _asked(storage)
    assert (said, storage.drives()) == ("new", {"new"})
    assert took < PLUGIN_SECONDS
