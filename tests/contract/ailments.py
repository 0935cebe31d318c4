"""Fifty ways in which one VM of a pool can be broken: by its guest, by its engine, or by what the pool says of it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from roadstead.lab.guests import keys
from roadstead.lab.guests.containers import furnish
from roadstead.lab.pool.driver import MONITOR_KEY, NewVm
from roadstead.plan.pins import HOST_KEY
from tests.contract.world import World

SHARED = "host-key-shared"
SHARER = "good-1"
"""The VM that shows the key which others are to share with it."""
NOBODY = "127.89.99.99"
"""An address of the guests' network at which nobody listens."""
CLOSED_PORT = "9"
SHOWN = 50
"""How many containers of one engine are shown."""
MANY = 70

Inflict = Callable[[World, str], Awaitable[None]]


class Ailment(NamedTuple):
    """What is done to the VM of the given name, and the code of the problem that it gets."""

    code: str
    inflict: Inflict
    is_late: bool = False
    """The VM is made when the others fall ill: it was never well."""


def _traits(code: str, *names: str) -> Ailment:
    """The guest misbehaves, at the latest from the next connection on."""

    async def inflict(one: World, name: str) -> None:
        await one.guest(name).misbehave(*names)
        one.guest(name).cut()

    return Ailment(code, inflict)


def _setting(code: str, key: str, value: str) -> Ailment:
    """Somebody writes a key of the VM in the pool."""

    async def inflict(one: World, name: str) -> None:
        _write(one, name, key, value)
        one.guest(name).cut()

    return Ailment(code, inflict)


def _addresses(code: str, *texts: str) -> Ailment:
    """The guest tools announce other addresses."""

    async def inflict(one: World, name: str) -> None:
        one.pool.set_addresses(name, texts)
        one.guest(name).cut()

    return Ailment(code, inflict)


def _write(one: World, name: str, key: str, value: str | None) -> None:
    """Make a key of the VM's `other_config` be so, or not be there."""
    ref = one.pool.find(name)
    known = {other: kept for other, kept in one.pool.core.vm(ref)["other_config"].items() if other != key}
    one.pool.core.database.write("VM", ref, "other_config", known if value is None else {**known, key: value})


async def _hang(one: World, name: str) -> None:
    await one.guest(name).misbehave("half-open")


async def _stop(one: World, name: str) -> None:
    await one.guest(name).stop()


async def _reinstall(one: World, name: str) -> None:
    await one.guest(name).new_host_key()


async def _forget(one: World, name: str) -> None:
    """The pool loses the host key, and the guest shows another one when it is back."""
    guest = one.guest(name)
    await guest.stop()
    await guest.new_host_key()
    _write(one, name, HOST_KEY, None)
    await one.until(lambda: HOST_KEY not in one.vm(name).settings, "the pin is gone")
    await guest.start()


async def _repin(one: World, name: str) -> None:
    """Somebody pins a key in the pool that no guest has."""
    stranger = keys.ed25519_key("nobody", 1, 0).export_public_key().decode().split()[1]
    _write(one, name, HOST_KEY, stranger)


async def _fill(one: World, name: str) -> None:
    """The engine has more containers than are shown of one."""
    engine = one.guest(name).engine
    engine.adopt(furnish(random.Random(name), MANY, engine.now()))
    one.guest(name).cut()


async def _claim(one: World, name: str) -> None:
    """A new VM announces another's address."""
    await one.pool.make_vm(NewVm(name, addresses=one.guest("good-2").addresses), wait=False)


async def _impersonate(one: World, name: str) -> None:
    """A new VM shows another's host key."""
    await one.pool.make_vm(NewVm(name, containers=2, enabled=False))
    await one.guest(name).misbehave(SHARED)
    _write(one, name, MONITOR_KEY, "True")


AILMENTS: dict[str, Ailment] = {
    "closes at once": _traits("ssh-refuses-us", "close-before-banner"),
    "accepts and is silent": _traits("timed-out", "banner-never-comes"),
    "babbles": _traits("ssh-failed", "banner-garbage"),
    "hangs": Ailment("timed-out", _hang),
    "sign-in never ends": _traits("timed-out", "sign-in-never-ends"),
    "key rejected": _traits("key-rejected", "key-rejected"),
    "key of another user": _setting("key-rejected", "xscontainer-username", "stranger"),
    "host key changes": _traits("host-key-changed", "host-key-changes"),
    "reinstalled": Ailment("host-key-changed", _reinstall),
    "pinned to another key": Ailment("host-key-changed", _repin),
    "pin is no key": _setting("setting-invalid", HOST_KEY, "nonsense"),
    "pin lost, key changed": Ailment("host-key-forgotten", _forget),
    "only another type of key": _traits("host-key-type-gone", "host-key-ecdsa-only"),
    "another answers there": _traits("address-of-another", SHARED),
    "host key shared": Ailment(SHARED, _impersonate, is_late=True),
    "address claimed": Ailment("address-claimed-twice", _claim, is_late=True),
    "no address": _addresses("no-address"),
    "address of nobody": _addresses("refused", NOBODY),
    "loopback": _addresses("address-not-allowed", "127.0.0.1"),
    "link-local": _addresses("address-not-allowed", "169.254.7.7"),
    "multicast": _addresses("address-not-allowed", "224.0.0.7"),
    "address is a name": _addresses("address-not-allowed", "guest.example"),
    "sshd is down": Ailment("refused", _stop),
    "port closed": _setting("refused", "roadstead-ssh-port", CLOSED_PORT),
    "port is none": _setting("setting-invalid", "roadstead-ssh-port", "70000"),
    "user is none": _setting("setting-invalid", "xscontainer-username", "no one; reboot"),
    "socket is none": _setting("setting-invalid", "roadstead-engine-socket", "../docker.sock"),
    "TLS wanted": _setting("secret-missing", "xscontainer-mode", "tls"),
    "no socket": _traits("no-engine-socket", "no-socket"),
    "socket denied": _traits("engine-socket-denied", "socket-denied"),
    "socket elsewhere": _setting("engine-unreachable", "roadstead-engine-socket", "/run/other.sock"),
    "no relay": _traits("no-relay", "streamlocal-forbidden", "dial-stdio-missing"),
    "no way in": _traits("engine-unreachable", "streamlocal-forbidden", "exec-forbidden"),
    "engine down": _traits("engine-down", "engine-down"),
    "engine down, key restricted": _traits("engine-unreachable", "engine-down", "exec-forbidden"),
    "engine silent": _traits("engine-timed-out", "silence"),
    "engine slow": _traits("engine-timed-out", "drip"),
    "engine talks nonsense": _traits("engine-answer-invalid", "garbage"),
    "endless headers": _traits("engine-answer-invalid", "endless-headers"),
    "endless header": _traits("engine-answer-invalid", "endless-header-line"),
    "cut answers": _traits("engine-down", "cut-answers"),
    "engine fails": _traits("engine-refused", "server-errors"),
    "engine too old": _traits("engine-unsupported", "old-api"),
    "half a list": _traits("engine-answer-invalid", "invalid-json"),
    "no list": _traits("engine-answer-invalid", "not-a-list"),
    "deep list": _traits("engine-answer-invalid", "deep-nesting"),
    "endless list": _traits("engine-too-large", "endless-list"),
    "too many containers": Ailment("engine-too-large", _fill),
    "events are no JSON": _traits("engine-answer-invalid", "event-garbage"),
    "flood of events": _traits("", "event-flood"),
}
"""By the name of the VM. A flood is no problem: it is listed now and then instead of followed."""
