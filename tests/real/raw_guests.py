"""Raw real guests in a lab pool, for tests of preparing them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from roadstead.act.plugin.access import PluginDoor
from roadstead.act.preparing.conversation import Answers, GuestPreparation
from roadstead.errors import RoadsteadError
from roadstead.lab.guests.real import RealGuest
from roadstead.lab.guests.real.machine import AUTHORIZED_KEYS
from roadstead.model import config_keys
from roadstead.settings.schema import Settings
from tests.contract.world import CALM, World, add, kept, lab, running
from tests.real.commanding import PASSWORD

SETTINGS = CALM.model_copy(update={"pool": CALM.pool.model_copy(update={"rotation_seconds": 0.3})})


class Raw:
    """Raw guests as Roadstead sees them, and what an operator says to it."""

    def __init__(self, one: World, guests: dict[str, RealGuest]) -> None:
        self.one = one
        self.guests = guests
        self.preparing = one.core.commands.preparing

    async def step(self, name: str, **said: object) -> GuestPreparation:
        """One call of the conversation."""
        answers = Answers(**{"password": PASSWORD, "user": "core", **said})  # type: ignore[arg-type]
        return await self.preparing.step(self.one.vm(name).id, answers)

    async def prepare(self, name: str, **said: object) -> GuestPreparation:
        """Prepare a VM, whose host key is compared on its console."""
        return await self.step(name, **{"host_key": self.guests[name].machine.host_key(), **said})

    async def refused(self, name: str, **said: object) -> tuple[str, str]:
        """The code with which that fails, and what is said of what is left."""
        try:
            await self.prepare(name, **said)
        except RoadsteadError as error:
            told = f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
            assert PASSWORD not in told
            return error.code, error.fields.get("left", "")
        raise AssertionError(f"{name} was prepared")

    def file(self, name: str) -> Path:
        """The guest's authorized_keys, from outside."""
        return self.guests[name].machine.root / AUTHORIZED_KEYS.removeprefix("/")

    def text(self, name: str) -> str:
        """What stands in it. Raises FileNotFoundError where there is none; `ssh_folder` tells that."""
        return self.file(name).read_text()

    def ssh_folder(self, name: str) -> dict[str, tuple[int, int, str]] | None:
        """The files of the folder in which it stands, each with mode, owner and text; None when there is no folder."""
        folder = self.file(name).parent
        if not folder.exists():
            return None
        told = {path.name: (path.lstat(), path.read_text() if path.is_file() else "") for path in folder.iterdir()}
        return {file: (stat.st_mode, stat.st_uid, text) for file, (stat, text) in told.items()}

    def write(self, name: str, text: str) -> None:
        """Let its user have written this."""
        self.file(name).write_text(text)
        self.file(name).chmod(0o640)

    def key_of(self, name: str) -> str:
        """The host key that the pool remembers."""
        return self.one.vm(name).settings.get(config_keys.HOST_KEY, "")

    def host_keys(self, *names: str) -> list[str]:
        """The options of the command line that say what was read on these VMs' consoles; on all, when none is named."""
        return [f"--host-key={name}={self.guests[name].machine.host_key().strip()}" for name in names or self.guests]

    async def run(self, name: str, command: str) -> str:
        """What a command prints that root runs inside."""
        words = (*self.guests[name].door, "sh", "-c", command)
        done = await asyncio.to_thread(subprocess.run, words, check=False, capture_output=True, text=True, timeout=30)
        return done.stdout


@asynccontextmanager
async def raw_guests(
    folder: Path,
    guests: dict[str, RealGuest],
    door: PluginDoor | None = None,
    hosts: int = 2,
    settings: Settings = SETTINGS,
) -> AsyncIterator[Raw]:
    """A pool with a VM for each guest, none of them managed, each as nobody has prepared it."""
    async with (
        lab(folder, [], hosts=hosts) as (pool, maker),
        kept(folder) as database,
        running(settings, database, door=door) as core,
    ):
        one = World(pool, maker, core, database)
        await add(one)
        for name, guest in guests.items():
            await guest.make_raw(PASSWORD)
            await pool.create_vm(name, addresses=guest.addresses, enabled=False)
        await one.until(lambda: set(guests) <= {vm.name for vm in one.vms() if vm.addresses}, "found")
        yield Raw(one, guests)
