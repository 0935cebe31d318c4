"""The lab's pool against npm's xen-api, the client that Xen Orchestra itself uses."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from roadstead.lab.main import LABPLUG
from roadstead.lab.pool.profiles import PROFILES
from roadstead.lab.pool.server import LabPool
from tests.contract.npm import NODE, package

SCRIPT = Path(__file__).with_name("xen_api_client.mjs")


@pytest.mark.limit(60)
@pytest.mark.parametrize("profile", list(PROFILES))
async def test_xen_orchestras_client_watches_the_pool(tmp_path: Path, profile: str) -> None:
    """It reads all objects, sees a key appear, writes keys of its own, and runs a plugin as a task."""
    pool = LabPool(tmp_path / "lab", hosts=2)
    pool.profile = PROFILES[profile]
    async with pool:
        await pool.create_vm("web-1", addresses=("10.0.0.1",))
        await pool.core.plugins.install(LABPLUG)
        client = await asyncio.create_subprocess_exec(
            NODE,
            SCRIPT,
            package("xen-api") / "index.mjs",
            pool.url,
            "web-1",
            env={**os.environ, "XAPI_PASSWORD": pool.password},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            await _conversation(pool, client.stdout)
            assert await client.wait() == 0
        finally:
            if client.returncode is None:
                client.kill()
                await client.wait()


async def _conversation(pool: LabPool, told: asyncio.StreamReader | None) -> None:
    assert told is not None

    async def line() -> Any:
        return json.loads(await told.readline())

    seen = await line()
    assert (seen["pool"], seen["running"]) == ("lab", "Running")
    assert seen["host"].startswith("lab-host-")
    assert {"VM": 4, "host": 2, "pool": 1, "SR": 2, "PBD": 4}.items() <= seen["count"].items()

    vm = pool.find("web-1")
    config = pool.core.vm(vm)["other_config"]
    pool.core.database.write("VM", vm, "other_config", {**config, "docker_ps": "<docker_ps/>"})
    assert await line() == {"docker_ps": "<docker_ps/>"}

    assert await line() == {"answer": "done", "refused": ["MY_CODE", "a", "b"]}
    assert pool.core.vm(vm)["other_config"] == {**config, "written": "é <&>"}
