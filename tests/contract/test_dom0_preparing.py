"""What a control domain may ask about preparing: for VMs of its own pool, by the token alone, and within limits."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from roadstead.act.plugin import dom0_preparing
from roadstead.act.preparing.conversation import Answers, GuestPreparation
from roadstead.act.preparing.preparing import Preparing
from roadstead.errors import ConflictError
from tests.contract.plugged import Plugin, plugged
from tests.contract.world import add, lab

PASSWORD = "not for anybody's eyes"


async def _step(client: Plugin, vm: str, host: str = "", **answers: Any) -> dict[str, Any]:
    told = await client.call("prepare", vmuuid=vm, hostuuid=host, answers=json.dumps(answers))
    found: dict[str, Any] = json.loads(told)
    return found


async def _refused(client: Plugin, vm: str, answers: object, host: str = "") -> tuple[int, str]:
    text = answers if isinstance(answers, str) else json.dumps(answers)
    return await client.refused("prepare", vmuuid=vm, hostuuid=host, answers=text)


async def test_the_conversation_is_led_and_who_leads_it_is_noted(tmp_path: Path) -> None:
    """Each call carries all answers and returns the next question; the audit names the host, if the pool has it."""
    async with plugged(tmp_path, vms=1) as client:
        one, vm = client.one, client.one.vm("vm-1").id
        host = next(iter(one.core.store.hosts.values()))
        await one.until_live("vm-1")
        asked = await _step(client, vm, host.id)
        assert (asked["state"], asked["question"], asked["name"]) == ("asks", "sign-in", "vm-1")
        assert (await _refused(client, vm, {"password": PASSWORD}, host.id))[0] == 409
        await _refused(client, vm, {"password": PASSWORD}, "elsewhere")
        told = [(entry.what, entry.who, entry.target) for entry in await one.core.commands.audit.recent(9)]
        pool = one.core.store.pools[one.pool_id]
        assert ("prepare: look", f"root in the control domain of {host.name} ({pool.name}, {pool.id})", vm) in told
        assert any("a host that is not known" in who for _, who, _ in told)
        assert PASSWORD not in str(told)


async def test_only_vms_of_the_pool_and_only_with_its_token(tmp_path: Path) -> None:
    """Another pool's VM is one that is not there, and that is noted."""
    async with plugged(tmp_path, vms=1) as client, lab(tmp_path / "other", ["other"], seed=7) as (second, _):
        one = client.one
        await add(one, second)
        other = next(vm for vm in one.core.store.vms.values() if vm.name == "other")
        assert await _refused(client, other.id, {}) == (404, "no-such-vm")
        assert await _refused(client, "x", {}) == (404, "no-such-vm")
        body = {"function": "prepare", "arguments": {"vmuuid": "x", "hostuuid": "", "answers": "{}"}}
        assert (await client.send(body, token="guess"))[0] == 401
        failed = [(entry.what, entry.code) for entry in await one.core.commands.audit.recent(9)]
        assert failed.count(("prepare", "no-such-vm")) == 2


@pytest.mark.parametrize(
    ("answers", "code", "field"),
    [
        ("", "field-invalid", "answers"),
        ("[]", "field-invalid", "answers"),
        ("{" * 5000, "field-invalid", "answers"),
        ({"password": [PASSWORD]}, "field-invalid", "password"),
        ({PASSWORD: 1}, "field-invalid", ""),
        ({"private_key": PASSWORD * 5000}, "field-invalid", "private_key"),
        ({"password": "x", "private_key": "y"}, "field-invalid", "password"),
        ({"user": f"{PASSWORD}\n"}, "field-invalid", "user"),
        ("x" * 400_000, "body-too-large", ""),
    ],
)
async def test_what_is_no_answer_is_named_and_not_repeated(
    tmp_path: Path, answers: object, code: str, field: str
) -> None:
    """The field and the reason, never the value: it may be a password in the wrong place."""
    async with plugged(tmp_path, vms=1) as client:
        text = answers if isinstance(answers, str) else json.dumps(answers)
        arguments = {"vmuuid": client.one.vm("vm-1").id, "hostuuid": "", "answers": text}
        status, told = await client.send({"function": "prepare", "arguments": arguments})
        assert (told["code"], status) == (code, 422 if code == "field-invalid" else 413)
        assert told.get("fields", {}).get("field", "").startswith(field)
        if not (isinstance(answers, dict) and PASSWORD in answers):
            assert PASSWORD not in str(told)
        status, told = await client.send({"function": "prepare", "arguments": {"vmuuid": "x"}})
        assert (status, told["code"]) == (422, "plugin-argument-missing")


async def test_wrong_passwords_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several at once are no way around; another VM is not kept out; after a while it may be tried again."""
    guesses = 0

    async def step(_: Preparing, vm: str, answers: Answers) -> GuestPreparation:
        nonlocal guesses
        if answers.password == PASSWORD:
            return GuestPreparation(vm=vm, name="", user="", state="prepared")
        guesses += 1
        await asyncio.sleep(0)
        raise ConflictError("guest-sign-in-failed", vm=vm, user="core", address="", left="")

    monkeypatch.setattr(Preparing, "step", step)
    monkeypatch.setattr(dom0_preparing, "GUESSES_SECONDS", 1000.0)
    async with plugged(tmp_path, vms=2) as client:
        vm, other = (client.one.vm(name).id for name in ("vm-1", "vm-2"))
        for _ in range(3):
            assert (await _step(client, vm, password=PASSWORD))["state"] == "prepared"
        codes: list[tuple[int, str]] = []
        for _ in range(4):
            codes += await asyncio.gather(*(_refused(client, vm, {"password": "guess"}) for _ in range(3)))
        assert guesses == dom0_preparing.GUESSES
        assert codes.count((409, "guest-sign-in-failed")) == guesses
        assert codes.count((429, "guest-guesses-spent")) == 12 - guesses
        assert await _refused(client, vm, {"password": PASSWORD}) == (429, "guest-guesses-spent")
        assert (await _step(client, other, password=PASSWORD))["state"] == "prepared"
        monkeypatch.setattr(dom0_preparing, "GUESSES_SECONDS", 0.0)
        assert (await _step(client, vm, password=PASSWORD))["state"] == "prepared"


async def test_one_pool_does_not_take_all_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More calls at once than may be are refused; those that end make room, also where they fail."""
    gate, limit = asyncio.Event(), dom0_preparing.IN_FLIGHT
    all_in = asyncio.Barrier(limit + 1)

    async def step(_: Preparing, vm: str, answers: Answers) -> GuestPreparation:
        if not gate.is_set():
            await all_in.wait()
        await gate.wait()
        return GuestPreparation(vm=vm, name="", user="", state="prepared")

    monkeypatch.setattr(Preparing, "step", step)
    async with plugged(tmp_path, vms=1) as client, asyncio.TaskGroup() as group:
        vm = client.one.vm("vm-1").id
        held = [group.create_task(_step(client, vm)) for _ in range(limit)]
        await all_in.wait()
        assert await _refused(client, vm, {}) == (503, "too-many-preparations")
        gate.set()
        assert [(await task)["state"] for task in held] == ["prepared"] * limit
        assert (await _step(client, vm))["state"] == "prepared"
