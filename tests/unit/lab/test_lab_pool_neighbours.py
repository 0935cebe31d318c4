"""A lab with a past and a neighbour: the old pack's keys, a second pool, and a VM that is brought from it."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import re
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import aiohttp
import asyncssh
import pytest

from roadstead.errors import ConflictError, InputError
from roadstead.lab.main import LabOptions, LabReady, run_lab
from roadstead.lab.orders import lab_do
from roadstead.lab.pool import historic
from tests.unit.lab.pool_support import Client

LISTS = ("docker_ps", "docker_info", "docker_version")


@asynccontextmanager
async def lab(options: LabOptions) -> AsyncIterator[LabReady]:
    """A lab that runs for the length of the block."""
    ready: asyncio.Future[LabReady] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run_lab(options, ready=ready.set_result))
        try:
            yield await ready
        finally:
            running.cancel()


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Wait until no other test here runs a lab: the guests of both would have the same addresses."""
    with (tmp_path_factory.getbasetemp().parent / "simulated-guests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(autouse=True)
def _small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large keys take long to make."""
    monkeypatch.setattr(historic, "_BITS", 2048)


def options(state: Path, **changes: Any) -> LabOptions:
    """Two small pools with simulated guests and the old pack's keys."""
    return replace(LabOptions(state, hosts=1, vms=1, containers=2, port=0, historic=True, second=1), **changes)


@dataclass
class Side:
    """One pool of the lab, as a client of it sees it."""

    client: Client
    state: Path

    async def config(self, name: str) -> dict[str, str]:
        """The keys of a VM."""
        (vm,) = await self.client.call("VM.get_by_name_label", name)
        found: dict[str, str] = await self.client.call("VM.get_other_config", vm)
        return found

    async def key(self) -> asyncssh.SSHKey:
        """The pool's private key."""
        pools = await self.client.call("pool.get_all_records")
        config = next(iter(pools.values()))["other_config"]
        secret = await self.client.call("secret.get_by_uuid", config[historic.PRIVATE])
        return asyncssh.import_private_key(await self.client.call("secret.get_value", secret))

    async def address(self, name: str) -> str:
        """What a VM announces."""
        (vm,) = await self.client.call("VM.get_by_name_label", name)
        metrics = await self.client.call("VM.get_guest_metrics", vm)
        networks = await self.client.call("VM_guest_metrics.get_networks", metrics)
        return str(networks["0/ip"])


@asynccontextmanager
async def side(web: Any, ready: LabReady) -> AsyncIterator[Side]:
    """A client of one of the lab's pools."""
    client = Client(web, ready.url)
    password = ready.password_file.read_text().strip()
    client.session = await client.bare("session.login_with_password", "root", password, "1.0", "test")
    yield Side(client, ready.state)


async def admitted(address: str, key: asyncssh.SSHKey) -> str:
    """Sign in to a guest; its host key in base64, or an empty string when the key does not open it."""
    try:
        async with asyncssh.connect(
            address, 2222, username="core", client_keys=[key], known_hosts=None, config=None, agent_path=None
        ) as connection:
            shown = connection.get_server_host_key()
            assert shown is not None
            return base64.b64encode(shown.public_data).decode()
    except asyncssh.PermissionDenied:
        return ""


async def test_old_packs_keys_are_there(tmp_path: Path) -> None:
    """The pool has the old pack's key pair, which opens its guests; each VM has its marks, its pin and stale lists."""
    async with lab(options(tmp_path, second=0)) as ready, aiohttp.ClientSession() as web, side(web, ready) as one:
        config = await one.config("web-1")
        opened = await admitted(await one.address("web-1"), await one.key())

    assert (config["xscontainer-monitor"], config["xscontainer-mode"]) == ("True", "ssh")
    assert config["xscontainer-username"] == "core"
    assert opened == config["xscontainer-sshhostkey"]
    roots = {name: ET.fromstring(config[name]) for name in LISTS}  # noqa: S314 - the lab's own
    assert {name: root.tag for name, root in roots.items()} == {name: name for name in LISTS}
    entries = roots["docker_ps"].findall("item/entry")
    assert [len(entry.findtext("container", "")) for entry in entries] == [10, 10]


async def test_second_pool_is_a_pool_of_its_own(tmp_path: Path) -> None:
    """It has other hosts, ids, guests and keys; `--json` tells both."""
    async with lab(options(tmp_path / "lab")) as ready, aiohttp.ClientSession() as web:
        assert ready.second is not None
        told = json.loads(ready.line)
        async with side(web, ready) as one, side(web, ready.second) as two:
            pools = [next(iter((await each.client.call("pool.get_all_records")).values())) for each in (one, two)]
            theirs = await two.address("queue-101")
            assert await admitted(theirs, await two.key())
            assert not await admitted(theirs, await one.key())
        truth = await lab_do(tmp_path / "lab" / "second", "truth")
        assert stat.S_IMODE((tmp_path / "lab").stat().st_mode) == 0o700

    assert re.match(r"https://127\.88\.1\.1:\d+$", told["second"]["url"])
    networks = [told["admit"], told["second"]["admit"]]
    assert all(re.fullmatch(r"127\.\d+\.0\.0/16", network) for (network,) in networks)
    assert networks[0] != networks[1]
    assert [pool["name_label"] for pool in pools] == ["lab", "lab-2"]
    assert pools[0]["uuid"] != pools[1]["uuid"]
    assert [vm["name"] for vm in truth.values() if isinstance(vm, dict)] == ["queue-101"]


async def test_brought_vm_keeps_its_own_until_it_is_admitted(tmp_path: Path) -> None:
    """A VM that is brought over has its uuid, keys and guest, which knows the old pool's key only, until it is told."""
    async with lab(options(tmp_path)) as ready, aiohttp.ClientSession() as web:
        assert ready.second is not None
        async with side(web, ready) as one, side(web, ready.second) as two:
            before, address = await two.config("queue-101"), await two.address("queue-101")
            brought = await lab_do(tmp_path, "bring", "queue-101")
            assert (brought["state"], brought["addresses"]) == ("running", [address])
            assert await one.config("queue-101") == before
            assert await two.client.call("VM.get_by_name_label", "queue-101") == []
            assert await admitted(address, await two.key())
            assert not await admitted(address, await one.key())
            await lab_do(tmp_path, "admit", "queue-101")
            assert await admitted(address, await one.key()) == before["xscontainer-sshhostkey"]
    async with lab(options(tmp_path)) as ready, aiohttp.ClientSession() as web, side(web, ready) as one:
        assert await admitted(await one.address("queue-101"), await one.key())
        made = await lab_do(tmp_path / "second", "create", "new")
    assert made["addresses"] != [address]


async def test_what_cannot_be_brought(tmp_path: Path) -> None:
    """Without a second pool there is nothing to bring, and without a key nothing to admit."""
    async with lab(options(tmp_path, second=0, historic=False)):
        with pytest.raises(ConflictError) as refused:
            await lab_do(tmp_path, "bring", "queue-101")
        assert refused.value.code == "lab-without-second-pool"
        with pytest.raises(ConflictError) as refused:
            await lab_do(tmp_path, "admit", "web-1")
        assert refused.value.code == "lab-without-pool-key"


@pytest.mark.parametrize(("changes", "field"), [({"second": -1}, "--second-pool"), ({"profile": "7.6"}, "--profile")])
async def test_impossible_neighbours_are_refused(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    """Options that make no sense are named."""
    with pytest.raises(InputError) as refused:
        await run_lab(options(tmp_path / "lab", **changes), ready=print)
    assert refused.value.fields["field"] == field
