"""Lines that other pools left in a guest: each is shown with whose it is, and goes when that was agreed to."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest

from roadstead.act.keys.keyed import Opening
from roadstead.lab.guests.real import RealGuest
from tests.contract.world import World, add, lab
from tests.real.commanding import commanding
from tests.real.guests import TakeGuests
from tests.real.raw_guests import Raw, raw_guests
from tests.real.test_prepare import OTHERS

pytestmark = pytest.mark.real
MADE = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
FORMER = f"{MADE.strip()} xscontainer"


def fingerprint(line: str) -> str:
    """The fingerprint of a public key, by OpenSSH."""
    words = ["ssh-keygen", "-lf", "-"]
    return subprocess.run(words, input=line, capture_output=True, text=True, check=True).stdout.split()[1]


@asynccontextmanager
async def two_pools(folder: Path, guest: RealGuest) -> AsyncIterator[tuple[Raw, str, str]]:
    """A raw guest, and another pool that is known here: the pool's name, and its public key without a comment."""
    async with (
        raw_guests(folder, {"raw": guest}) as one,
        lab(folder / "other", [], hosts=1, seed=1, key=1) as (pool, maker),
    ):
        pool.core.database.write("pool", pool.core.pool, "name_label", "elsewhere")
        await add(one.one, pool)
        other = World(pool, maker, one.one.core, one.one.database)
        key = (await one.one.core.commands.pools.key(other.pool_id)).public
        yield one, other.seen_pool().name, " ".join(key.split()[:2])


async def test_taking_it_back_offers_lines_of_other_pools(tmp_path: Path, real_guests: TakeGuests) -> None:
    """Also one that lost its comment, when its pool is known; each is named. A no leaves them, and takes ours out."""
    (guest,) = await real_guests(1)
    async with two_pools(tmp_path, guest) as (one, name, key):
        theirs = f"no-pty {key} left by somebody"
        one.write("raw", f"{FORMER}\n{theirs}\n{OTHERS}\n")
        told = await one.prepare("raw", declined=("former-key",))
        await one.one.until(lambda: one.one.is_live("raw"), "live")
        asked = await one.step("raw", action="unprepare")
        (offer,) = asked.offers
        assert (asked.question, offer.id, offer.apart) == ("consent", "former-key", True)
        unknown = f"{fingerprint(FORMER)} (of no pool that is known here)"
        assert offer.about == [unknown, f"{fingerprint(key)} (pool {name})"]
        assert one.text("raw") == f"{FORMER}\n{theirs}\n{OTHERS}\n{told.line}\n" and one.one.vm("raw").enabled

        gone = await one.step("raw", action="unprepare", declined=("former-key",))
        assert (gone.state, one.text("raw")) == ("unprepared", f"{FORMER}\n{theirs}\n{OTHERS}\n")
        gone = await one.prepare("raw", action="unprepare", agreed=("former-key",))
        taken = [f"the line of another pool's key was taken out: {each}" for each in offer.about]
        assert gone.done == ["there was no line of this pool's", *taken]
        assert one.text("raw") == f"{OTHERS}\n"


async def test_the_command_line_shows_them_and_takes_them_out(tmp_path: Path, real_guests: TakeGuests) -> None:
    """With `--yes` alone nobody has agreed to that; a pool that once opened the VM is named from memory."""
    (guest,) = await real_guests(1)
    async with two_pools(tmp_path, guest) as (one, name, key), commanding(one.one.core, tmp_path) as ask:
        keyed, vm = one.one.core.commands.readiness._memories.keyed, one.one.vm("raw").id  # noqa: SLF001
        keyed.opens(Opening(one.one.pool_id, vm, fingerprint(FORMER)))
        one.write("raw", f"{FORMER}\n{key}\n")
        words = ["raw", "--user=core", "--password-file=-", "--yes"]
        code, _, told = await ask("prepare", *words, *one.host_keys())
        assert (code, key in one.text("raw")) == (0, True), told
        code, _, told = await ask("unprepare", *words)
        assert (code, one.text("raw")) == (0, f"{FORMER}\n{key}\n"), told
        code, printed, told = await ask("unprepare", *words, *one.host_keys(), "--remove-former-key")
        assert (code, one.text("raw")) == (0, ""), told
        assert f"{fingerprint(key)} (pool {name})" in printed + told
        assert f"{fingerprint(FORMER)} (pool {one.one.seen_pool().name})" in printed + told
        assert not keyed.of(vm)
