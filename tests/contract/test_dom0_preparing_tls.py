"""A VM of Windows is prepared over TLS from a control domain, at a terminal: addresses, the CD, the wait."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from roadstead.act.preparing.conversation import Action, Answers
from roadstead.model import config_keys
from tests.contract import lab_xe
from tests.contract.plugged import opened
from tests.contract.tls_yard import VM, Yard, yard
from tests.unit.dom0.preparer import Terminal, on_terminal
from tests.unit.dom0.world import PLUGIN, PROGRAM


@dataclass
class Dom0:
    """The program in the control domain of a pool with a VM of Windows."""

    there: Yard
    environment: dict[str, str]
    loop: asyncio.AbstractEventLoop

    def person(self, *words: str) -> AbstractContextManager[Terminal]:
        """Start the program on a terminal."""
        said = ["-v", self.there.id, "--mode", "tls", *words]
        return on_terminal([sys.executable, str(PROGRAM), *said], self.environment)

    def runs_script(self) -> None:
        """Run in the VM what is on the CD."""
        asyncio.run_coroutine_threadsafe(self.there.one.pool.run_cd(VM), self.loop).result(15)


@asynccontextmanager
async def dom0(tmp_path: Path) -> AsyncIterator[Dom0]:
    """A control domain whose pool knows Roadstead; the VM has certificates."""
    async with opened(tmp_path) as (door, served), yard(tmp_path, door=door) as there, served(there.one.core):
        await there.one.core.commands.plugin_access.enable(there.one.pool_id, None)
        xe = tmp_path / "bin" / "xe"
        xe.parent.mkdir()
        xe.write_text(f"#!/bin/sh\n{lab_xe.command(there.one.pool, tmp_path, sys.executable)}\n")
        xe.chmod(0o755)
        environment = {"PATH": f"{xe.parent}:/usr/bin:/bin", "ROADSTEAD_PLUGIN": str(PLUGIN)}
        yield Dom0(there, environment, asyncio.get_running_loop())


async def test_certificates_are_made_from_a_control_domain(tmp_path: Path) -> None:
    """Who stops waiting joins again; when the script was run the VM is managed, and the CD is gone."""
    async with dom0(tmp_path) as host:
        there, one = host.there, host.there.one
        await one.core.commands.preparing.step(there.id, Answers(action=Action.UNPREPARE))
        await one.until(lambda: config_keys.MODE not in one.vm(VM).settings, "nothing is known of it")
        address = one.vm(VM).addresses[0]

        def first() -> None:
            with host.person("--generate-certs") as person:
                assert address in person.reads("Are these the VM's? [y/N] ")
                person.types("y")
                assert "private key of the VM's engine" in person.reads("[y/N] ")
                person.types("y")
                person.reads("Waiting")
                person.interrupts()
                assert person.ends() == 130
                assert "The CD stays in the VM's drive" in person.text

        def again() -> str:
            with host.person("--generate-certs", "--address", address, "--yes") as person:
                assert "configure_tls.cmd" in person.reads("Waiting")
                host.runs_script()
                assert person.ends() == 0, person.text
                return person.text

        await asyncio.to_thread(first)
        assert there.drive()["empty"] is False
        text = await asyncio.to_thread(again)
        assert "is prepared: its engine uses the new certificates" in text
        await one.until_live(VM)
        assert one.vm(VM).settings[config_keys.MODE] == "tls"
        assert there.named() <= there.secrets()
        assert there.drive()["empty"] is True


async def test_certificates_that_work_stay_unless_new_ones_are_asked_for(tmp_path: Path) -> None:
    """The mode alone changes nothing, however often it is said; `--generate-certs` makes them anew."""
    async with dom0(tmp_path) as host:
        there = host.there
        await there.one.until_live(VM)
        kept = there.named()

        def mode_alone() -> str:
            with host.person() as person:
                assert person.ends() == 0, person.text
                return person.text

        def anew() -> None:
            with host.person("--generate-certs", "--yes") as person:
                person.reads("Waiting")
                host.runs_script()
                assert person.ends() == 0, person.text
                assert "its engine uses the new certificates" in person.text

        for _ in range(2):
            assert "is reached with the certificates that it has" in await asyncio.to_thread(mode_alone)
        assert there.named() == kept
        await asyncio.to_thread(anew)
        assert not there.named() & kept
        await there.one.until_live(VM)
