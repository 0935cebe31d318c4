"""A pool's key is replaced in real guests: OpenSSH reads what was written, and decides who gets in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roadstead.act.rotation import Rotation
from roadstead.lab.guests.real import RESTRICTED_KEY, RealGuest
from roadstead.lab.guests.real.kinds import USER_NUMBER
from roadstead.lab.guests.real.machine import AUTHORIZED_KEYS
from roadstead.peers.links import keys
from tests.contract.world import CALM, World, add, kept, lab, running
from tests.real.guests import TakeGuests

pytestmark = pytest.mark.real
SETTINGS = CALM.model_copy(update={"pool": CALM.pool.model_copy(update={"rotation_seconds": 0.3})})
PATIENCE_SECONDS = 30.0
OTHERS = "# who may come\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJw5M6Xv0rDqz8Yc7sWlL0y9h8oE0c8m1K2d3e4f5a6b an operator"


@pytest.fixture(autouse=True)
def small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody measures the strength of the second key here, and a large one takes seconds."""
    monkeypatch.setattr(keys, "KEY_BITS", 2048)


async def test_real_guests_are_changed_over_or_wait_for_somebody(tmp_path: Path, real_guests: TakeGuests) -> None:
    """With a plain line the file is changed as a careful person would, with a restricted one nothing is, until somebody
    puts the new line in; then the old key is retired, and both are opened by the new one.
    """
    plain, restricted = await real_guests(2)
    async with (
        lab(tmp_path, []) as (pool, maker),
        kept(tmp_path) as database,
        running(SETTINGS, database) as core,
    ):
        one = World(pool, maker, core, database)
        await add(one)
        old = (await core.commands.pools.key(one.pool_id)).public
        _write(plain, f'{OTHERS}\nfrom="0.0.0.0/0,::/0" {old} of the pool')
        restricted.key_options = RESTRICTED_KEY
        await restricted.authorize((old,))
        untouched = _file(restricted).read_text()
        for name, guest in (("plain", plain), ("restricted", restricted)):
            await pool.create_vm(name, addresses=guest.addresses, user=guest.user)
        await one.until(lambda: {"plain", "restricted"} <= {vm.name for vm in one.vms()}, "found")
        await one.until(lambda: one.is_live("plain") and one.is_live("restricted"), "live")
        since = one.since()

        await core.commands.rotations.begin(one.pool_id)
        told = await _until(one, plain="done", restricted="needs-preparing")
        new = (await core.commands.pools.key(one.pool_id)).public
        keyed = core.commands.pools.keyed(one.pool_id)
        await one.until(lambda: _is_opened_once(one), "the old line is gone")
        assert _file(plain).read_text() == f'{OTHERS}\nfrom="0.0.0.0/0,::/0" {new} of the pool'
        status = _file(plain).stat()
        assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, USER_NUMBER, USER_NUMBER)
        assert [path.name for path in _file(plain).parent.iterdir()] == ["authorized_keys"]
        assert _file(restricted).read_text() == untouched
        assert {vm.reason for vm in told.vms if vm.needs_old} == {"its key may run no command"}
        assert one.since() == since
        assert keyed[one.vm("restricted").id] == {told.old_fingerprint}

        await restricted.authorize((new,))
        await _until_retired(one)
        for guest in (plain, restricted):
            await guest.kill_sshd()
            await guest.start_sshd()
        await one.until(lambda: one.since().keys() == since.keys() and not _same(one, since), "the links were lost")
        await one.until(lambda: one.is_live("plain") and one.is_live("restricted"), "the new key opens both")


def _is_opened_once(one: World) -> bool:
    """Whether one key alone is known to open the plain guest."""
    return len(one.core.commands.pools.keyed(one.pool_id)[one.vm("plain").id]) == 1


def _same(one: World, since: dict[str, object]) -> bool:
    return any(one.since()[vm] == known for vm, known in since.items())


def _file(guest: RealGuest) -> Path:
    return guest.machine.root / AUTHORIZED_KEYS.removeprefix("/")


def _write(guest: RealGuest, text: str) -> None:
    _file(guest).write_text(text)
    _file(guest).chmod(0o640)


async def _until(one: World, **states: str) -> Rotation:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            told = await one.core.commands.rotations.state(one.pool_id)
            if states == {vm.name: vm.state for vm in told.vms}:
                return told
            await asyncio.sleep(0.05)


async def _until_retired(one: World) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await one.core.commands.rotations.state(one.pool_id)).state != "none":
            await asyncio.sleep(0.05)
