"""A VM of Windows in a lab pool, for tests of how it gets its certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from roadstead.act.plugin.access import PluginDoor
from roadstead.lab.guests.profiles import WINDOWS_PROFILE
from roadstead.lab.pool import cds, storage
from roadstead.model.config_keys import TLS_SECRETS
from tests.contract.world import QUICK, World, world

VM = "vm-1"
SETTINGS = QUICK.model_copy(
    update={
        "certificate": QUICK.certificate.model_copy(update={"key": "ec", "wait_seconds": 20.0, "try_seconds": 0.05}),
        "pool": QUICK.pool.model_copy(update={"call_seconds": 10.0}),
    }
)


class Yard:
    """A pool with one VM of Windows, and what its drive and its storage hold."""

    def __init__(self, one: World) -> None:
        self.one = one
        self.core = one.pool.core
        self.database = one.pool.core.database
        self.id = one.vm(VM).id
        self.certificates = one.core.commands.certificates

    def drive(self) -> dict[str, object]:
        """The record of the VM's CD drive."""
        vbds = self.core.vm(self.one.pool.find(VM))["VBDs"]
        return next(vbd for vbd in map(self._device, vbds) if vbd["type"] == "CD")

    def _device(self, ref: str) -> dict[str, object]:
        return dict(self.database.get("VBD", ref))

    def disks(self) -> list[str]:
        """The names of all disks of the pool."""
        return [str(disk["name_label"]) for _, disk in self.database.all("VDI")]

    def secrets(self) -> set[str]:
        """The uuids of all secrets."""
        return {str(secret["uuid"]) for _, secret in self.database.all("secret")}

    def named(self) -> set[str]:
        """The secrets that the VM's keys name."""
        config = self.core.vm(self.one.pool.find(VM))["other_config"]
        return {config[key] for key in TLS_SECRETS}

    async def until(self, state: str) -> None:
        """Wait until the preparation has come to this."""
        await self.one.until(lambda: self.certificates.state(self.id).state == state, f"it is {state}")


@asynccontextmanager
async def yard(folder: Path, *, drive: bool = True, door: PluginDoor | None = None) -> AsyncIterator[Yard]:
    """The VM is live under the certificates of the lab's own."""
    async with world(folder, vms=1, settings=SETTINGS, profile=WINDOWS_PROFILE, is_tls=True, door=door) as one:
        if drive:
            storage.new_device(one.pool.core, cds.empty_drive(one.pool.find(VM)))
        yield Yard(one)
