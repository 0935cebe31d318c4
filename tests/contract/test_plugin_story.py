"""What XenCenter, Xen Orchestra and xe do with containers, from their call to the container and back.

PyPI's client of XAPI calls the very plugin file on the hosts of a lab pool; the plugin finds its server and its token
in the pool; what happened is read where these clients read it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.contract.plugged import Plugin, plugged
from tests.contract.pool_clients import PLUGIN, Clients
from tests.unit.artifacts import xencenter


async def _prepared(client: Plugin) -> tuple[Clients, str, str, str]:
    one = client.one
    await one.pool.core.plugins.install(PLUGIN)
    vm = one.vm("vm-1").id
    container = next(each for each in one.containers("vm-1").values() if each.state == "running")
    return Clients(one), vm, container.name, container.engine_id


@pytest.mark.limit(60)
async def test_actions_go_through_any_host_and_show_where_clients_look(tmp_path: Path) -> None:
    """By the short id, as XenCenter and Xen Orchestra call them, on the master and on a member."""
    async with plugged(tmp_path) as client:
        clients, vm, name, engine_id = await _prepared(client)
        await clients.until_shown(vm, name, "Up")
        for host, function, status in (
            (0, "pause", "Up (Paused)"),
            (1, "unpause", "Up"),
            (1, "stop", "Exited (137)"),
            (0, "start", "Up"),
        ):
            assert await clients.call(host, function, vmuuid=vm, container=engine_id[:10]) == "True"
            await client.one.until(lambda: client.one.agrees("vm-1"), f"{function} is known")
            if function != "stop":
                await clients.until_shown(vm, name, status)
            else:
                async with asyncio.timeout(12):
                    while not (await clients.shown(vm))[name].startswith("Exited ("):
                        await asyncio.sleep(0.1)


@pytest.mark.limit(60)
async def test_what_is_shown_of_one_container_reads_as_it_always_did(tmp_path: Path) -> None:
    """Details by the full id, processes by the name; both behind ``True``."""
    async with plugged(tmp_path, vms=1) as client:
        clients, vm, name, engine_id = await _prepared(client)
        details = await clients.call(1, "get_inspect", vmuuid=vm, object=engine_id)
        processes = await clients.call(0, "get_top", vmuuid=vm, object=name)

        assert details.startswith("True<")
        assert "Id" in xencenter.tree(details.removeprefix("True"))
        assert xencenter.processes(processes.removeprefix("True"))


@pytest.mark.limit(60)
async def test_monitoring_ends_and_begins(tmp_path: Path) -> None:
    """Deregister takes away what was published, register brings it back."""
    async with plugged(tmp_path, vms=1) as client:
        clients, vm, name, _ = await _prepared(client)
        await clients.until_shown(vm, name, "Up")
        assert await clients.call(0, "deregister", vmuuid=vm) == "TrueNone"
        async with asyncio.timeout(12):
            while "docker_ps" in await clients.config(vm):
                await asyncio.sleep(0.1)
        assert (await clients.config(vm))["xscontainer-monitor"] == "False"
        assert await clients.call(1, "register", vmuuid=vm) == "TrueNone"
        await clients.until_shown(vm, name, "Up")


@pytest.mark.limit(60)
async def test_failures_are_xapis_own(tmp_path: Path) -> None:
    """With a sentence that a person understands; the call itself never breaks."""
    async with plugged(tmp_path, vms=1) as client:
        clients, vm, _, _ = await _prepared(client)

        assert (await clients.failure("format_disk"))[:2] == ["UNKNOWN_XENAPI_PLUGIN_FUNCTION", "format_disk"]
        missing = await clients.failure("start", vmuuid=vm)
        assert missing[:2] == ["XENAPI_PLUGIN_FAILURE", "start"]
        unknown = await clients.failure("start", vmuuid=vm, container="nothing")
        assert unknown[:3] == ["XENAPI_PLUGIN_FAILURE", "start", "no-such-container"]
        assert "nothing" in unknown[3]
        await client.one.core.commands.plugin_access.disable(client.one.pool_id)
        assert (await clients.failure("start", vmuuid=vm, container="x"))[2] == "plugin-not-set-up"
