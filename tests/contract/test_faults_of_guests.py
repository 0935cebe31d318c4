"""What an operator sees when guests fail: the right problem, stale containers, and recovery without a hand laid on."""

from __future__ import annotations

import asyncio
import logging
import random
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from roadstead.errors import ConflictError
from roadstead.lab.guests.containers import furnish
from roadstead.lab.guests.misbehaviour import MISBEHAVIOURS
from roadstead.lab.pool.driver import MONITOR_KEY, NewVm
from roadstead.model import Container, LinkState, Problem
from roadstead.model.config_keys import HOST_KEY
from roadstead.peers.links.messages import fingerprint
from tests.contract.hostility import DEEDS, DEEDS_OVER_SSH, DEEDS_OVER_TLS, done, printed
from tests.contract.world import QUICK, World, world

PROBLEMS = {
    "close-before-banner": "ssh-refuses-us",
    "banner-never-comes": "timed-out",
    "banner-garbage": "ssh-failed",
    "banner-drips": "timed-out",
    "banner-endless-line": "ssh-failed",
    "handshake-never-ends": "timed-out",
    "handshake-garbage": "ssh-failed",
    "sign-in-babbles": "ssh-failed",
    "sign-in-never-ends": "timed-out",
    "key-rejected": "key-rejected",
    "host-key-changes": "host-key-changed",
    "host-key-shared": "host-key-changed",
    "host-key-ecdsa-only": "host-key-type-gone",
    "no-socket": "no-engine-socket",
    "socket-denied": "engine-socket-denied",
    "engine-down": "engine-down",
    "request-unread": "engine-timed-out",
    "silence": "engine-timed-out",
    "drip": "engine-timed-out",
    "garbage": "engine-answer-invalid",
    "endless-headers": "engine-answer-invalid",
    "endless-header-line": "engine-answer-invalid",
    "endless-announcements": "engine-answer-invalid",
    "endless-chunks": "engine-answer-invalid",
    "endless-chunk-line": "engine-answer-invalid",
    "crumbs": "engine-timed-out",
    "compressed": "engine-answer-invalid",
    "redirects": "engine-refused",
    "upgrades": "engine-answer-invalid",
    "one-byte-answers": "engine-down",
    "cut-answers": "engine-down",
    "server-errors": "engine-refused",
    "old-api": "engine-unsupported",
    "invalid-json": "engine-answer-invalid",
    "not-a-list": "engine-answer-invalid",
    "deep-nesting": "engine-answer-invalid",
    "large-body": "engine-too-large",
    "ten-gigabytes": "engine-too-large",
    "endless-text": "engine-too-large",
    "endless-list": "engine-too-large",
    "many-containers": "engine-too-large",
    "event-garbage": "engine-answer-invalid",
    "event-huge": "engine-answer-invalid",
    "event-blanks": "engine-answer-invalid",
    "events-cut": "engine-down",
}
"""What a misbehaviour is called that keeps a guest from being watched, or from being shown whole."""
OVER_TLS = {
    "certificate-of-another-vm": "tls-wrong-address",
    "certificate-of-another-ca": "tls-untrusted",
    "handshake-never-ends": "timed-out",
    "half-open": "timed-out",
    "tls-half-handshake": "timed-out",
    "tls-drips": "timed-out",
    "tls-tickets": "tls-floods",
    "tls-key-updates": "tls-floods",
    "tls-key-requests": "tls-floods",
    "tls-empty-records": "tls-floods",
    "tls-hello-requests": "tls-floods",
    "silence": "engine-timed-out",
    "garbage": "engine-answer-invalid",
    "event-blanks": "engine-answer-invalid",
    "event-huge": "engine-answer-invalid",
    **{name: PROBLEMS[name] for name in done(DEEDS) if name in PROBLEMS},
}
"""The same of a guest that is reached over TLS: what only such a one can do, all that hostile ones may do, and some of
each other kind.
"""
PECULIAR = (
    "streamlocal-forbidden",
    "exec-forbidden",
    "dial-stdio-missing",
    "exec-noise",
    "host-key-all-types",
    "command-forced",
)
"""What is no fault."""
ODD = (
    "link-babbles",
    "odd-clock",
    "no-numbers",
    "odd-ids",
    "odd-times",
    "duplicate-keys",
    "duplicate-ids",
    "invalid-utf8",
    "wrong-types",
    "markup-names",
    "terminal-names",
    "huge-names",
    "unknown-containers",
    "unknown-flood",
    "event-flood",
    "event-bulk",
    "event-bulk-numbers",
    "event-bulk-lists",
    "event-odd-ids",
    "event-odd-times",
    "event-wrong-types",
)
"""What is read past: the guest stays live, with its own containers and no others."""
ODD_OVER_TLS = tuple(name for name in ODD if name in done(DEEDS))
SMALL = QUICK.model_copy(
    update={"engine": QUICK.engine.model_copy(update={"answer_bytes": 2**18, "containers": 500, "event_bytes": 2**16})}
)
UNHURT = SMALL.model_copy(update={"engine": QUICK.engine})
CHANGES = 5
SLOWER = 30
"""How many times as long as before a change in a neighbour may take until it is shown: the misbehaving guest shares our
event loop here. Whoever had to wait for it would wait for seconds; `test_hostile_neighbours` measures more exactly.
"""


def test_no_misbehaviour_is_forgotten() -> None:
    """Everything that a guest can do wrong is done to somebody here; what concerns a change of keys, in the tests of
    rotation; to hang over SSH, in a test of its own.
    """
    known = {*PROBLEMS, *OVER_TLS, *PECULIAR, *ODD, "keys-unwritable"}
    assert known == MISBEHAVIOURS.keys()


@pytest.mark.parametrize(
    ("over", "kind", "deeds"),
    [
        pytest.param({*PROBLEMS, *ODD}, DEEDS_OVER_SSH, DEEDS, id="ssh"),
        pytest.param({*OVER_TLS, *ODD_OVER_TLS}, DEEDS_OVER_TLS, DEEDS, id="tls"),
    ],
)
def test_no_hostile_deed_is_forgotten(over: set[str], kind: dict[str, Any], deeds: dict[str, Any]) -> None:
    """Each is done to somebody here, over either kind of link."""
    assert done(kind, deeds) - over == set()


async def _delay(one: World, name: str) -> float:
    """How long a change in a guest takes until it is shown: the median of some."""
    delays = []
    for _ in range(CHANGES):
        began = time.monotonic()
        one.change(name)
        await one.until(lambda: one.agrees(name), "the neighbour stays current")
        delays.append(time.monotonic() - began)
    return statistics.median(delays)


def _loud(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What libraries logged of it, with or without what the guest said."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("trait", sorted(PROBLEMS))
async def test_a_broken_guest_gets_its_problem_and_recovers(
    tmp_path: Path, trait: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each fault has a stable code, marks the containers stale or tells what is hidden, disturbs no neighbour, fills no
    log, and ends by itself.
    """
    async with world(tmp_path, settings=SMALL) as one:
        await _break_and_mend(one, trait, PROBLEMS[trait])
    assert _loud(caplog) == []


@pytest.mark.parametrize("trait", sorted(OVER_TLS))
async def test_a_broken_guest_over_tls_gets_its_problem_and_recovers(
    tmp_path: Path, trait: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As over SSH; a certificate that is good, but another VM's, by its addresses or by its CA, is none of this one."""
    async with world(tmp_path, settings=SMALL, is_tls=True) as one:
        await _break_and_mend(one, trait, OVER_TLS[trait])
    assert _loud(caplog) == []


async def _break_and_mend(one: World, trait: str, code: str) -> None:
    """Have the first VM misbehave until it has its problem, and behave until it is live, beside one that is well."""
    calm = await _delay(one, "vm-2")
    broken = one.guest("vm-1")
    await broken.misbehave(trait)
    broken.cut()
    await one.until_problem("vm-1", code)
    link = one.vm("vm-1").link
    assert link is not None
    assert link.problem is not None
    assert (link.problem.cause + link.problem.remedy).isprintable()
    assert [line for line in printed(one.containers("vm-1").values()) if not line.isprintable()] == []
    if code != "engine-too-large":
        assert all(container.stale for container in one.containers("vm-1").values())
        assert all(container.problem == code for container in one.containers("vm-1").values())
    assert await _delay(one, "vm-2") <= SLOWER * calm
    await broken.misbehave()
    if code == "engine-too-large" or trait == "crumbs":
        # What it said until now would be heard out first, at its pace.
        broken.cut()
    if one.problem("vm-1") == "host-key-changed":
        await one.confirm("vm-1")
    await one.until_live("vm-1")
    assert one.problem("vm-1") == ""


@pytest.mark.parametrize("trait", ODD)
async def test_what_makes_no_sense_is_read_past(tmp_path: Path, trait: str, caplog: pytest.LogCaptureFixture) -> None:
    """A guest that says odd things among sensible ones stays live; only its own containers are shown, within bounds."""
    async with world(tmp_path, settings=UNHURT) as one:
        await _read_past(one, trait)
    assert _loud(caplog) == []


@pytest.mark.parametrize("trait", ODD_OVER_TLS)
async def test_what_makes_no_sense_is_read_past_over_tls(
    tmp_path: Path, trait: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The same of a guest that is reached over TLS."""
    async with world(tmp_path, settings=UNHURT, is_tls=True) as one:
        await _read_past(one, trait)
    assert _loud(caplog) == []


async def _read_past(one: World, trait: str) -> None:
    """Have the first VM say odd things and be listed all the same, beside one that is well; then no more."""
    calm, odd = await _delay(one, "vm-2"), one.guest("vm-1")
    await odd.misbehave(trait)
    odd.cut()
    await one.until(lambda: not one.is_live("vm-1"), "the link is lost")
    await one.until(lambda: one.is_live("vm-1"), "it is listed again")
    assert await _delay(one, "vm-2") <= SLOWER * calm
    shown = one.containers("vm-1").values()
    assert {each.engine_id for each in shown} <= {each["id"] for each in await odd.truth()}
    assert all(len(text.encode()) <= QUICK.engine.text_bytes for each in shown for text in _texts(each))
    assert [line for line in printed(shown) if not line.isprintable()] == []
    await odd.misbehave()
    odd.cut()
    await one.until_live("vm-1")


def _texts(container: Container) -> tuple[str, ...]:
    return (container.name, container.image, container.command, container.status, *container.labels)


@pytest.mark.parametrize("trait", PECULIAR)
async def test_a_peculiar_guest_is_watched_all_the_same(tmp_path: Path, trait: str) -> None:
    """What is no fault does no harm: the way to the engine is chosen by what the guest allows."""
    async with world(tmp_path, vms=1) as one:
        await one.guest("vm-1").misbehave(trait)
        one.guest("vm-1").cut()
        await one.until(lambda: not one.is_live("vm-1"), "the link is lost")
        await one.until_live("vm-1")
        one.change("vm-1")
        await one.until(lambda: one.agrees("vm-1"), "events arrive")


async def test_more_containers_than_are_shown_are_told(tmp_path: Path) -> None:
    """An engine with more containers than the bound is live, with a problem that says how many are not shown."""
    settings = QUICK.model_copy(update={"engine": QUICK.engine.model_copy(update={"containers": 50})})
    async with world(tmp_path, vms=1, settings=settings) as one:
        guest = one.guest("vm-1")
        guest.engine.adopt(furnish(random.Random(1), 70, guest.engine.now()))
        guest.cut()
        await one.until_problem("vm-1", "engine-too-large")
        link = one.vm("vm-1").link
        assert link is not None
        assert link.problem is not None
        assert link.state is LinkState.LIVE
        assert "23 of its 73" in link.problem.cause
        assert len(one.containers("vm-1")) == 50


async def test_a_killed_ssh_server_is_stale_at_once(tmp_path: Path) -> None:
    """A connection that ends makes containers stale, with the time they were last known, and recovery lists anew."""
    async with world(tmp_path, vms=1) as one:
        guest = one.guest("vm-1")
        await guest.stop()
        await one.until(lambda: not one.is_live("vm-1"), "the link is lost")
        link = one.vm("vm-1").link
        assert link is not None
        for container in one.containers("vm-1").values():
            assert container.stale
            assert link.heard is not None
            assert container.as_of <= link.since
        one.change("vm-1")
        await guest.start()
        await one.until_live("vm-1")


async def test_an_engine_that_restarts_is_listed_again(tmp_path: Path) -> None:
    """The link survives an engine that goes down; what changed meanwhile is seen when it is back."""
    async with world(tmp_path, vms=1) as one:
        guest = one.guest("vm-1")
        await guest.misbehave("engine-down")
        await one.until_problem("vm-1", "engine-down")
        connections = guest.statistics()
        one.change("vm-1")
        await guest.misbehave()
        await one.until_live("vm-1")
        assert guest.statistics()["connections"] == connections["connections"] == 1


async def test_an_engine_that_hangs_while_nothing_happens_is_told(tmp_path: Path) -> None:
    """Its link lives and its stream of events is open: what it shows is stale all the same, until it answers again."""
    bounds = QUICK.engine.model_copy(update={"idle_seconds": 0.5, "answer_seconds": 1.0})
    async with world(tmp_path, vms=1, settings=QUICK.model_copy(update={"engine": bounds})) as one:
        await one.guest("vm-1").misbehave("silence")
        await one.until_problem("vm-1", "engine-timed-out")
        assert all(container.stale for container in one.containers("vm-1").values())
        await one.guest("vm-1").misbehave()
        await one.until_live("vm-1")


async def test_a_reinstalled_guest_waits_for_the_operator(tmp_path: Path) -> None:
    """Another host key is refused until the operator confirms it; then the pool remembers the new one."""
    async with world(tmp_path, vms=1) as one:
        await one.until(lambda: one.vm("vm-1").settings.get(HOST_KEY), "pinned")
        old = one.vm("vm-1").settings[HOST_KEY]
        await one.guest("vm-1").new_host_key()
        await one.until_problem("vm-1", "host-key-changed")
        vms = one.core.commands.vms
        known = vms.host_keys(one.vm("vm-1").id)
        assert known.state == "host-key-changed"
        assert known.shown is not None
        assert known.shown.fingerprint == fingerprint(one.guest("vm-1").host_key().split()[1])
        await one.confirm("vm-1")
        await one.until_live("vm-1")
        await one.until(lambda: one.vm("vm-1").settings.get(HOST_KEY) not in {None, old}, "pinned anew")


async def test_a_pin_that_vanishes_is_put_back(tmp_path: Path) -> None:
    """A host key that disappears from the pool while the guest still shows it is written again."""
    async with world(tmp_path, vms=1) as one:
        await one.until(lambda: one.vm("vm-1").settings.get(HOST_KEY), "pinned")
        vm = one.vm("vm-1")
        pin = vm.settings[HOST_KEY]
        await one.core.commands.pools.keeper(vm.pool).config.set(vm.id, HOST_KEY, None)
        await one.until(lambda: HOST_KEY not in one.vm("vm-1").settings, "the pin is gone")
        await one.until(lambda: one.vm("vm-1").settings.get(HOST_KEY) == pin, "the pin is back")
        assert one.is_live("vm-1")


async def test_only_the_key_that_was_compared_is_taken(tmp_path: Path) -> None:
    """Whoever swaps keys while the operator compares fingerprints is not confirmed: the consent names one key."""
    async with world(tmp_path, vms=1) as one:
        await one.guest("vm-1").misbehave("host-key-changes")
        one.guest("vm-1").cut()
        await one.until_problem("vm-1", "host-key-changed")
        vms, vm = one.core.commands.vms, one.vm("vm-1").id
        compared = vms.host_keys(vm).shown
        assert compared is not None
        await one.until(lambda: vms.host_keys(vm).shown != compared, "another key is shown")
        with pytest.raises(ConflictError) as caught:
            await vms.confirm_host_key(vm, compared.fingerprint)
        assert caught.value.code == "host-key-moved"
        assert not one.is_live("vm-1")


async def test_a_problem_tells_what_is_known_now(tmp_path: Path) -> None:
    """A problem that lasts keeps its beginning, but its text names the key that is shown now."""
    async with world(tmp_path, vms=1) as one:
        await one.guest("vm-1").misbehave("host-key-changes")
        one.guest("vm-1").cut()
        await one.until_problem("vm-1", "host-key-changed")
        first = _problem(one)
        await one.until(lambda: _problem(one).cause != first.cause, "another key is named")
        assert _problem(one).since == first.since


async def test_a_type_of_key_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """A guest that lost the type of its remembered key shows none to compare; forgotten, it is met anew."""
    async with world(tmp_path, vms=1) as one:
        await one.guest("vm-1").misbehave("host-key-ecdsa-only")
        one.guest("vm-1").cut()
        await one.until_problem("vm-1", "host-key-type-gone")
        vms, vm = one.core.commands.vms, one.vm("vm-1").id
        assert vms.host_keys(vm).shown is None
        with pytest.raises(ConflictError, match="no host key that waits"):
            await one.confirm("vm-1")
        await vms.forget_host_key(vm)
        await one.until_live("vm-1")


async def test_forgetting_a_key_lets_no_other_vm_take_its_place(tmp_path: Path) -> None:
    """A VM that announces another's address is not shown with the other's containers: not after its key was
    forgotten, and not after the address was confirmed; only after the other's key itself was compared and confirmed.
    """
    async with world(tmp_path) as one:
        await one.until(lambda: all(HOST_KEY in one.vm(name).settings for name in ("vm-1", "vm-2")), "pinned")
        vms, vm = one.core.commands.vms, one.vm("vm-2").id
        pin = one.vm("vm-1").settings[HOST_KEY]
        one.pool.set_addresses("vm-2", one.guest("vm-1").addresses)
        await one.until(lambda: one.vm("vm-2").addresses == one.vm("vm-1").addresses, "announced")
        one.guest("vm-2").cut()
        await one.until_problem("vm-2", "address-of-another")
        await vms.forget_host_key(vm)
        await one.until_problem("vm-2", "address-claimed-twice")
        await vms.confirm_host_key(vm, None)
        await one.until_problem("vm-2", "host-key-shared")
        assert one.vm("vm-2").settings.get(HOST_KEY) != pin
        assert {each.engine_id for each in one.containers("vm-2").values()}.isdisjoint(
            each.engine_id for each in one.containers("vm-1").values()
        )
        await one.confirm("vm-2")
        await one.until(lambda: one.is_live("vm-2") and one.vm("vm-2").settings.get(HOST_KEY) == pin, "as confirmed")


async def test_the_key_of_a_live_vm_can_be_forgotten(tmp_path: Path) -> None:
    """It is called anew at once: a first contact, whose key is remembered again."""
    async with world(tmp_path, vms=1) as one:
        await one.until(lambda: HOST_KEY in one.vm("vm-1").settings, "pinned")
        vms, vm = one.core.commands.vms, one.vm("vm-1").id
        before, pinned = one.guest("vm-1").statistics()["connections_ever"], vms.host_keys(vm).pinned
        await vms.forget_host_key(vm)
        await one.until(lambda: one.guest("vm-1").statistics()["connections_ever"] > before, "called anew")
        await one.until(lambda: one.is_live("vm-1") and vms.host_keys(vm).pinned == pinned, "remembered again")
        await one.until(lambda: HOST_KEY in one.vm("vm-1").settings, "pinned again")


async def test_a_first_contact_after_a_key_was_forgotten_is_protected(tmp_path: Path) -> None:
    """By whatever protects first contacts: an address that another VM announces too is not called."""
    async with world(tmp_path) as one:
        await one.until(lambda: HOST_KEY in one.vm("vm-2").settings, "pinned")
        one.pool.set_addresses("vm-2", one.guest("vm-1").addresses)
        await one.until(lambda: one.vm("vm-2").addresses == one.vm("vm-1").addresses, "announced")
        assert one.is_live("vm-2")
        await one.core.commands.vms.forget_host_key(one.vm("vm-2").id)
        await one.until_problem("vm-2", "address-claimed-twice")


@pytest.mark.parametrize("source", ["running", "off", "destroyed"])
async def test_a_clones_copied_pin_is_not_believed(tmp_path: Path, source: str) -> None:
    """Whatever has become of its original: the clone is met anew, and pinned to its own key."""
    async with world(tmp_path) as one:
        await one.until(lambda: HOST_KEY in one.vm("vm-1").settings, "pinned")
        pin = one.vm("vm-1").settings[HOST_KEY]
        if source != "running":
            await one.pool.stop_vm("vm-1")
        if source == "destroyed":
            await one.pool.destroy_vm("vm-1")
        await one.pool.make_vm(NewVm("clone", 2, enabled=False))
        config = one.pool.core.vm(one.pool.find("clone"))["other_config"]
        copied = {**config, HOST_KEY: pin, MONITOR_KEY: "True"}
        one.pool.core.database.write("VM", one.pool.find("clone"), "other_config", copied)
        await one.until_live("clone")
        await one.until(lambda: one.vm("clone").settings.get(HOST_KEY) not in {None, pin}, "pinned to its own")


async def test_asking_why_does_not_hammer_a_guest(tmp_path: Path) -> None:
    """Whoever asks again and again causes no more sign-ins than is polite: an SSH server would hold them against us."""
    settings = QUICK.model_copy(update={"link": QUICK.link.model_copy(update={"retry_first_seconds": 1.0})})
    async with world(tmp_path, vms=1, settings=settings) as one:
        guest, vm = one.guest("vm-1"), one.vm("vm-1").id
        await guest.misbehave("key-rejected")
        guest.cut()
        await one.until_problem("vm-1", "key-rejected")
        before = guest.statistics()["connections_ever"]
        await asyncio.gather(*(one.core.commands.vms.why(vm) for _ in range(40)))
        assert guest.statistics()["connections_ever"] - before <= 2


def _problem(one: World) -> Problem:
    link = one.vm("vm-1").link
    problem: Problem | None = link.problem if link is not None else None
    assert problem is not None
    return problem
