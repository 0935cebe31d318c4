"""What the plugin of a pool may ask over its own TLS listener: every function, for its pool's VMs, and nothing else."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import structlog

from roadstead.errors import ConflictError
from roadstead.model.config_keys import PLUGIN_FINGERPRINT, PLUGIN_TOKEN_SECRET, PLUGIN_URL
from roadstead.serve import plugin
from tests.contract.plugged import plugged
from tests.contract.world import World, add, lab, world

HOSTILE = ("Web.Server-1_X", "über & <b>", "]]> <!DOCTYPE x [", "a'b\"c", "x" * 3000, "-rf", "..", "\u202eevil")


def _config(one: World) -> dict[str, str]:
    config: dict[str, str] = one.pool.core.database.get("pool", one.pool.core.pool)["other_config"]
    return config


def _xml(said: str) -> ET.Element:
    assert said.startswith("True<")
    return ET.fromstring(said.removeprefix("True"))  # noqa: S314 - it is our own, and must be well-formed


def _messages(one: World) -> Iterator[tuple[str, str, str]]:
    for row in one.pool.core.database.table("message").rows.values():
        yield row.record["name"], row.record["body"], row.record["obj_uuid"]


def _secrets(one: World) -> set[str]:
    return {row.record["uuid"] for row in one.pool.core.database.table("secret").rows.values()}


async def test_containers_are_controlled_by_short_id_full_id_and_name(tmp_path: Path) -> None:
    """Every action in every form of name that clients use; what it does comes back as a fact."""
    async with plugged(tmp_path) as client:
        one = client.one
        vm = one.vm("vm-1").id
        target = next(each for each in one.containers("vm-1").values() if each.state == "running")
        steps = [("pause", "paused"), ("unpause", "running"), ("stop", "exited"), ("start", "running")]
        for function, state in [*steps, ("restart", "running")]:
            for named in (target.engine_id[:10], target.engine_id, target.name, target.engine_id[:4]):
                if named != target.engine_id[:10] and function in {"pause", "unpause"}:
                    continue  # these are refused the second time
                assert await client.call(function, vmuuid=vm, container=named) == "True"
            await one.until(lambda wanted=state: one.containers("vm-1")[target.name].state == wanted, state)  # type: ignore[misc]


async def test_monitoring_is_switched_by_the_same_command(tmp_path: Path) -> None:
    """Deregister ends it, register begins it; the answer is the old pack's."""
    async with plugged(tmp_path, vms=1) as client:
        one, vm = client.one, client.one.vm("vm-1").id
        assert await client.call("deregister", vmuuid=vm) == "TrueNone"
        await one.until(lambda: not one.vm("vm-1").enabled, "disabled")
        assert await client.refused("start", vmuuid=vm, container="web") == (409, "vm-not-enabled")
        assert await client.call("register", vmuuid=vm) == "TrueNone"
        await one.until_live("vm-1")


async def test_inspection_and_processes_are_xml_behind_true(tmp_path: Path) -> None:
    """In the form that XenCenter reads; names with upper case and worse are found, and break nothing."""
    async with plugged(tmp_path, vms=1, containers=len(HOSTILE)) as client:
        one, vm = client.one, client.one.vm("vm-1").id
        engine = one.guest("vm-1").engine
        for container, name in zip(one.containers("vm-1").values(), HOSTILE, strict=True):
            found = engine.find(container.engine_id)
            assert found is not None
            engine.rename(found, name)
        await one.until(lambda: set(HOSTILE) <= set(one.containers("vm-1")), "renamed")
        for name, container in one.containers("vm-1").items():
            said = await client.call("get_inspect", vmuuid=vm, object=name)
            root = _xml(said)
            assert (root.tag, root.findtext("Id")) == ("docker_inspect", container.engine_id)
        running = next(each for each in one.containers("vm-1").values() if each.state == "running")
        root = _xml(await client.call("get_top", vmuuid=vm, object=running.name))
        assert root.tag == "docker_top"
        assert all(each.findtext(name) for each in root.iter("Process") for name in ("PID", "CMD", "TIME"))
        assert list(root.iter("Process"))


async def test_what_cannot_be_done_has_a_code(tmp_path: Path) -> None:
    """So that the plugin can give each failure the shape that XAPI's clients know."""
    async with plugged(tmp_path, vms=1) as client:
        vm = client.one.vm("vm-1").id
        assert await client.refused("install_vm", url="x") == (403, "not-offered")
        assert await client.refused("passthrough", vmuuid=vm, command="id") == (403, "not-offered")
        assert await client.refused("format_disk") == (404, "plugin-function-unknown")
        assert await client.refused("start", vmuuid=vm) == (422, "plugin-argument-missing")
        assert await client.refused("start", vmuuid=vm, container=" ") == (422, "plugin-argument-missing")
        assert await client.refused("start", vmuuid="*", container="web") == (404, "no-such-vm")
        for named in ("*", "/etc", "we", "WEB*", "a" * 3, "g" * 10):
            assert await client.refused("stop", vmuuid=vm, container=named) == (404, "no-such-container")
        assert await client.refused("get_top", vmuuid=vm, object="x" * 200_000) == (413, "body-too-large")
        assert (await client.refused("get_top", vmuuid=vm, object="\n" * 130_000))[1] != "body-too-large"


async def test_a_failed_action_is_told_as_a_message_in_the_pool(tmp_path: Path) -> None:
    """With the engine's words and its HTTP status; a container that is not there is told of, too."""
    async with plugged(tmp_path, vms=1) as client:
        one, vm = client.one, client.one.vm("vm-1").id
        target = next(each for each in one.containers("vm-1").values() if each.state == "running")
        assert await client.refused("unpause", vmuuid=vm, container=target.name) == (502, "engine-refused")
        ((title, body, about),) = _messages(one)
        assert (title, about) == ("Container Management Error", vm)
        assert body.endswith(("is not paused (500)", "is not paused (409)"))
        assert await client.refused("unpause", vmuuid=vm, container=target.name) == (502, "engine-refused")
        assert len(list(_messages(one))) == 1  # the same failure is not said again at once
        assert await client.refused("stop", vmuuid=vm, container="nothing") == (404, "no-such-container")
        assert any(body.startswith("No container is called nothing.") for _, body, _ in _messages(one))


async def test_who_has_no_token_learns_nothing(tmp_path: Path) -> None:
    """Wrong, missing and malformed tokens are refused alike, before a body is looked at, and hardly fill the audit."""
    async with plugged(tmp_path, vms=1) as client:
        refusals = []
        for token in ("wrong", "", client.token[:-1], client.token + "A", "é".encode().decode("latin-1")):
            status, answer = await client.send(b"garbage", token=token)
            refusals.append(answer)
            assert (status, answer["code"]) == (401, "plugin-token-refused")
        assert all(each == refusals[0] for each in refusals)
        noted = await client.one.core.commands.audit.recent(100)
        assert [entry.code for entry in noted].count("plugin-token-refused") == 1


async def test_only_calls_are_answered(tmp_path: Path) -> None:
    """No other path, no other method, no route of the API, and no body that is not a call."""
    async with plugged(tmp_path, vms=1) as client:
        for method, path in (
            ("GET", plugin.PATH),
            ("POST", "/"),
            ("GET", "/api/v1/pools"),
            ("POST", plugin.PATH + "/"),
        ):
            status, answer = await client.send(b"", method, path)
            assert (status, answer["code"]) == (404, "plugin-only")
        garbage: list[Any] = [b"", b"\xff\xfe", b"{", b"[]", {"function": "start"}, {"function": 7, "arguments": {}}]
        garbage += [{"function": "start", "arguments": {"vmuuid": 1}}, {"function": "x", "arguments": {}, "more": 1}]
        for body in [*garbage, b'{"a":' * 10_000]:
            status, answer = await client.send(body)
            assert (status, answer["code"]) == (422, "field-invalid"), body[:50]
        status, answer = await client.send(b" " * (plugin.BODY_BYTES + 1))
        assert (status, answer["code"]) == (413, "body-too-large")


async def test_a_token_is_for_the_vms_of_its_own_pool(tmp_path: Path) -> None:
    """Of another pool's VM it is said that there is none; that pool's own token reaches it."""
    async with plugged(tmp_path, vms=1) as client, lab(tmp_path / "second", ["other"], seed=7) as (second, _):
        one = client.one
        await add(one, second)
        other = next(vm for vm in one.core.store.vms.values() if vm.name == "other")
        await one.until(lambda: one.is_live("vm-1") and one.core.store.containers_of(other.id), "both are live")
        container = next(iter(one.core.store.containers_of(other.id).values()))
        for function, arguments in {
            "stop": {"container": container.name},
            "get_inspect": {"object": container.engine_id},
            "get_top": {"object": container.name},
            "deregister": {},
        }.items():
            assert await client.refused(function, vmuuid=other.id, **arguments) == (404, "no-such-vm")
        await one.core.commands.plugin_access.enable(other.pool, None)
        client.token = await client.kept(other.pool)
        assert await client.call("get_inspect", vmuuid=other.id, object=container.name)
        assert await client.refused("get_top", vmuuid=one.vm("vm-1").id, object="web") == (404, "no-such-vm")
        await one.core.commands.pools.remove(other.pool)
        status, _ = await client.send({"function": "x", "arguments": {}})
        assert status == 401


async def test_many_call_at_once(tmp_path: Path) -> None:
    """Each gets its own answer."""
    async with plugged(tmp_path) as client:
        one = client.one
        targets = [(name, each) for name in ("vm-1", "vm-2") for each in one.containers(name).values()] * 8
        asked = [client.call("get_inspect", vmuuid=one.vm(vm).id, object=each.name) for vm, each in targets]
        for (_, each), said in zip(targets, await asyncio.gather(*asked), strict=True):
            assert f"<Id>{each.engine_id}</Id>" in said


async def test_a_new_token_ends_the_former(tmp_path: Path) -> None:
    """Enabling again rotates it: the old secret is destroyed; disabling takes everything out of the pool."""
    async with plugged(tmp_path, vms=1) as client:
        one, access = client.one, client.one.core.commands.plugin_access
        former, secret = client.token, _config(one)[PLUGIN_TOKEN_SECRET]
        assert (_config(one)[PLUGIN_URL], _config(one)[PLUGIN_FINGERPRINT]) == (
            f"https://{client.door.shown}",
            client.door.fingerprint,
        )
        await client.enable()
        assert client.token != former
        assert _config(one)[PLUGIN_TOKEN_SECRET] != secret
        assert secret not in _secrets(one)
        assert (await client.send(b"", token=former))[0] == 401
        assert await client.call("register", vmuuid=one.vm("vm-1").id) == "TrueNone"
        state = await access.state(one.pool_id)
        assert (state.state, state.reason, state.listen) == ("on", "", client.door.shown)

        secrets = len(_secrets(one))
        assert (await access.disable(one.pool_id)).state == "off"
        assert not {PLUGIN_URL, PLUGIN_FINGERPRINT, PLUGIN_TOKEN_SECRET} & _config(one).keys()
        assert len(_secrets(one)) == secrets - 1
        assert (await client.send(b""))[0] == 401


async def test_every_call_is_audited_and_no_token_is_kept(tmp_path: Path) -> None:
    """Who, from where, what, on what and with what result; a token stands in no log and in no file of ours."""
    with structlog.testing.capture_logs() as logged:
        async with plugged(tmp_path, vms=1) as client:
            one, vm = client.one, client.one.vm("vm-1").id
            target = next(each for each in one.containers("vm-1").values() if each.state == "running")
            await client.call("stop", vmuuid=vm, container=target.name)
            await client.call("deregister", vmuuid=vm)
            await client.refused("start", vmuuid=vm)
            await client.refused("rm -rf \x1b[2J", vmuuid=vm)
            await client.send(b"", token="wrong")
            noted = [
                (entry.who, entry.origin, entry.what, entry.target, entry.result, entry.code)
                for entry in await one.core.commands.audit.recent(6)
            ]
            who = f"plugin of {one.seen_pool().name} ({one.pool_id})"
            assert noted == [
                ("unknown", "127.0.0.1", "plugin call", "", "failed", "plugin-token-refused"),
                (who, "127.0.0.1", "rm -rf  [2J", vm, "failed", "plugin-function-unknown"),
                (who, "127.0.0.1", "start", vm, "failed", "plugin-argument-missing"),
                (who, "127.0.0.1", "deregister", vm, "done", ""),
                (who, "127.0.0.1", "stop", f"{vm}/{target.name}", "done", ""),
                ("roadstead", "", "pool plugin enable", one.pool_id, "done", ""),
            ]
            token = client.token
    assert token
    assert token not in str(logged)
    kept = [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]
    assert kept
    assert not any(token.encode() in content for content in kept)


async def test_a_key_that_names_another_secret_destroys_none(tmp_path: Path) -> None:
    """Who edits the pool so that it names the pool's private key loses that key not."""
    async with plugged(tmp_path, vms=1) as client:
        one = client.one
        keeper = one.core.commands.pools.keeper(one.pool_id)
        private = _config(one)["xscontainer-private-secret-uuid"]
        await keeper.client.set_pool_key(PLUGIN_TOKEN_SECRET, private)
        state = await one.core.commands.plugin_access.state(one.pool_id)
        assert state.state == "broken"
        await client.enable()
        await keeper.client.set_pool_key(PLUGIN_TOKEN_SECRET, "not a uuid at all")
        await client.enable()
        assert private in _secrets(one)
        assert await client.call("register", vmuuid=one.vm("vm-1").id) == "TrueNone"


async def test_without_a_listener_no_plugin_is_enabled(tmp_path: Path) -> None:
    """The remedy names the option."""
    async with world(tmp_path, vms=1) as one:
        with pytest.raises(ConflictError) as raised:
            await one.core.commands.plugin_access.enable(one.pool_id, "https://here:8421")
        assert raised.value.code == "plugin-not-listening"
        assert "--plugin-listen" in raised.value.remedy
        assert PLUGIN_URL not in _config(one)


async def test_tls_is_new_enough(tmp_path: Path) -> None:
    """Nothing is said in plain, and nothing in a TLS before 1.2."""
    async with plugged(tmp_path, vms=1) as client:
        reader, writer = await asyncio.open_connection(client.door.address, client.door.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in await reader.read()
        writer.close()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):
            context.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(client.door.address, client.door.port, ssl=context)
        assert await client.call("register", vmuuid=client.one.vm("vm-1").id) == "TrueNone"
