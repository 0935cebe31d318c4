"""A VM of Windows is prepared over TLS from a control domain, at a terminal: addresses, the CD, the wait."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from roadstead.act.preparing.conversation import Answers
from roadstead.model import config_keys
from tests.contract import lab_xe
from tests.contract.plugged import opened
from tests.contract.tls_yard import VM, yard
from tests.unit.dom0.preparer import on_terminal
from tests.unit.dom0.world import PLUGIN, PROGRAM


async def test_certificates_are_made_from_a_control_domain(tmp_path: Path) -> None:
    """Who stops waiting joins again; when the script was run the VM is managed, and the CD is gone."""
    async with opened(tmp_path) as (door, served), yard(tmp_path, door=door) as there, served(there.one.core):
        one = there.one
        await one.core.commands.plugin_access.enable(one.pool_id, None)
        await one.core.commands.preparing.step(there.id, Answers(action="unprepare"))
        await one.until(lambda: config_keys.MODE not in one.vm(VM).settings, "nothing is known of it")
        xe = tmp_path / "bin" / "xe"
        xe.parent.mkdir()
        xe.write_text(f"#!/bin/sh\n{lab_xe.command(one.pool, tmp_path, sys.executable)}\n")
        xe.chmod(0o755)
        environment = {"PATH": f"{xe.parent}:/usr/bin:/bin", "ROADSTEAD_PLUGIN": str(PLUGIN)}
        words = [sys.executable, str(PROGRAM), "-v", there.id, "--mode", "tls", "--generate-certs"]
        address = one.vm(VM).addresses[0]
        loop = asyncio.get_running_loop()

        def first() -> None:
            with on_terminal(words, environment) as person:
                assert address in person.reads("Are these the VM's? [y/N] ")
                person.types("y")
                assert "private key of the VM's engine" in person.reads("[y/N] ")
                person.types("y")
                person.reads("Waiting")
                person.interrupts()
                assert person.ends() == 130
                assert "The CD stays in the VM's drive" in person.text

        def again() -> str:
            with on_terminal([*words, "--address", address, "--yes"], environment) as person:
                assert "configure_tls.cmd" in person.reads("Waiting")
                asyncio.run_coroutine_threadsafe(one.pool.run_cd(VM), loop).result(15)
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
