"""Each step of the path to a VM's engine is the first that fails for something: of a VM that was never enabled and of
one that is, over SSH and over TLS.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from roadstead.lab.guests.certificates import Authority
from roadstead.lab.pool.driver import NewVm
from roadstead.model import PathStep, config_keys
from roadstead.model.config_keys import HOST_KEY
from tests.contract.ailments import AILMENTS
from tests.contract.test_faults_of_guests import SMALL
from tests.contract.test_path_checks import SSH_STEPS, checked, failed
from tests.contract.test_path_checks_tls import TLS_STEPS
from tests.contract.world import World, world

NAME = "somebody"


class Ill(NamedTuple):
    """The step at which it shows, the code that it has there, and what is done to the VM of the given name."""

    step: PathStep
    code: str
    inflict: Callable[[World, str], Awaitable[None]]


def _traits(*names: str) -> Callable[[World, str], Awaitable[None]]:
    async def inflict(one: World, name: str) -> None:
        await one.guest(name).misbehave(*names)

    return inflict


async def _stop(one: World, name: str) -> None:
    await one.guest(name).stop()


async def _loopback(one: World, name: str) -> None:
    one.pool.set_addresses(name, ("127.0.0.1",))
    await one.until(lambda: one.vm(name).addresses == ("127.0.0.1",), "it announces that")


async def _pin(one: World, name: str) -> None:
    before = one.vm(name).settings.get(HOST_KEY)
    await AILMENTS["pinned to another key"].inflict(one, name)
    await one.until(lambda: one.vm(name).settings.get(HOST_KEY) not in {None, before}, "the pin is another")


async def _lose_route(_one: World, _name: str) -> None:
    """Nothing: the kernel is asked in the test's name."""


async def _refuse_client(one: World, name: str) -> None:
    """The secrets hold the certificate of a client that the engine does not know."""
    database, client = one.pool.core.database, Authority("other").client()
    for key, value in (
        (config_keys.TLS_CLIENT_CERT, client.certificate),
        (config_keys.TLS_CLIENT_KEY, client.key),
    ):
        database.write("secret", database.by_uuid("secret", one.vm(name).settings[key]), "value", value)


ROUTE = Ill(PathStep.ROUTE, "unreachable", _lose_route)
ADDRESS = Ill(PathStep.ADDRESS, "address-not-allowed", _loopback)
PORT = Ill(PathStep.PORT, "refused", _stop)
API = Ill(PathStep.API_VERSION, "engine-unsupported", _traits("old-api"))
CONTAINERS = Ill(PathStep.CONTAINERS, "engine-answer-invalid", _traits("invalid-json"))
OVER_SSH = (
    *(ADDRESS, ROUTE, PORT, API, CONTAINERS),
    Ill(PathStep.HANDSHAKE, "ssh-refuses-us", _traits("close-before-banner")),
    Ill(PathStep.HOST_KEY, "host-key-changed", _pin),
    Ill(PathStep.AUTHENTICATION, "key-rejected", _traits("key-rejected")),
    Ill(PathStep.RELAY, "no-relay", _traits("streamlocal-forbidden", "dial-stdio-missing")),
    Ill(PathStep.SOCKET, "no-engine-socket", _traits("no-socket")),
    Ill(PathStep.PERMISSION, "engine-socket-denied", _traits("socket-denied")),
)
OVER_TLS = (
    *(ADDRESS, ROUTE, PORT, API, CONTAINERS),
    Ill(PathStep.HANDSHAKE, "timed-out", _traits("tls-half-handshake")),
    Ill(PathStep.CERTIFICATE, "tls-wrong-address", _traits("certificate-of-another-vm")),
    Ill(PathStep.CLIENT_CERTIFICATE, "tls-client-rejected", _refuse_client),
)


def test_no_step_is_left_out() -> None:
    """Of those that lead to an engine; what stands before them has tests of its own, as has the port beside them."""
    for steps, ills in ((SSH_STEPS, OVER_SSH), (TLS_STEPS, OVER_TLS)):
        assert {ill.step.value for ill in ills} == {*steps} - {"power", "pool key", "secrets", "plain port"}


async def _check(one: World, ill: Ill, steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    await ill.inflict(one, NAME)
    if ill is ROUTE:
        monkeypatch.setattr(socket, "socket", Unrouted)
    before = one.vm(NAME).settings
    found = await checked(one, NAME)

    assert failed(found) == [(ill.step, ill.code)]
    passed = [each.step for each in found if each.state == "ok" and each.step != "plain port"]
    # Of a relay nothing is known as long as no socket opens.
    assert [step for step in steps[: steps.index(ill.step)] if step not in passed] in ([], ["relay"])
    assert [step for step in passed if steps.index(step) > steps.index(ill.step)] == []
    assert one.vm(NAME).settings == before


class Unrouted(socket.socket):
    """A socket of a machine that has no route."""

    def connect(self, address: Any) -> None:
        if self.type == socket.SOCK_DGRAM:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        super().connect(address)


@pytest.mark.parametrize("ill", OVER_SSH, ids=lambda ill: ill.step.value)
async def test_the_step_that_fails_of_a_vm_that_was_never_enabled(
    tmp_path: Path, ill: Ill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over SSH; nothing is remembered of it, and it is not enabled afterwards."""
    async with world(tmp_path, vms=1, settings=SMALL) as one:
        await _make(one, enabled=False)
        await _check(one, ill, SSH_STEPS, monkeypatch)
        assert one.vm(NAME).link is None


@pytest.mark.parametrize("ill", OVER_TLS, ids=lambda ill: ill.step.value)
async def test_the_step_that_fails_of_a_vm_over_tls_that_was_never_enabled(
    tmp_path: Path, ill: Ill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of one whose keys name a mode and secrets, as somebody prepared it."""
    async with world(tmp_path, vms=1, settings=SMALL, is_tls=True) as one:
        await _make(one, enabled=False)
        await _check(one, ill, TLS_STEPS, monkeypatch)
        assert one.vm(NAME).link is None


@pytest.mark.parametrize("ill", OVER_TLS, ids=lambda ill: ill.step.value)
async def test_the_step_that_fails_of_a_vm_over_tls(tmp_path: Path, ill: Ill, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that is enabled, and was live."""
    async with world(tmp_path, vms=1, settings=SMALL, is_tls=True) as one:
        await _make(one, enabled=True)
        await one.until_live(NAME)
        await _check(one, ill, TLS_STEPS, monkeypatch)


async def test_a_machine_without_a_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a VM over SSH that is enabled: the other steps of such a one are failed in `test_path_checks`."""
    async with world(tmp_path, vms=0) as one:
        await _make(one, enabled=True)
        await one.until(lambda: one.vm(NAME).settings.get(HOST_KEY), "pinned")
        await _check(one, ROUTE, SSH_STEPS, monkeypatch)


async def _make(one: World, *, enabled: bool) -> None:
    """Make the VM, and wait until it is seen with its address."""
    await one.pool.make_vm(NewVm(NAME, 2, enabled=enabled))
    await one.until(lambda: NAME in {vm.name for vm in one.vms()} and one.vm(NAME).addresses, "it is seen")
