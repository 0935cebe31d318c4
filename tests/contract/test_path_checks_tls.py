"""What a check finds on the way to an engine behind TLS, at a port that is open to everybody, and on this machine."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roadstead.lab.guests import keys
from roadstead.lab.guests.certificates import Authority, Pair
from roadstead.lab.guests.guest import SimulatedGuest
from roadstead.model import PathStep, VmId, config_keys
from roadstead.peers.links import plain
from tests.contract.test_path_checks import checked, failed
from tests.contract.world import QUICK, World, kept, running, world

TLS_STEPS = [
    "power",
    "address",
    "secrets",
    "route",
    "port",
    "handshake",
    "certificate",
    "client certificate",
    "API version",
    "containers",
    "plain port",
]
VM = "vm-1"
OPEN_ENGINE = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nServer: Docker/28.5.2 (linux)\r\nContent-Length: 2\r\n\r\nOK"


@asynccontextmanager
async def windows(folder: Path) -> AsyncIterator[World]:
    """A pool with one VM that is reached over TLS, and is live."""
    async with world(folder, vms=1, is_tls=True) as one:
        yield one


async def test_a_vm_over_tls_passes_every_step(tmp_path: Path) -> None:
    """What is shown of certificates is until when they are good."""
    async with windows(tmp_path) as one:
        found = await checked(one, VM)
        assert [(each.step, each.state) for each in found] == [(step, "ok") for step in TLS_STEPS]
        told = {each.step: each.finding for each in found}
        assert told["handshake"] == "TLSv1.3"
        assert "dates are right" in told["certificate"]
        assert told["client certificate"] == "accepted"


async def _show(one: World, server: Pair) -> None:
    guest = one.guest(VM)
    guest.certificate = server
    await guest.stop()
    await guest.start()


def _authority(guest: SimulatedGuest) -> Authority:
    return Authority(f"guest {guest.number}", keys.authority_secret(guest.lot.host_keys.secret, guest.number))


def _secret(one: World, key: str) -> str:
    """The secret that a key of the VM names."""
    database = one.pool.core.database
    return database.by_uuid("secret", one.vm(VM).settings[key])


@pytest.mark.parametrize(
    ("ailment", "step", "code"),
    [
        pytest.param("address", PathStep.CERTIFICATE, "tls-wrong-address"),
        pytest.param("date", PathStep.CERTIFICATE, "tls-expired"),
        pytest.param("chain", PathStep.CERTIFICATE, "tls-untrusted"),
        pytest.param("stopped", PathStep.PORT, "refused"),
        pytest.param("client", PathStep.CLIENT_CERTIFICATE, "tls-client-rejected"),
        pytest.param("secret", PathStep.SECRETS, "secret-missing"),
        pytest.param("api", PathStep.API_VERSION, "engine-unsupported"),
    ],
)
async def test_the_step_at_which_it_fails(tmp_path: Path, ailment: str, step: PathStep, code: str) -> None:
    """By what is wrong with the engine's certificate, its port, our secrets, its API."""
    async with windows(tmp_path) as one:
        guest, database = one.guest(VM), one.pool.core.database
        match ailment:
            case "address":
                await _show(one, _authority(guest).server(["127.0.0.9"]))
            case "date":
                await _show(one, _authority(guest).server(guest.addresses, dt.timedelta(days=-1)))
            case "chain":
                await _show(one, Authority("other").server(guest.addresses))
            case "stopped":
                await guest.stop()
            case "secret":
                database.destroy("secret", _secret(one, config_keys.TLS_CA_CERT))
            case "client":
                stranger = Authority("other").client()
                database.write("secret", _secret(one, config_keys.TLS_CLIENT_CERT), "value", stranger.certificate)
                database.write("secret", _secret(one, config_keys.TLS_CLIENT_KEY), "value", stranger.key)
            case _:
                await guest.misbehave("old-api")
        found = await checked(one, VM)

        assert failed(found) == [(step, code)]
        before = [each.step for each in found if each.state == "ok" and each.step != "plain port"]
        assert before == TLS_STEPS[: TLS_STEPS.index(step)]


async def test_a_secret_of_another_vm_is_told_as_the_link_tells_it(tmp_path: Path) -> None:
    """The check of a VM whose keys name the secrets of one that comes before it says why its link is down."""
    async with world(tmp_path, vms=2, is_tls=True) as one:
        first, second = sorted(one.vms(), key=lambda vm: vm.id)
        config = one.core.commands.pools.keeper(one.pool_id).config
        for key in config_keys.TLS_SECRETS:
            await config.set(second.id, key, first.settings[key])
        await one.until_problem(second.name, "secret-shared")

        assert failed(await checked(one, second.name)) == [(PathStep.SECRETS, "secret-shared")]
        assert failed(await checked(one, first.name)) == []


@pytest.mark.parametrize("is_tls", [False, True])
async def test_an_engine_that_lets_in_everybody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_tls: bool
) -> None:
    """Whatever the link is: the path is passed, and the open port is what fails, with its remedy."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OPEN_ENGINE)
        writer.close()

    async with world(tmp_path, vms=1, is_tls=is_tls) as one:
        server = await asyncio.start_server(serve, one.guest(VM).addresses[0], 0)
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setattr(plain, "PORT", port)
        found = await checked(one, VM)
        server.close()

        assert failed(found) == [("plain port", "plain-http-engine")]
        assert f"At port {port}" in found[-1].finding
        assert "close the open port" in found[-1].remedy


async def test_an_engine_of_this_machine_is_checked(tmp_path: Path) -> None:
    """Its path is a socket: one that nobody listens on fails, one that is not there fails."""
    path = tmp_path / "engine.sock"
    async with kept(tmp_path) as database, running(QUICK, database, [path]) as core:

        async def fails() -> list[tuple[str, str]]:
            found = [each async for each in core.commands.checks.start(VmId("local-1")).findings()]
            return [(each.step, each.code) for each in found]

        assert await fails() == [("socket", "no-engine-socket")]
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.fspath(path))
        assert await fails() == [("socket", "engine-down")]
