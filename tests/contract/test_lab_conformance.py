"""The lab's pool against the recorded answers of a real one, and against a client that we did not write."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import xmlrpc.client
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import XenAPI

from roadstead.lab.main import LABPLUG, LabOptions, LabReady, run_lab
from roadstead.lab.pool.server import LabPool

DATA = Path(__file__).parents[1] / "data" / "xapi"
RECORDED = DATA / "real-xapi-26.17.jsonl"


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of one host with two VMs."""
    async with LabPool(tmp_path / "lab", hosts=1) as running:
        running.add_bare_vms("vm1", "vm2")
        await running.core.plugins.install(LABPLUG)
        yield running


async def _probe(*arguments: str, password: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(DATA / "probe"),
        *arguments,
        env={**os.environ, "XAPI_PASSWORD": password},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode()


@asynccontextmanager
async def _lab(state: Path) -> AsyncIterator[LabReady]:
    """A lab as `roadstead lab --conformance` runs it, with one host as the recorded pool had."""
    ready: asyncio.Future[LabReady] = asyncio.get_running_loop().create_future()
    options = LabOptions(state, hosts=1, vms=0, guests="none", port=0, conformance=True)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run_lab(options, ready=ready.set_result))
        try:
            yield await ready
        finally:
            running.cancel()


@pytest.mark.limit(60)
async def test_answers_are_those_of_a_real_pool(tmp_path: Path) -> None:
    """Played the recorded script of 185 checks, the lab answers as the real pool did."""
    mine = tmp_path / "mine.jsonl"

    async with _lab(tmp_path / "lab") as lab:
        password = lab.password_file.read_text().strip()
        checked = await _probe("check", lab.url, password=password)
        await _probe("run", lab.url, "--output", str(mine), password=password)
    compared = await _probe("compare", str(RECORDED), str(mine))

    assert checked == "The pool has all that a run needs.\n"
    assert "185 checks in the reference, 185 in the other, 0 unexpected differences" in compared, compared


def test_probes_plugin_is_one_file() -> None:
    """The plugin that the lab brings is the one that the recorded pool had."""
    assert LABPLUG.read_bytes() == (DATA / "labplug").read_bytes()


def _tour(url: str, password: str) -> dict[str, Any]:
    """What PyPI's client sees of a pool; it knows XML-RPC only and waits."""
    with XenAPI.Session(url, ignore_ssl=True) as session:
        session.xenapi.login_with_password("root", password, "1.0", "tour")
        seen = _seen(session.xenapi)
        session.xenapi.session.logout()
    return seen


def _seen(api: Any) -> dict[str, Any]:
    vm = api.VM.get_by_name_label("vm1")[0]
    api.VM.add_to_other_config(vm, "key", "é <&>")
    first = getattr(api.event, "from")(["VM"], "", 0.0)
    api.VM.set_name_label(vm, "renamed")
    second = getattr(api.event, "from")(["VM"], first["token"], 5.0)
    seen = {
        "record": api.VM.get_record(vm),
        "first": len(first["events"]),
        "second": [(event["class"], event["operation"]) for event in second["events"]],
        "snapshot": second["events"][0]["snapshot"]["name_label"],
        "master": api.host.get_address(api.pool.get_master(api.pool.get_all()[0])),
    }
    with pytest.raises(XenAPI.Failure) as refused:
        api.VM.clean_shutdown(vm)
    return {**seen, "failure": refused.value.details}


async def test_client_from_pypi_works_over_xml(pool: LabPool) -> None:
    """PyPI's XenAPI signs in, reads and writes records, gets events and refusals, and signs out."""
    seen = await asyncio.to_thread(_tour, pool.url, pool.password)

    assert seen["record"]["other_config"] == {"key": "é <&>"}
    assert seen["record"]["domid"] == "-1"
    assert seen["record"]["is_a_template"] is False
    assert seen["first"] == 4
    assert seen["second"] == [("vm", "mod")]
    assert seen["snapshot"] == "renamed"
    assert seen["master"] == "127.88.0.1"
    assert seen["failure"][0] == "VM_BAD_POWER_STATE"
    assert len(pool.core.sessions) == 0


def _disks_and_messages(url: str, password: str) -> dict[str, Any]:
    """What PyPI's client, for which numbers are strings, sees of disks, drives and messages."""
    with XenAPI.Session(url, ignore_ssl=True) as session:
        session.xenapi.login_with_password("root", password, "1.0", "disks")
        api = session.xenapi
        vm = api.VM.get_by_name_label("vm1")[0]
        uuid, (sr,) = api.VM.get_uuid(vm), api.SR.get_by_name_label("labsr")
        disk = {"SR": sr, "virtual_size": "1048576", "type": "system", "sharable": False, "read_only": False}
        vdi = api.VDI.create({**disk, "name_label": "Automatic Config Drive", "other_config": {"config-drive": "True"}})
        qos = {"qos_algorithm_type": "", "qos_algorithm_params": {}}
        device = {"VM": vm, "VDI": vdi, "userdevice": "0", "bootable": False, "mode": "RO", "type": "Disk", **qos}
        vbd = api.VBD.create({**device, "empty": False, "other_config": {}})
        message = api.message.create("Container Management cannot monitor VM", "3", "VM", uuid, "é <&>\n")
        seen = {
            "size": api.VDI.get_virtual_size(vdi),
            "vbd": api.VBD.get_record(vbd),
            "since": list(api.message.get_since(xmlrpc.client.DateTime(0))),
            "of_vm": list(api.message.get("VM", uuid, xmlrpc.client.DateTime("20990101T00:00:00Z"))),
            "message": api.message.get_record(message),
        }
        session.xenapi.session.logout()
    return {**seen, "ref": message}


async def test_client_from_pypi_makes_disks_and_messages(pool: LabPool) -> None:
    """PyPI's XenAPI makes a config drive and a message over XML-RPC, and reads them as XAPI writes them."""
    seen = await asyncio.to_thread(_disks_and_messages, pool.url, pool.password)

    assert seen["size"] == "4194304"
    assert (seen["vbd"]["allowed_operations"], seen["vbd"]["currently_attached"]) == (["attach"], False)
    assert (seen["since"], seen["of_vm"]) == ([seen["ref"]], [])
    assert (seen["message"]["priority"], seen["message"]["body"]) == ("3", "é <&>\n")


def _plugins(url: str, password: str, hosts: list[str]) -> list[Any]:
    """What PyPI's client gets of a plugin on each host, directly and by a task."""
    with XenAPI.Session(url, ignore_ssl=True) as session:
        session.xenapi.login_with_password("root", password, "1.0", "plugins")
        api = session.xenapi
        told = [api.host.call_plugin(host, "labplug", "who", {}) for host in hosts]
        task = api.Async.host.call_plugin(hosts[1], "labplug", "echo", {"a": "é <&>"})
        while api.task.get_status(task) == "pending":
            time.sleep(0.05)
        told.append(api.task.get_result(task))
        with pytest.raises(XenAPI.Failure) as refused:
            api.host.call_plugin(hosts[0], "labplug", "fail", {})
        told.append(list(refused.value.details))
        session.xenapi.session.logout()
    return told


async def test_client_from_pypi_calls_plugins_on_two_hosts(tmp_path: Path) -> None:
    """PyPI's XenAPI runs a plugin on the master and on a member, at once and as a task, and gets its failures."""
    async with LabPool(tmp_path / "lab", hosts=2) as pool:
        await pool.core.plugins.install(LABPLUG)
        hosts = [pool.host_ref(1), pool.host_ref(2)]

        told = await asyncio.to_thread(_plugins, pool.url, pool.password, hosts)

    assert told == ["'root'", "''", "<value>[('a', 'é &lt;&amp;&gt;')]</value>", ["MY_CODE", "a", "b"]]


async def test_member_sends_pypi_client_to_the_master(tmp_path: Path) -> None:
    """A member answers PyPI's client with the master's address, before it looks at the password."""
    async with LabPool(tmp_path / "lab", hosts=2) as pool:

        def sign_in() -> list[str]:
            with XenAPI.Session(pool.urls[1], ignore_ssl=True) as session, pytest.raises(XenAPI.Failure) as refused:
                session.xenapi.login_with_password("root", "wrong")
            return list(refused.value.details)

        assert await asyncio.to_thread(sign_in) == ["HOST_IS_SLAVE", "127.88.0.1"]
