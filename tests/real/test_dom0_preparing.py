"""A real guest is prepared from a control domain: the program is put there over SSH, and root runs it at a terminal."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roadstead.act.plugin.hosts import Visit
from roadstead.artifacts import placing
from roadstead.lab.guests.real import RealGuest
from roadstead.peers.links.visits import Task
from roadstead.peers.links.visits import Visit as GuestVisit
from tests.contract import lab_xe
from tests.contract.plugged import opened
from tests.real.commanding import PASSWORD
from tests.real.domains import Domain, domains
from tests.real.guests import TakeGuests
from tests.real.raw_guests import Raw, raw_guests
from tests.unit.dom0 import pythons
from tests.unit.dom0.preparer import Terminal, on_terminal

pytestmark = [pytest.mark.real, pytest.mark.limit(90)]

HOSTS_PYTHON = "/srv/bin/python3"
"""This machine's own, as a domain sees it."""


class Root:
    """Root in a control domain of the pool, and the guest."""

    def __init__(self, one: Raw, domain: Domain) -> None:
        self.one = one
        self.domain = domain

    async def at_terminal(self, work: Callable[[Terminal], int], *words: str, name: str = "raw") -> str:
        """Run the program, and type what ``work`` types; it returns the exit code that is right."""
        command = [*self.domain.door, "xscontainer-prepare-vm", "-v", self.one.one.vm(name).id, *words]

        def run() -> str:
            with on_terminal(command, {"PATH": "/usr/bin:/bin"}) as person:
                code = work(person)
                assert person.ends() == code, person.text
                return person.text

        text = await asyncio.to_thread(run)
        assert PASSWORD not in text
        return text

    async def audited(self) -> set[tuple[str, str, str]]:
        """Who did what with which result."""
        entries = await self.one.one.core.commands.audit.recent(100)
        return {(entry.who, entry.what, entry.result) for entry in entries}


@asynccontextmanager
async def root(folder: Path, guest: RealGuest, python: str = HOSTS_PYTHON) -> AsyncIterator[Root]:
    """A pool of one host, into which the plugin was put over SSH, with a guest that nobody has prepared."""
    async with opened(folder) as (door, served), raw_guests(folder, {"raw": guest}, door, hosts=1) as one:
        core, pool = one.one.core, one.one.pool
        (address,) = [str(host["address"]) for _, host in pool.core.database.all("host")]
        with domains(folder, [address], PASSWORD) as (domain,):
            host = next(iter(core.store.hosts.values()))
            inventory = domain.folder / "etc" / "xensource-inventory"
            inventory.write_text(f"PRODUCT_VERSION='8.2.1'\nINSTALLATION_UUID='{host.id}'\n")
            visit = Visit(
                action="install", port=domain.port, host_key=f"ssh-ed25519 {domain.fingerprint}", password=PASSWORD
            )
            assert (await core.commands.plugin_hosts.work(one.one.pool_id, host.id, visit)).state == "installed"
            assert domain.prepare.read_bytes() == placing.PROGRAM
            domain.program("xe", lab_xe.command(pool, domain.folder, HOSTS_PYTHON))
            domain.program("python3", f'exec {python} "$@"')
            await core.commands.plugin_access.enable(one.one.pool_id, None)
            async with served(core):
                yield Root(one, domain)


def _confirmed(person: Terminal) -> None:
    assert "shows this SSH host key" in person.reads("the VM's own")
    person.types("y")


def _signed_in(person: Terminal) -> int:
    person.reads("Password of core: ")
    person.types(PASSWORD)
    return 0


def _undone(person: Terminal) -> int:
    person.reads("disable the VM? [y/N] ")
    person.types("y")
    return _signed_in(person)


@pytest.mark.parametrize("is_old", [True, False], ids=["Python 2.7", "Python 3"])
async def test_a_guest_is_prepared_from_a_control_domain(
    tmp_path: Path, real_guests: TakeGuests, *, is_old: bool
) -> None:
    """The host key is confirmed, a wrong password typed anew; it is watched then; a second time changes nothing."""
    (guest,) = await real_guests(1)
    async with root(tmp_path, guest, pythons.find(pythons.OLDEST) if is_old else HOSTS_PYTHON) as one:

        def first(person: Terminal) -> int:
            _confirmed(person)
            person.reads("Password of core: ")
            person.types("guess")
            person.reads("refuses the user core")
            return _signed_in(person)

        text = await one.at_terminal(first, "-u", "core")
        assert "raw at " in text and "is prepared: its line was added." in text
        await one.one.one.until(lambda: one.one.one.is_live("raw"), "live")
        line = one.one.text("raw")
        assert "its line is as it should be" in await one.at_terminal(_signed_in, "-u", "core")
        assert one.one.text("raw") == line
        host = next(iter(one.one.one.core.store.hosts.values()))
        pool = one.one.one.core.store.pools[host.pool]
        who = f"root in the control domain of {host.name} ({pool.name}, {pool.id})"
        assert {(who, "prepare: look", "failed"), (who, "prepare", "done")} <= await one.audited()
        forms = ("--exec-only", "--from", "0.0.0.0/0")
        assert "it was restricted, and is exec-only" in await one.at_terminal(_signed_in, "-u", "core", *forms)
        assert one.one.text("raw").startswith('from="0.0.0.0/0",restrict,command=')
        assert "is unprepared: its line was taken out." in await one.at_terminal(_undone, "-u", "core", "--undo")
        assert one.one.text("raw") == ""
        assert (who, "unprepare", "done") in await one.audited()
        await one.one.one.until(lambda: not one.one.one.vm("raw").enabled, "disabled")
        written = b"".join(path.read_bytes() for path in tmp_path.glob("*.db*"))
        assert written and PASSWORD.encode() not in written


async def test_who_cannot_sign_in_changes_nothing(tmp_path: Path, real_guests: TakeGuests) -> None:
    """Three wrong passwords end it, the guest sees three; a no to the host key sends none; then a key file opens it."""
    (guest,) = await real_guests(1)
    log = guest.folder / "sshd.log"
    async with root(tmp_path, guest) as one:
        before = log.read_text().count("Failed password")

        def refuses(person: Terminal) -> int:
            person.reads("[y/N] ")
            person.types("n")
            return 1

        assert "Nothing was changed." in await one.at_terminal(refuses, "-u", "core")
        assert log.read_text().count("Failed password") == before

        def guesses(person: Terminal) -> int:
            _confirmed(person)
            for _ in range(3):
                person.reads("Password of core: ")
                person.types("guess")
            return 1

        assert "Check the user" in await one.at_terminal(guesses, "-u", "core")
        assert log.read_text().count("Failed password") == before + 3
        assert one.one.text("raw") == ""
        key = one.domain.folder / "home" / "id"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "open", "-f", str(key)], check=True)
        one.one.write("raw", key.with_suffix(".pub").read_text())

        def with_key(person: Terminal) -> int:
            for word in ("shut", "open"):
                person.reads("Passphrase of /root/id: ")
                person.types(word)
            return 0

        shown = one.one.guests["raw"].machine.host_key().split()
        given = f"--host-key={' '.join(shown[:2])}"
        assert "is prepared" in await one.at_terminal(with_key, "-u", "core", "--key-file", "/root/id", given)
        assert one.one.text("raw").startswith(key.with_suffix(".pub").read_text())


async def test_a_server_that_goes_in_the_middle(
    tmp_path: Path, real_guests: TakeGuests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stops waiting stops nothing: the step is ended whole. Without a server it is said, and later finished."""
    (guest,) = await real_guests(1)
    async with root(tmp_path, guest) as one:
        reached, gone = asyncio.Event(), asyncio.Event()
        loop, run = asyncio.get_running_loop(), GuestVisit.run

        async def slow(visit: GuestVisit, task: Task) -> bytes:
            if "roadstead-keys" in task.command:
                reached.set()
                await gone.wait()
            return await run(visit, task)

        monkeypatch.setattr(GuestVisit, "run", slow)

        def interrupted(person: Terminal) -> int:
            _confirmed(person)
            _signed_in(person)
            asyncio.run_coroutine_threadsafe(reached.wait(), loop).result(30)
            person.interrupts()
            return 130

        text = await one.at_terminal(interrupted, "-u", "core")
        assert "Roadstead ends the step that it was asked for" in text
        assert one.one.text("raw") == ""
        gone.set()
        await one.one.one.until(lambda: one.one.one.is_live("raw"), "live")
        assert one.one.text("raw").count("\n") == 1
        monkeypatch.undo()
        assert "its line is as it should be" in await one.at_terminal(_signed_in, "-u", "core")
