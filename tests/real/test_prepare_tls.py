"""A real dockerd gets its certificates from `roadstead prepare --mode tls`, as a person or a script types it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roadstead.kit import tasks
from roadstead.lab.guests.certificates import Authority, Pair
from roadstead.lab.guests.real import RealGuest
from roadstead.lab.guests.simulated import SimulatedGuests
from roadstead.lab.pool import cds, storage
from roadstead.lab.pool.driver import NewVm
from roadstead.lab.pool.server import LabPool
from roadstead.model import config_keys
from tests.contract.world import CALM, World, add, kept, running
from tests.real.commanding import commanding

pytestmark = pytest.mark.real
SETTINGS = CALM.model_copy(
    update={"certificate": CALM.certificate.model_copy(update={"key": "ec", "try_seconds": 0.2, "wait_seconds": 50.0})}
)
PATIENCE_SECONDS = 40.0


@asynccontextmanager
async def _pool(folder: Path, guest: RealGuest) -> AsyncIterator[World]:
    """A pool with this guest as a VM with a CD drive, which nobody has prepared."""
    maker = SimulatedGuests(folder / "none")
    async with (
        LabPool(folder / "pool", hosts=1, port=0) as pool,
        kept(folder) as database,
        running(SETTINGS, database) as core,
    ):
        one = World(pool, maker, core, database)
        await add(one)
        await pool.make_vm(NewVm("real", addresses=guest.addresses, user=guest.user, enabled=False))
        storage.new_device(pool.core, cds.empty_drive(pool.find("real")))
        await one.until(lambda: any(vm.name == "real" and vm.addresses for vm in one.vms()), "the VM is seen")
        yield one


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.05)


async def _run_script(one: World, guest: RealGuest) -> None:
    """Put what is on the CD in place, as its administrator does on Linux."""
    secured = await asyncio.to_thread(cds.run, cds.inserted(one.pool.core, one.pool.find("real")), "real")
    await guest.secure_engine(secured.authority, Pair(secured.certificate, secured.key))


async def test_a_real_engine_is_prepared_from_the_command_line(real_guest: RealGuest, tmp_path: Path) -> None:
    """It waits for the script, tells of it, and sums up; once more it changes nothing; then it is taken back."""
    async with _pool(tmp_path, real_guest) as one, commanding(one.core, tmp_path) as ask:
        certificates, vm = one.core.commands.certificates, one.vm("real").id
        code, _, told = await ask("prepare", "real", "--mode", "tls")
        assert (code, "needs a yes before it touches real" in told) == (2, True), told

        async def type_it() -> tuple[int, str, str]:
            return await ask("prepare", "real", "--mode", "tls", "--yes")

        async with asyncio.TaskGroup() as group:
            typed = tasks.spawn(group, type_it(), "command line")
            await _until(lambda: certificates.state(vm).state == "waiting" or typed.done())
            await _run_script(one, real_guest)
        code, printed, told = typed.result()
        assert code == 0, told
        assert "real: the CD is in the drive, its certificates are valid until" in told
        assert "In real: Run configure_tls.cmd" in told
        assert "real: prepared: its engine uses the new certificates" in told
        heading, row = printed.splitlines()
        assert (heading.split()[:2], row.split()[:2]) == (["VM", "RESULT"], ["real", "prepared"])
        assert all(address in row for address in real_guest.addresses)
        await one.until(lambda: one.is_live("real"), "live")

        settings = one.vm("real").settings
        code, _, told = await ask("prepare", "real", "--mode", "tls", "--yes")
        assert (code, "reached with the certificates that it has" in told) == (0, True), told
        assert one.vm("real").settings == settings

        code, _, told = await ask("unprepare", "real", "--yes")
        assert (code, "in the guest stay" in told) == (0, True), told
        await one.until(lambda: not set(config_keys.TLS_SECRETS) & one.vm("real").settings.keys(), "nothing is named")


async def test_certificates_of_the_operators_own_ca(real_guest: RealGuest, tmp_path: Path) -> None:
    """Files that do not fit are told apart, each fault by its option; those that do are stored."""
    ours, other = Authority("ours"), Authority("other")
    client = ours.client()
    files = {"cert": client.certificate, "key": client.key, "ca": ours.certificate, "other": other.certificate}
    for name, text in files.items():
        (tmp_path / f"{name}.pem").write_text(text)
    named = [f"--client-cert={tmp_path}/cert.pem", f"--client-key={tmp_path}/key.pem"]
    await real_guest.secure_engine(ours.certificate, ours.server(real_guest.addresses))
    async with _pool(tmp_path, real_guest) as one, commanding(one.core, tmp_path) as ask:
        words = ["prepare", "real", "--mode", "tls", *named]
        code, _, told = await ask(*words)
        assert (code, "--ca-cert is not valid: it is needed with --client-cert" in told) == (2, True), told
        code, _, told = await ask(*words, f"--ca-cert={tmp_path}/other.pem")
        assert (code, "client-cert: none of the CA certificates signed it" in told) == (1, True), told
        assert config_keys.MODE not in one.vm("real").settings
        code, printed, told = await ask(*words, f"--ca-cert={tmp_path}/ca.pem")
        assert (code, printed.splitlines()[1].split()[:2]) == (0, ["real", "prepared"]), told
        await one.until(lambda: one.is_live("real"), "live")


async def test_a_real_engine_is_renewed_with_one_command(real_guest: RealGuest, tmp_path: Path) -> None:
    """One's own certificate is good for 90 days: what ends within 60 is not there. Then all are made anew for as long,
    and a VM that is not behind TLS is explained meanwhile.
    """
    ours = Authority("ours")
    client = ours.client(dt.timedelta(days=90))
    for name, text in {"cert": client.certificate, "key": client.key, "ca": ours.certificate}.items():
        (tmp_path / f"{name}.pem").write_text(text)
    files = [f"--client-cert={tmp_path}/cert.pem", f"--client-key={tmp_path}/key.pem", f"--ca-cert={tmp_path}/ca.pem"]
    await real_guest.secure_engine(ours.certificate, ours.server(real_guest.addresses))
    async with _pool(tmp_path, real_guest) as one, commanding(one.core, tmp_path) as ask:
        code, printed, told = await ask("certificates", "import", "real", *files)
        assert (code, printed.splitlines()[1].split()[:2]) == (0, ["real", "prepared"]), told
        await one.until(lambda: one.is_live("real"), "live")
        (before,) = await one.core.commands.expiries.all()
        code, printed, told = await ask("certificates", "renew", "--expiring", "60", "--yes")
        assert (code, "No certificates end within 60 days" in printed) == (0, True), told

        await one.pool.make_vm(NewVm("plain", addresses=("127.90.0.9",), user="core", enabled=False))
        await one.until(lambda: any(vm.name == "plain" for vm in one.vms()), "the VM is seen")
        named = dict(one.vm("real").settings)

        async def type_it() -> tuple[int, str, str]:
            return await ask("certificates", "renew", "real", "plain", "--yes", "--replace-imported")

        async with asyncio.TaskGroup() as group:
            typed = tasks.spawn(group, type_it(), "command line")
            state = one.core.commands.certificates.state
            await _until(lambda: state(one.vm("real").id).state == "waiting" or typed.done())
            await _run_script(one, real_guest)
        code, printed, told = typed.result()
        assert (code, "The engine of plain is not reached over TLS" in told) == (4, True), told
        rows = {line.split()[0]: line for line in printed.splitlines()}
        assert rows["real"].split()[1] == "prepared" and "failed: tls-not-used" in rows["plain"]
        await one.until(lambda: one.is_live("real"), "live")
        await one.until(
            lambda: not {named[key] for key in config_keys.TLS_SECRETS} & set(one.vm("real").settings.values()), "new"
        )
        (after,) = await one.core.commands.expiries.all()
        assert before.until is not None and after.until is not None and after.until != before.until
        assert round((after.until - dt.datetime.now(dt.UTC)) / dt.timedelta(days=1)) == 90
        again, printed, told = await ask("certificates", "renew", "real", "--expiring", "60", "--yes")
        assert (again, "Left alone, as good for longer than 60 days: real" in told) == (0, True), told
