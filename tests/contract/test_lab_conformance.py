"""The lab's pool against the recorded answers of a real one, and against a client that we did not write."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import XenAPI

from roadstead.lab.pool.server import LabPool

DATA = Path(__file__).parents[1] / "data" / "xapi"
RECORDED = DATA / "real-xapi-26.17.jsonl"


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of one host with what the probe wants."""
    async with LabPool(tmp_path / "lab", hosts=1) as running:
        running.add_bare_vms("vm1", "vm2")
        await running.core.plugins.install(DATA / "labplug")
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


@pytest.mark.limit(60)
async def test_answers_are_those_of_a_real_pool(pool: LabPool, tmp_path: Path) -> None:
    """Played the recorded script of 185 checks, the pool answers as the real one did."""
    mine = tmp_path / "mine.jsonl"

    await _probe("run", pool.url, "--output", str(mine), password=pool.password)
    compared = await _probe("compare", str(RECORDED), str(mine))

    assert "185 checks in the reference, 185 in the other, 0 unexpected differences" in compared, compared


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


async def test_member_sends_pypi_client_to_the_master(tmp_path: Path) -> None:
    """A member answers PyPI's client with the master's address, before it looks at the password."""
    async with LabPool(tmp_path / "lab", hosts=2) as pool:

        def sign_in() -> list[str]:
            with XenAPI.Session(pool.urls[1], ignore_ssl=True) as session, pytest.raises(XenAPI.Failure) as refused:
                session.xenapi.login_with_password("root", "wrong")
            return list(refused.value.details)

        assert await asyncio.to_thread(sign_in) == ["HOST_IS_SLAVE", "127.88.0.1"]
