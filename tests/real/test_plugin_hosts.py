"""The plugin goes into control domains over OpenSSH: who is let in, what is written, and what a broken way leaves."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from roadstead.act.plugin.hosts import SeenHost, Visit
from roadstead.artifacts import placing
from roadstead.errors import RoadsteadError
from tests.contract.plugged import Plugin, plugged
from tests.contract.pool_clients import Clients
from tests.real.commanding import PASSWORD, commanding
from tests.real.domains import Domain, domains

pytestmark = pytest.mark.real

FOREIGN = b"#!/bin/sh\necho historic\n"


class Hosts:
    """The hosts of a lab pool as Roadstead sees them, and the domains that stand behind their addresses."""

    def __init__(self, client: Plugin, made: list[Domain]) -> None:
        self.one = client.one
        self.domains = made
        self.commands = client.one.core.commands

    async def seen(self) -> list[SeenHost]:
        """Every host with its key, in the order of the domains."""
        port = self.domains[0].port
        found = {host.address: host for host in await self.commands.plugin_hosts.look(self.one.pool_id, port)}
        return [found[domain.address] for domain in self.domains]

    async def visit(self, action: str, number: int = 0, **fields: Any) -> str:
        """Do something on a host; the state that the plugin is in then."""
        host = (await self.seen())[number]
        given = {"password": PASSWORD} if "private_key" not in fields else {}
        visit = Visit(action=action, port=self.domains[0].port, host_key=f"{host.type} {host.fingerprint}", **given)
        told = await self.commands.plugin_hosts.work(self.one.pool_id, host.id, replace(visit, **fields))
        return told.state

    async def refused(self, action: str, number: int = 0, **fields: Any) -> str:
        """The code with which that fails."""
        with pytest.raises(RoadsteadError) as caught:
            await self.visit(action, number, **fields)
        assert PASSWORD not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
        return caught.value.code


@asynccontextmanager
async def hosts(folder: Path, count: int = 2, vms: int = 0) -> AsyncIterator[Hosts]:
    """A pool with so many hosts, each a control domain."""
    async with plugged(folder, vms=vms, hosts=count) as client:
        addresses = sorted(str(one["address"]) for _, one in client.one.pool.core.database.all("host"))
        with domains(folder, addresses, PASSWORD) as made:
            yield Hosts(client, made)


async def test_it_goes_to_every_host_and_answers_there(tmp_path: Path) -> None:
    """By password and by key, once and again; what was put there is what clients of the pool then call."""
    async with hosts(tmp_path, vms=1) as one:
        first, second = one.domains
        private, public = _key(tmp_path / "root", "secret words")
        (second.folder / "authorized_keys").write_text(public)
        assert [host.fingerprint for host in await one.seen()] == [first.fingerprint, second.fingerprint]

        assert await one.visit("install") == "installed"
        assert await one.visit("install", 1, private_key=private, passphrase="secret words") == "installed"
        assert await one.visit("install") == "unchanged"
        for domain in one.domains:
            assert domain.plugin.read_bytes() == placing.PLUGIN
            assert domain.plugin.stat().st_mode & 0o7777 == 0o755

        await one.one.pool.core.plugins.install(first.plugin)
        vm = one.one.vm("vm-1").id
        container = next(each for each in one.one.containers("vm-1").values() if each.state == "running")
        assert await Clients(one.one).call(0, "pause", vmuuid=vm, container=container.name) == "True"

        assert [await one.visit("uninstall", number) for number in (0, 1)] == ["removed", "removed"]
        assert not first.plugin.exists()
        assert not (first.folder / "lib" / "roadstead").exists()
        entries = {(entry.what, entry.target, entry.result) for entry in await one.commands.audit.recent(100)}
        where = f"{one.one.pool_id}/{(await one.seen())[0].id}"
        assert {("pool plugin install", where, "done"), ("pool plugin uninstall", where, "done")} <= entries


async def test_the_command_line_goes_the_whole_way(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A host that is down makes it 4; the password is in no output, log, table or file."""
    async with hosts(tmp_path, count=3) as one, commanding(one.one.core, tmp_path) as ask:
        first, second, third = one.domains
        third.stop()
        names = [host.name for host in await one.seen()]
        keys = [f"--host-key={domain.address}={domain.fingerprint}" for domain in (first, second)]
        words = [*keys, f"--ssh-port={first.port}", "--password-file=-"]
        code, table, told = await ask("pool", "install-plugin", "lab", *words)
        rows = [line.split()[:3] for line in table.splitlines()[1:]]
        assert code == 4, told
        assert rows == [
            [names[0], first.address, "installed"],
            [names[1], second.address, "installed"],
            [names[2], third.address, "failed:"],
        ]
        assert f"{names[2]} cannot be reached at {third.address}: it refuses connections" in told
        third.start()
        words.append(f"--host-key={third.address}={third.fingerprint}")
        code, table, _ = await ask("pool", "install-plugin", "lab", *words)
        assert code == 0
        assert [line.split()[2] for line in table.splitlines()[1:]] == ["unchanged", "unchanged", "installed"]
        code, table, _ = await ask("pool", "uninstall-plugin", "lab", *words)
        assert code == 0
        assert not any(domain.plugin.exists() for domain in one.domains)
        entries = await one.commands.audit.recent(100)
        assert sum(entry.what == "pool plugin install" for entry in entries) == 5
        written = b"".join(path.read_bytes() for path in tmp_path.glob("*.db*"))
        assert PASSWORD not in f"{entries} {told} {capfd.readouterr()}"
        assert written and PASSWORD.encode() not in written


async def test_nobody_gets_in_with_less(tmp_path: Path) -> None:
    """A wrong password, a wrong passphrase and the pool's own key; the host sees one guess for each."""
    async with hosts(tmp_path, count=1) as one:
        (domain,) = one.domains
        private, public = _key(tmp_path / "root", "secret words")
        (domain.folder / "authorized_keys").write_text(public)
        for _ in range(3):
            assert await one.refused("install", password="guess") == "host-sign-in-failed"
        assert domain.log.count("Failed password") == 3
        assert await one.refused("install", private_key=private, passphrase="other", password=None) == (
            "key-passphrase-wrong"
        )
        assert await one.refused("install", private_key=private, password=None) == "key-passphrase-needed"
        assert await one.refused("install", private_key="-----BEGIN", password=None) == "field-invalid"
        await one.commands.pools.key(one.one.pool_id)
        stranger, _ = _key(tmp_path / "stranger", "")
        assert await one.refused("install", private_key=stranger, password=None) == "host-sign-in-failed"
        assert domain.log.count("publickey") == 0
        assert not domain.plugin.exists()
        failed = [entry.code for entry in await one.commands.audit.recent(100) if entry.what == "pool plugin install"]
        refusals = {"host-sign-in-failed", "key-passphrase-needed", "key-passphrase-wrong", "field-invalid"}
        assert set(failed) == refusals


async def test_another_key_than_the_confirmed_one_gets_no_password(tmp_path: Path) -> None:
    """The host was looked at, and then another answers in its place."""
    async with hosts(tmp_path, count=1) as one:
        (domain,) = one.domains
        confirmed = (await one.seen())[0].fingerprint
        domain.stop()
        domain.new_host_key()
        domain.start()
        assert await one.refused("install", host_key=f"ssh-ed25519 {confirmed}") == "host-key-differs"
        assert await one.refused("install", host_key=f"ssh-rsa {confirmed}") == "host-key-differs"
        assert "password" not in domain.log


async def test_a_host_that_is_down_is_named_and_stops_no_other(tmp_path: Path) -> None:
    """It shows no key, and says why."""
    async with hosts(tmp_path) as one:
        confirmed = (await one.seen())[1]
        one.domains[1].stop()
        up, down = await one.seen()
        assert up.fingerprint and not up.code
        assert (down.code, down.fingerprint) == ("host-unreachable", "")
        assert confirmed.name in down.message
        assert await one.visit("install") == "installed"
        assert await one.refused("install", 1, host_key=f"ssh-ed25519 {confirmed.fingerprint}") == "host-unreachable"


@pytest.mark.parametrize("before", [None, FOREIGN], ids=["nothing", "a foreign one"])
async def test_a_cut_in_the_middle_leaves_the_old_or_the_new(tmp_path: Path, before: bytes | None) -> None:
    """The host dies while the plugin is tried there; the next run finds the same again, and clears up."""
    async with hosts(tmp_path, count=1) as one:
        (domain,) = one.domains
        if before is not None:
            domain.plugin.write_bytes(before)
        reached = domain.folder / "reached"
        domain.program(
            "python3",
            f'case "$3" in *.roadstead-*) touch {reached}; exec sleep 60;; esac; exec /usr/bin/python3 "$@"',
        )
        cutting = asyncio.to_thread(_cut, domain, reached)
        code, _ = await asyncio.gather(one.refused("install"), cutting)
        assert code == "host-ssh-failed"
        assert (domain.plugin.read_bytes() if domain.plugin.exists() else None) == before
        (domain.folder / "bin" / "python3").unlink()
        domain.start()
        assert await one.visit("install") == "installed"
        assert [file.name for file in domain.plugins.iterdir()] == ["xscontainer"]


async def test_a_foreign_one_comes_back_and_a_changed_one_stays(tmp_path: Path) -> None:
    """The historic pack's plugin is kept meanwhile; what somebody wrote since is theirs."""
    async with hosts(tmp_path, count=1) as one:
        (domain,) = one.domains
        domain.plugin.write_bytes(FOREIGN)
        assert await one.visit("look") == "foreign"
        assert await one.visit("install") == "installed"
        assert await one.visit("look") == "ours"
        assert await one.visit("uninstall") == "restored"
        assert domain.plugin.read_bytes() == FOREIGN
        assert await one.refused("uninstall") == "host-plugin-foreign"
        (domain.folder / "etc" / "xensource-inventory").unlink()
        assert await one.refused("install") == "host-not-control-domain"


def _key(path: Path, passphrase: str) -> tuple[str, str]:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)
    return path.read_text(), path.with_suffix(".pub").read_text()


def _cut(domain: Domain, reached: Path) -> None:
    until = time.monotonic() + 20
    while not reached.exists() and time.monotonic() < until:
        time.sleep(0.005)
    domain.stop()
