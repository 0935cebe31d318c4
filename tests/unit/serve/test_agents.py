"""An SSH agent is lent over a stream: for one VM, to whoever lends it, and as long as that stream is read."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from roadstead.act.audit import Actor, acting
from roadstead.act.preparing import lent_agents
from roadstead.act.preparing.lent_agents import LentAgents
from roadstead.errors import ConflictError, InputError
from roadstead.model import VmId
from roadstead.serve.borders import LOCAL
from tests.unit.serve import stage

KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"\0\0\0\x20" + b"k" * 32).decode()
URL = "http://localhost/api/v1/vms/vm-1/agent"


async def line(stream: Any) -> Any:
    """The next one that says something."""
    while not (said := (await stream.content.readline()).strip()):
        pass
    return json.loads(said)


async def test_what_is_asked_is_answered(tmp_path: Path) -> None:
    """A request to sign comes by the stream; the answer names it, and whoever asked has the signature."""
    async with stage.running(tmp_path) as api:
        agents = api.world.commands.agents
        async with api.client.post(URL, json={"keys": [KEY]}) as stream:
            name = (await line(stream))["agent"]
            with acting(LOCAL.actor):
                agent = agents.sign_in(VmId("vm-1"), name)
            agent.pairs()
            async with asyncio.TaskGroup() as group:
                signing = group.create_task(agent.sign(base64.b64decode(KEY), b"data", 2))
                asked = await line(stream)
                assert asked | {"request": ""} == {
                    "agent": "", "request": "", "key": KEY, "data": base64.b64encode(b"data").decode(), "flags": 2,
                }  # fmt: skip
                said = {"agent": name, "request": asked["request"], "signature": base64.b64encode(b"s").decode()}
                await api.ask("POST", "/vms/vm-1/agent/answer", json={**said, "request": "another", "refusal": "no"})
                await api.ask("POST", "/vms/vm-1/agent/answer", json=said)
            assert signing.result() == b"s"
            with pytest.raises(ValueError, match="already"):
                await agent.sign(base64.b64decode(KEY), b"data", 2)
            agent.pairs()
            async with asyncio.TaskGroup() as group:
                refused = group.create_task(refusal(agent.sign(base64.b64decode(KEY), b"data", 2)))
                await line(stream)
                stream.close()
            assert refused.result() == agent.refusal == lent_agents.GONE
        answer = await api.ask("POST", "/vms/vm-1/agent/answer", status=409, json=said)
        assert answer["code"] == "agent-gone"


async def refusal(signing: Any) -> str:
    """Why it was not signed."""
    with pytest.raises(ValueError, match="it") as caught:
        await signing
    return str(caught.value)


async def test_nobody_elses_agent_is_used(tmp_path: Path) -> None:
    """Not for another VM, and not by another caller, whatever name is known."""
    agents = LentAgents()
    with acting(Actor("ann")):
        lent = agents.lend(VmId("vm-1"), [KEY])
        assert agents.sign_in(VmId("vm-1"), lent.id).keys == (KEY,)
        with pytest.raises(ConflictError, match="lent no longer"):
            agents.sign_in(VmId("vm-2"), lent.id)
    with acting(Actor("bob")), pytest.raises(ConflictError, match="lent no longer"):
        agents.sign_in(VmId("vm-1"), lent.id)
    agents.take_back(lent)
    with acting(Actor("ann")), pytest.raises(ConflictError, match="lent no longer"):
        agents.sign_in(VmId("vm-1"), lent.id)


async def test_what_is_lent_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many agents, five keys of each of types that are taken, and so long for a signature."""
    monkeypatch.setattr(lent_agents, "SIGN_SECONDS", 0.01)
    agents = LentAgents()
    unknown = base64.b64encode(b"\0\0\0\x07ssh-dss" + b"\0\0\0\1x").decode()
    with pytest.raises(InputError, match="Ed25519"):
        agents.lend(VmId("vm-1"), [unknown, "no base64"])
    keys = [base64.b64encode(base64.b64decode(KEY)[:-1] + bytes([each])).decode() for each in range(9)]
    lent = [agents.lend(VmId("vm-1"), [unknown, *keys]) for _ in range(lent_agents.AGENTS)]
    with pytest.raises(ConflictError) as caught:
        agents.lend(VmId("vm-1"), keys)
    assert caught.value.code == "too-many-agents"
    agent = agents.sign_in(VmId("vm-1"), lent[0].id)
    assert agent.keys == tuple(keys[:5])
    agent.pairs()
    assert "no signature within" in await refusal(agent.sign(base64.b64decode(keys[0]), b"", 0))
