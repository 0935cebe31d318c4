"""The plugin's listener: its addresses, its bounds, and what a pool is told of it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from roadstead.act.plugin.access import PluginDoor
from roadstead.app.certificate import certificate
from roadstead.errors import StartError
from roadstead.kit import tasks
from roadstead.model.config_keys import PLUGIN_FINGERPRINT, PLUGIN_TOKEN_SECRET, PLUGIN_URL
from roadstead.serve import plugin, server, tls
from roadstead.serve.tls import SecureListen, bound, serve_secure
from tests.unit.serve import stage

DOOR = PluginDoor("192.0.2.7", 8421, "ab" * 32)


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """A listener of a world without tokens: its port, and what a client needs to connect."""
    path, _ = await asyncio.to_thread(certificate, folder)
    socket = bound("127.0.0.1:0")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        app = plugin.build(stage.World(()).commands)
        task = tasks.spawn(group, serve_secure(app, SecureListen(socket, path, 0.5), ready.set), "plugin")
        await ready.wait()
        yield socket.getsockname()[1], context
        await tasks.stop(task)


async def _ask(port: int, context: ssl.SSLContext, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(data)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "where",
    [
        *("", "8421", ":8421", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "::1:8421"),
        *("[127.0.0.1]:1", "[::1]", "localhost:8421", "https://127.0.0.1:8421", "127.0.0.1:८", "[::1]8421", "1.2.3:1"),
    ],
)
def test_an_address_that_is_none_is_named(where: str) -> None:
    """With the form that it should have."""
    with pytest.raises(StartError) as caught:
        bound(where)
    assert caught.value.code == "plugin-listen-unusable"
    assert "ADDRESS:PORT" in str(caught.value)


def test_an_address_that_is_taken_or_not_ours_is_named() -> None:
    """Each with its reason."""
    with bound("127.0.0.1:0") as first:
        for where, reason in ((f"127.0.0.1:{first.getsockname()[1]}", "another program"), ("192.0.2.1:1", "assign")):
            with pytest.raises(StartError, match=reason) as caught:
                bound(where)
            assert caught.value.fields["address"] == where


async def test_an_answer_and_a_refusal_are_problem_documents(tmp_path: Path) -> None:
    """Over TLS, with the headers that every answer of ours has."""
    async with listening(tmp_path) as (port, context):
        said = await _ask(port, context, b"GET /api/v1/pools HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 404 ")
        assert b"plugin-only" in said and b"nosniff" in said.lower()
        request = f"POST {plugin.PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
        said = await _ask(port, context, request.encode())
        assert said.startswith(b"HTTP/1.1 401 ")
        assert b"www-authenticate: bearer" in said.lower()


async def test_heads_are_bounded_in_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the main server."""
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    async with listening(tmp_path) as (port, context):
        large = b"GET / HTTP/1.1\r\nX: " + b"x" * (server.HEADER_BYTES + 1)
        for data in (b"GET / HTTP/1.1\r\nHost:", b"", large):
            try:
                assert await _ask(port, context, data) == b""
            except (ConnectionError, ssl.SSLError):
                continue


async def test_connections_are_bounded_also_before_their_handshake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says nothing takes a place for a short time only; more than fit are closed at once."""
    monkeypatch.setattr(tls, "CONNECTIONS", 3)
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 0.5)
    async with listening(tmp_path) as (port, context):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await _ask(port, context, b"")
        for reader, writer in silent:
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()
        await asyncio.sleep(0.05)
        assert b"404" in await _ask(port, context, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


async def test_one_source_keeps_no_other_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with silent connections nor with secured ones: it has its share, and what it gave back is there again."""
    monkeypatch.setattr(tls, "CONNECTIONS", 8)
    monkeypatch.setattr(tls, "SHARE", 4)
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    async def answered(port: int, context: ssl.SSLContext, source: str) -> bytes:
        there = asyncio.open_connection("127.0.0.1", port, ssl=context, local_addr=(source, 0))
        reader, writer = await there
        writer.write(request)
        said = await reader.read()
        writer.close()
        return said

    async with listening(tmp_path) as (port, context):
        greedy = [await asyncio.open_connection("127.0.0.1", port, ssl=context if n < 2 else None) for n in range(4)]
        for _ in range(10):
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await answered(port, context, "127.0.0.1")
        assert b"404" in await answered(port, context, "127.0.0.2")
        for _, writer in greedy:
            writer.close()
        async with asyncio.timeout(5):
            while True:
                try:
                    assert b"404" in await answered(port, context, "127.0.0.1")
                    break
                except (ConnectionError, ssl.SSLError):
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::3", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_source_is_what_one_machine_may_have(host: str, source: str) -> None:
    """Of IPv6 that is more than one address."""
    assert tls.source_of(host) == source


async def test_it_ends_at_once_with_connections_open(tmp_path: Path) -> None:
    """Neither a silent connection nor a kept one holds it up."""
    async with asyncio.timeout(5), listening(tmp_path) as (port, context):
        kept: list[Any] = [await asyncio.open_connection("127.0.0.1", port, ssl=context)]
        kept.append(await asyncio.open_connection("127.0.0.1", port))
        await asyncio.sleep(0.05)
    for _, writer in kept:
        writer.close()


# ---- what a pool is told


@asynccontextmanager
async def served(folder: Path, door: PluginDoor | None = DOOR) -> AsyncIterator[stage.Stage]:
    """An API with a pool whose plugin may be enabled."""
    async with stage.running(folder, door=door) as api:
        api.world.pools.keep("pool-1", "https://10.0.0.1")
        yield api


def _told(api: stage.Stage) -> dict[str, str]:
    config: dict[str, str] = next(iter(api.world.pools.xapi.objects["pool"].values()))["other_config"]
    return config


async def test_enabling_tells_the_pool_and_disabling_takes_it_back(tmp_path: Path) -> None:
    """Address, certificate and token; the answer never holds the token, the audit says who did it."""
    async with served(tmp_path) as api:
        assert (await api.get("/pools/pool-1/plugin"))["state"] == "off"
        state = await api.ask("POST", "/pools/pool-1/plugin")
        told = _told(api)
        assert (state["state"], state["url"], state["listen"]) == ("on", "https://192.0.2.7:8421", "192.0.2.7:8421")
        assert (told[PLUGIN_URL], told[PLUGIN_FINGERPRINT]) == ("https://192.0.2.7:8421", DOOR.fingerprint)
        token = api.world.pools.xapi.secrets[told[PLUGIN_TOKEN_SECRET]].value
        assert token not in str(state) + str(api.world.database.tokens)
        assert await api.world.access.holder(token) == "pool-1"
        assert (await api.ask("DELETE", "/pools/pool-1/plugin"))["state"] == "off"
        assert (_told(api), api.world.pools.xapi.secrets) == ({}, {})
        assert await api.world.access.holder(token) is None
        (off, on) = await api.get("/audit?limit=2")
        assert (off["what"], on["what"], on["who"]) == ("pool plugin disable", "pool plugin enable", "local socket")
        assert (on["target"], on["from"], on["result"], on["code"]) == ("pool-1", "", "done", "")


@pytest.mark.parametrize(
    "url",
    [
        *("http://x", "https://", "https://x:0", "https://x:65536", "https://x/path", "https://u:p@x", "https://x y"),
        *("x", "https://x\n", "https://[zz]", ""),
    ],
)
async def test_an_address_that_the_plugin_cannot_use_is_refused(tmp_path: Path, url: str) -> None:
    """Nothing is written then."""
    async with served(tmp_path) as api:
        await api.refused("POST", "/pools/pool-1/plugin", 422, "field-invalid", json={"url": url})
        assert (_told(api), api.world.database.tokens) == ({}, {})


@pytest.mark.parametrize("url", ["https://roadstead.example.net:8421", "https://[2001:db8::7]:8421", "https://h/"])
async def test_another_address_may_be_told(tmp_path: Path, url: str) -> None:
    """It is what the pool names, without a slash at its end."""
    async with served(tmp_path) as api:
        assert (await api.ask("POST", "/pools/pool-1/plugin", json={"url": url}))["url"] == url.rstrip("/")


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
async def test_a_listener_on_every_address_needs_one_to_be_named(tmp_path: Path, address: str) -> None:
    """Which of them the hosts reach nobody here knows."""
    async with served(tmp_path, PluginDoor(address, 8421, "ab" * 32)) as api:
        problem = await api.refused("POST", "/pools/pool-1/plugin", 409, "plugin-url-needed")
        assert "--url https://HOST:8421" in problem["remedy"]
        assert await api.ask("POST", "/pools/pool-1/plugin", json={"url": "https://h:8421"})


async def test_what_does_not_agree_is_said(tmp_path: Path) -> None:
    """A server without listener, another certificate, a token that somebody took away."""
    async with served(tmp_path) as api:
        await api.ask("POST", "/pools/pool-1/plugin")
        xapi = api.world.pools.xapi
        uuid = _told(api)[PLUGIN_TOKEN_SECRET]
        secret = xapi.secrets.pop(uuid)
        assert "token" in (await api.get("/pools/pool-1/plugin"))["reason"]
        xapi.secrets[uuid] = secret
        await xapi.set_pool_key(PLUGIN_FINGERPRINT, "cd" * 32)
        assert "certificate" in (await api.get("/pools/pool-1/plugin"))["reason"]
    async with served(tmp_path, None) as api:
        await api.world.pools.xapi.set_pool_key(PLUGIN_URL, "https://elsewhere")
        state = await api.get("/pools/pool-1/plugin")
        assert (state["state"], "not listen" in state["reason"], state["listen"]) == ("broken", True, "")
        await api.refused("POST", "/pools/pool-1/plugin", 409, "plugin-not-listening")


async def test_a_pool_that_fails_half_way_can_be_asked_again(tmp_path: Path) -> None:
    """What the pool still holds stays valid; enabling again clears up."""
    async with served(tmp_path) as api:
        await api.ask("POST", "/pools/pool-1/plugin")
        xapi = api.world.pools.xapi
        token = xapi.secrets[_told(api)[PLUGIN_TOKEN_SECRET]].value
        xapi.fail("create_secret", "pool-timed-out")
        await api.refused("POST", "/pools/pool-1/plugin", 504, "pool-timed-out")
        assert await api.world.access.holder(token) == "pool-1"
        xapi.fail("create_secret", None)
        assert (await api.ask("POST", "/pools/pool-1/plugin"))["state"] == "on"
        assert len(api.world.database.tokens) == len(xapi.secrets) == 1
        xapi.fail("sync_database", "pool-not-permitted")
        assert await api.ask("POST", "/pools/pool-1/plugin")


# ---- the audit of the API


async def test_every_command_of_the_api_is_audited(tmp_path: Path) -> None:
    """Each with its target and what came of it, by the caller's name; what only reads is not noted."""
    shop = "vm-1/" + "aaaa".ljust(64, "0")
    async with stage.running(tmp_path) as api:
        begun = await api.ask("POST", "/operations", status=202, json={"action": "stop", "targets": [shop]})
        await api.get(f"/operations/{begun['id']}?wait=5")
        body = {"action": "stop", "targets": ["vm-1/nothing"]}
        await api.refused("POST", "/operations", 404, "no-such-container", json=body)
        await api.get("/vms")
        noted = [(entry["who"], entry["what"], entry["target"], entry["code"]) for entry in await api.get("/audit")]
        assert noted == [
            ("local socket", "stop", "vm-1/nothing", "no-such-container"),
            ("local socket", "stop", shop, ""),
        ]
        assert [entry["name"] for entry in await api.get("/audit")] == ["web-1/nothing", "web-1/shop"]
        assert len(await api.get("/audit?limit=1")) == 1
        await api.refused("GET", "/audit?limit=0", 422, "field-invalid")
