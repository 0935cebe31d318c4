"""Real guests for tests: one set for each worker, mended between tests: new ones take longer than most tests."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from roadstead.lab.guests.real import RealGuest, RealGuests
from tests.matrix.rows import SUDO_RULE, Row, row_of

CONTAINERS = 5
"""Of each guest: web and db and cache running, backup exited, batch paused."""


@dataclass
class RealSet:
    """The guests of one worker and the key that opens them."""

    maker: RealGuests
    private_key: str
    """In OpenSSH's format."""
    public_key: str
    """As a line of authorized_keys."""
    row: Row
    """What the guests are made of, and what their engine cannot do."""
    _guests: list[RealGuest] = field(default_factory=list)

    async def take(self, count: int) -> list[RealGuest]:
        """Give ``count`` guests that run, with the containers and the settings of new ones."""
        while len(self._guests) < count:
            number = len(self._guests) + 1
            self._guests.append(await self.maker.make(f"real-{number}", number, CONTAINERS))
        taken = self._guests[:count]
        await asyncio.gather(*(self._mend(guest) for guest in taken))
        return taken

    async def _mend(self, guest: RealGuest) -> None:
        await guest.make_prepared()
        if guest.is_on:
            await guest.restore()
            await guest.start_sshd()
            if not await asyncio.to_thread(guest.engine.answers):
                await guest.start_engine()
        await guest.start()
        guest.key_options = self.row.key_options
        await guest.uncover()
        await guest.set_account(in_group=not self.row.sudo)
        if self.row.sudo:
            await guest.allow_sudo(SUDO_RULE)
        await guest.authorize((self.public_key,))
        wanted = {recipe.name: recipe.state for recipe in guest.recipes}
        wrong = [entry for entry in await guest.truth() if wanted.get(str(entry["name"])) != entry["state"]]
        if wrong:
            await guest.docker("rm", "--force", *(str(entry["id"]) for entry in wrong))
        await guest.add(*guest.recipes)


TakeGuests = Callable[[int], Awaitable[list[RealGuest]]]
"""The fixture `real_guests`: ``guests = await real_guests(2)``."""


@pytest.fixture(scope="session")
def real_possible() -> None:
    """Skip where real guests cannot be had, but never in CI. Every test marked `real` asks for it."""
    reason = RealGuests.available()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real_set(
    real_possible: None, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RealSet]:
    """This worker's real guests, made of what ``--row`` says: of this machine's own files when it says nothing."""
    row = row_of(pytestconfig.getoption("row"))
    folder = tmp_path_factory.mktemp("real")
    private_key, public_key = make_key(folder / "key")
    maker = RealGuests(folder / "guests", key_options=row.key_options, kind=row.kind())
    yield RealSet(maker, private_key, public_key, row)
    await maker.close()


@pytest.fixture
def real_guests(real_set: RealSet) -> TakeGuests:
    """Take some of this worker's real guests, running and mended."""
    return real_set.take


@pytest_asyncio.fixture
async def real_guest(real_set: RealSet) -> RealGuest:
    """One real guest, running and mended."""
    (guest,) = await real_set.take(1)
    return guest


def make_key(path: Path) -> tuple[str, str]:
    """Make an RSA key pair, small for speed; the private half in OpenSSH's format, the public as a line."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "test", "-f", str(path)],
        check=True,
        timeout=30,
    )
    return path.read_text(), path.with_suffix(".pub").read_text().strip()
