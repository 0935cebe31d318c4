"""What gone VMs leave in a pool is collected: their own secrets, nobody else's, and not while anything names them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from roadstead.act.pool_database.secrets import make_vm_secret, vm_secrets
from roadstead.app.core import Core
from roadstead.errors import LinkError
from roadstead.lab.guests.simulated import SimulatedGuests
from roadstead.lab.pool.moving import bring
from roadstead.lab.pool.server import LabPool
from roadstead.model.config_keys import HOST_KEY, TLS_CLIENT_KEY, VM_MARK
from roadstead.peers.database.client import Database
from roadstead.peers.xapi.client import XapiClient
from tests.contract.world import QUICK, World, add, kept, running
from tests.contract.xapi_pools import address, signed_in

PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
SETTINGS = QUICK.model_copy(update={"pool": QUICK.pool.model_copy(update={"collect_seconds": 0.2})})


@dataclass
class Yard:
    """A pool whose VMs are off, an administrator's client of it, and the Roadstead that looks after it."""

    pool: LabPool
    xe: XapiClient
    database: Database
    core: Core

    @property
    def world(self) -> World:
        """What an operator sees."""
        return World(self.pool, _no_guests(), self.core, self.database)

    async def secret(self, name: str, value: str = PEM, *, marked: bool = True) -> str:
        """Make a secret that the VM's key names, marked as this VM's or as the old pack made them; its uuid."""
        uuid = self.pool.uuid_of(name)
        made = await self.xe.create_secret(value, {VM_MARK: uuid} if marked else {})
        await self.xe.set_vm_key(uuid, TLS_CLIENT_KEY, made)
        await self.world.until(lambda: self.world.vm(name).settings.get(TLS_CLIENT_KEY) == made, "the key is seen")
        return made

    def secrets(self) -> set[str]:
        """The uuids of all secrets of the pool."""
        return {str(secret["uuid"]) for _, secret in self.pool.core.database.all("secret")}

    async def destroy(self, name: str) -> None:
        """Remove a VM, a template or a snapshot."""
        found = [ref for ref, vm in self.pool.core.database.all("VM") if vm["name_label"] == name]
        await self.xe.call("VM.destroy", found[0])

    async def until_gone(self, *secrets: str) -> None:
        """Wait until these secrets are collected."""
        await self.world.until(lambda: not self.secrets() & set(secrets), "collected")


def _no_guests() -> SimulatedGuests:
    return SimulatedGuests(Path("nowhere"), 0.0, 1)


@asynccontextmanager
async def _yard(folder: Path, *names: str, cores: int = 1) -> AsyncIterator[Yard]:
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(LabPool(folder / "pool", hosts=1, port=0))
        pool.add_bare_vms(*names)
        xe = await stack.enter_async_context(signed_in(address(pool)))
        yards = []
        for number in range(cores):
            (folder / str(number)).mkdir(mode=0o700)
            database = await stack.enter_async_context(kept(folder / str(number)))
            core = await stack.enter_async_context(running(SETTINGS, database))
            yards.append(Yard(pool, xe, database, core))
            await add(yards[-1].world)
            await yards[-1].world.until(lambda: len(yards[-1].world.vms()) == len(names), "seen")
        yield yards[0]


@pytest.mark.parametrize("cores", [1, 2])
async def test_the_secrets_of_a_gone_vm_go(tmp_path: Path, cores: int) -> None:
    """Its own and the old pack's; not another VM's, not a stranger's password that its key was made to name, and not
    one that names no VM. Two instances do not hinder each other.
    """
    async with _yard(tmp_path, "a", "old", "sly", "b", cores=cores) as yard:
        own, old = await yard.secret("a"), await yard.secret("old", marked=False)
        password = await yard.secret("sly", "a password of somebody's storage", marked=False)
        others, strangers = await yard.secret("b"), await yard.xe.create_secret(PEM, {})
        for name in ("sly", "old", "a"):
            await yard.destroy(name)
        await yard.until_gone(own, old)
        assert {password, others, strangers} <= yard.secrets()


@pytest.mark.parametrize("how", ["VM.clone", "VM.snapshot"])
async def test_what_a_copy_still_names_stays_and_is_not_the_copys(tmp_path: Path, how: str) -> None:
    """It is collected when the copy has gone, too; a copy that is a VM is told that the secret is not its own."""
    async with _yard(tmp_path, "a", "b", "c") as yard:
        shared, own = await yard.secret("a"), await yard.secret("b")
        await yard.xe.call(how, yard.pool.find("a"), "copy")
        if how == "VM.clone":
            await yard.world.until(lambda: any(vm.name == "copy" for vm in yard.world.vms()), "the clone")
            with pytest.raises(LinkError) as caught:
                await vm_secrets(yard.xe, yard.world.vm("copy"), (TLS_CLIENT_KEY,))
            assert caught.value.code == "secret-of-another"
        for name in ("a", "b"):
            await yard.destroy(name)
        await yard.until_gone(own)
        assert shared in yard.secrets()
        for name in ("copy", "c"):
            await yard.destroy(name)
        await yard.until_gone(shared)


async def test_a_template_keeps_what_it_was_made_with(tmp_path: Path) -> None:
    """A VM that is turned into a template is gone from the list of VMs, and is there."""
    async with _yard(tmp_path, "a", "b") as yard:
        its, own = await yard.secret("a"), await yard.secret("b")
        vm = yard.pool.uuid_of("a")
        await yard.xe.call("VM.set_is_a_template", yard.pool.find("a"), True)
        await yard.xe.set_vm_key(vm, TLS_CLIENT_KEY, None)
        await yard.world.until(lambda: [vm.name for vm in yard.world.vms()] == ["b"], "a template")
        await yard.destroy("b")
        await yard.until_gone(own)
        assert its in yard.secrets()


async def test_what_went_while_nobody_ran_is_collected_at_the_start(tmp_path: Path) -> None:
    """By its mark; what has none is nobody's any more that we could know of. The pin of the VM is forgotten, too."""
    async with LabPool(tmp_path / "pool", hosts=1, port=0) as pool, kept(tmp_path) as database:
        pool.add_bare_vms("a", "old", "b")
        async with signed_in(address(pool)) as xe:
            for name in ("a", "b"):
                await xe.set_vm_key(pool.uuid_of(name), HOST_KEY, f"AAAA{name}")
            async with running(SETTINGS, database) as core:
                yard = Yard(pool, xe, database, core)
                await add(yard.world)
                await yard.world.until(lambda: len(yard.world.vms()) == len(("a", "old", "b")), "seen")
                own, old, others = (
                    await yard.secret("a"),
                    await yard.secret("old", marked=False),
                    await yard.secret("b"),
                )
                await core.commands.vms.expect_host_key(yard.world.vm("a").id, "SHA256:" + "A" * 43)
            for name in ("a", "old"):
                await yard.destroy(name)
            async with running(SETTINGS, database) as core:
                yard = Yard(pool, xe, database, core)
                await yard.until_gone(own)
                assert {old, others} <= yard.secrets()
            pins = {pin.vm: pin.key for pin in await database.pins()}
            assert pins == {pool.uuid_of("b"): "AAAAb"}
            assert await database.expected_keys() == ()


async def test_a_vm_that_moved_leaves_its_secrets_until_it_is_gone(tmp_path: Path) -> None:
    """It may come back; in the other pool its keys name nothing, and it is told so."""
    async with (
        _yard(tmp_path / "one", "a", "b") as yard,
        LabPool(tmp_path / "two", hosts=1, port=0, seed=1) as second,
        signed_in(address(second)) as there,
    ):
        await add(yard.world, second)
        its, own = await yard.secret("a"), await yard.secret("b")
        vm = yard.world.vm("a").id
        await bring(second, yard.pool, "a")
        await yard.world.until(lambda: yard.core.store.vms[vm].pool != yard.world.pool_id, "moved")
        with pytest.raises(LinkError) as caught:
            await vm_secrets(there, yard.core.store.vms[vm], (TLS_CLIENT_KEY,))
        assert caught.value.code == "secret-missing"
        new = await make_vm_secret(there, yard.core.store.vms[vm], PEM)
        await yard.destroy("b")
        await yard.until_gone(own)
        assert its in yard.secrets()
        await there.call("VM.destroy", second.find("a"))
        await yard.until_gone(its)
        await yard.world.until(lambda: not list(second.core.database.all("secret")), f"{new} collected")
