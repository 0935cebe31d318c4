"""A check of the path to a real guest: OpenSSH and dockerd are broken one part after the other, and each is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadstead.lab.guests.real import RESTRICTED_KEY, RealGuest
from roadstead.lab.pool.driver import MONITOR_KEY
from tests.contract.test_path_checks import SSH_STEPS, checked, failed
from tests.contract.world import CALM, World, add, kept, lab, running

pytestmark = pytest.mark.real


async def test_each_part_that_breaks_is_named(tmp_path: Path, real_guest: RealGuest) -> None:
    """A VM that is not enabled: its key is not there, then all is well; its engine is killed, with a key that allows
    commands and with one that does not; its SSH server is killed; its wire is cut. Nothing is remembered of it.
    """
    async with (
        lab(tmp_path, []) as (pool, maker),
        kept(tmp_path) as database,
        running(CALM, database) as core,
    ):
        one = World(pool, maker, core, database)
        await add(one)
        line = (await core.commands.pools.key(one.pool_id)).public
        await pool.create_vm("real", addresses=real_guest.addresses, user=real_guest.user, enabled=False)
        await one.until(lambda: "real" in {vm.name for vm in one.vms()} and one.vm("real").addresses, "found")
        assert MONITOR_KEY not in one.vm("real").settings

        assert failed(await checked(one, "real")) == [("authentication", "key-rejected")]
        await real_guest.authorize((line,))
        found = await checked(one, "real")
        assert [(each.step, each.state) for each in found] == [(step, "ok") for step in SSH_STEPS]
        assert {each.step: each.finding for each in found}["handshake"].startswith("SSH-2.0-OpenSSH")

        await real_guest.kill_engine()
        assert failed(await checked(one, "real")) == [("socket", "engine-down")]
        real_guest.key_options = RESTRICTED_KEY
        await real_guest.authorize((line,))
        assert failed(await checked(one, "real")) == [("socket", "engine-down")]
        await real_guest.kill_sshd()
        assert failed(await checked(one, "real")) == [("port", "refused")]
        await real_guest.cut()
        assert failed(await checked(one, "real")) in ([("port", "timed-out")], [("port", "unreachable")])
        assert one.core.commands.vms.host_keys(one.vm("real").id).state == "none"
        link = one.vm("real").link
        assert link is None or link.host_key == ""
