"""What a check of the path to a VM finds: the step at which each misbehaviour shows; and it leaves nothing behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import pytest

from roadstead.act.guests import checks
from roadstead.act.guests.checks import PARALLEL
from roadstead.errors import ConflictError, NotFoundError
from roadstead.lab.pool.driver import NewVm
from roadstead.model import PathStep, StepFinding, VmId
from roadstead.model.config_keys import HOST_KEY
from roadstead.peers.links.messages import fingerprint
from tests.contract.ailments import AILMENTS, NOBODY
from tests.contract.test_faults_of_guests import PROBLEMS, SMALL
from tests.contract.world import CALM, QUICK, World, world

SSH_STEPS = [
    "power",
    "address",
    "pool key",
    "route",
    "port",
    "handshake",
    "host key",
    "authentication",
    "relay",
    "socket",
    "permission",
    "API version",
    "containers",
    "plain port",
]
LATE = frozenset({"event-garbage", "event-huge", "event-blanks", "events-cut"})
"""They show in the events, which a check does not wait for."""


UNHURRIED = SMALL.model_copy(update={"link": CALM.link})
"""Where no limit on the link is what ends it: a busy machine may need long for a sign-in."""
PATIENT = QUICK.model_copy(update={"link": QUICK.link.model_copy(update={"login_seconds": 60.0})})


class First(NamedTuple):
    """The first step that fails, and the code that it fails with."""

    step: PathStep
    code: str


FIRST = {
    "close-before-banner": First(PathStep.HANDSHAKE, "ssh-refuses-us"),
    "banner-never-comes": First(PathStep.HANDSHAKE, "timed-out"),
    "banner-garbage": First(PathStep.HANDSHAKE, "ssh-failed"),
    "banner-drips": First(PathStep.HANDSHAKE, "timed-out"),
    "banner-endless-line": First(PathStep.HANDSHAKE, "ssh-failed"),
    "handshake-never-ends": First(PathStep.HANDSHAKE, "timed-out"),
    "handshake-garbage": First(PathStep.HANDSHAKE, "ssh-failed"),
    "sign-in-babbles": First(PathStep.AUTHENTICATION, "ssh-failed"),
    "sign-in-never-ends": First(PathStep.AUTHENTICATION, "timed-out"),
    "key-rejected": First(PathStep.AUTHENTICATION, "key-rejected"),
    "host-key-changes": First(PathStep.HOST_KEY, "host-key-changed"),
    "host-key-shared": First(PathStep.HOST_KEY, "host-key-changed"),
    "host-key-ecdsa-only": First(PathStep.HOST_KEY, "host-key-type-gone"),
    "no-socket": First(PathStep.SOCKET, "no-engine-socket"),
    "socket-denied": First(PathStep.PERMISSION, "engine-socket-denied"),
    "engine-down": First(PathStep.SOCKET, "engine-down"),
    "request-unread": First(PathStep.API_VERSION, "engine-timed-out"),
    "silence": First(PathStep.API_VERSION, "engine-timed-out"),
    "drip": First(PathStep.API_VERSION, "engine-timed-out"),
    "garbage": First(PathStep.API_VERSION, "engine-answer-invalid"),
    "endless-headers": First(PathStep.API_VERSION, "engine-answer-invalid"),
    "endless-header-line": First(PathStep.API_VERSION, "engine-answer-invalid"),
    "endless-announcements": First(PathStep.API_VERSION, "engine-answer-invalid"),
    "endless-chunks": First(PathStep.API_VERSION, "engine-answer-invalid"),
    "endless-chunk-line": First(PathStep.API_VERSION, "engine-answer-invalid"),
    "crumbs": First(PathStep.API_VERSION, "engine-timed-out"),
    "compressed": First(PathStep.API_VERSION, "engine-answer-invalid"),
    "redirects": First(PathStep.API_VERSION, "engine-refused"),
    "upgrades": First(PathStep.API_VERSION, "engine-answer-invalid"),
    "one-byte-answers": First(PathStep.API_VERSION, "engine-down"),
    "cut-answers": First(PathStep.API_VERSION, "engine-down"),
    "server-errors": First(PathStep.API_VERSION, "engine-refused"),
    "old-api": First(PathStep.API_VERSION, "engine-unsupported"),
    "invalid-json": First(PathStep.CONTAINERS, "engine-answer-invalid"),
    "not-a-list": First(PathStep.CONTAINERS, "engine-answer-invalid"),
    "deep-nesting": First(PathStep.CONTAINERS, "engine-answer-invalid"),
    "large-body": First(PathStep.CONTAINERS, "engine-too-large"),
    "ten-gigabytes": First(PathStep.CONTAINERS, "engine-too-large"),
    "endless-text": First(PathStep.CONTAINERS, "engine-too-large"),
    "endless-list": First(PathStep.CONTAINERS, "engine-too-large"),
    "many-containers": First(PathStep.CONTAINERS, "engine-too-large"),
}


async def checked(one: World, name: str) -> list[StepFinding]:
    """Check the path to the VM of this name."""
    return [finding async for finding in one.core.commands.checks.start(one.vm(name).id).findings()]


def failed(found: list[StepFinding]) -> list[tuple[str, str]]:
    """The steps that failed, with their codes; each failure has a cause and a remedy."""
    assert all(each.finding and each.remedy for each in found if each.state == "failed")
    return [(each.step, each.code) for each in found if each.state == "failed"]


@pytest.mark.parametrize("trait", sorted(FIRST))
async def test_the_step_at_which_a_misbehaviour_shows(tmp_path: Path, trait: str) -> None:
    """It is named with the code that the VM's problem would have; the steps before it are told as passed, none after
    it; and the link that stands, the pins and the VM's state are as they were.
    """
    first = FIRST[trait]
    async with world(tmp_path, vms=1, settings=SMALL if first.code == "timed-out" else UNHURRIED) as one:
        await one.until(lambda: one.vm("vm-1").settings.get(HOST_KEY), "pinned")
        await one.guest("vm-1").misbehave(trait)
        found = await checked(one, "vm-1")

        assert failed(found) == [first]
        place = SSH_STEPS.index(first.step)
        before = [each.step for each in found if each.state == "ok" and each.step != "plain port"]
        assert before == [step for step in SSH_STEPS[:place] if step in before]
        assert {*SSH_STEPS[:place]} - {*before} <= {"relay"}


def test_every_misbehaviour_has_its_step() -> None:
    """Of those that keep a guest from being watched; none is forgotten."""
    assert FIRST.keys() | LATE == PROBLEMS.keys()


async def test_a_vm_that_is_well_passes_every_step(tmp_path: Path) -> None:
    """In order, with what was found; over a connection of its own that is closed afterwards, while the link stands."""
    async with world(tmp_path, vms=1) as one:
        await one.until(lambda: one.vm("vm-1").settings.get(HOST_KEY), "pinned")
        guest, since = one.guest("vm-1"), one.since()
        found = await checked(one, "vm-1")

        assert [(each.step, each.state) for each in found] == [(step, "ok") for step in SSH_STEPS]
        told = {each.step: each.finding for each in found}
        shown = fingerprint(guest.host_key().split()[1])
        assert told["host key"] == f"ssh-ed25519 {shown}, as remembered"
        assert told["handshake"].startswith("SSH-2.0-")
        assert (told["relay"], told["containers"]) == ("streamlocal", "3 listed")
        assert (told["socket"], told["permission"]) == ("/var/run/docker.sock", "core may open it")
        assert told["authentication"].startswith("core, by the key SHA256:")
        await one.until(lambda: guest.statistics()["connections"] == 1, "its connection is closed")
        assert guest.statistics()["connections_ever"] == 2
        assert one.since() == since


async def test_a_vm_that_is_not_enabled_is_checked_and_left_as_it_was(tmp_path: Path) -> None:
    """Its host key is shown and not stored, it is not enabled, and nobody is connected to it afterwards."""
    async with world(tmp_path, vms=1) as one:
        await one.pool.make_vm(NewVm("other", 2, enabled=False))
        await one.until(lambda: "other" in {vm.name for vm in one.vms()} and one.vm("other").addresses, "it is seen")
        before = one.vm("other")
        found = await checked(one, "other")

        assert [(each.step, each.state) for each in found] == [(step, "ok") for step in SSH_STEPS]
        told = {each.step: each.finding for each in found}
        assert told["power"].endswith("not enabled, checked all the same")
        assert told["host key"].endswith("first contact; it is shown, not remembered")
        await one.until(lambda: one.guest("other").statistics()["connections"] == 0, "its connection is closed")
        vm = one.vm("other")
        assert (vm.settings, vm.link) == (before.settings, before.link)
        keys = one.core.commands.vms.host_keys(vm.id)
        assert (keys.pinned, keys.shown, keys.state) == (None, None, "none")


async def test_another_key_is_told_and_nothing_learned(tmp_path: Path) -> None:
    """Neither is the shown key one that waits to be confirmed, nor is the pin another."""
    async with world(tmp_path, vms=1) as one:
        await one.pool.make_vm(NewVm("other", 2, enabled=False))
        await AILMENTS["pinned to another key"].inflict(one, "other")
        await one.until(lambda: HOST_KEY in {key for vm in one.vms() for key in vm.settings if vm.name == "other"})
        await one.until(lambda: one.vm("other").addresses, "it is seen")
        vms, before = one.core.commands.vms, one.vm("other")
        assert failed(await checked(one, "other")) == [("host key", "host-key-changed")]
        keys = vms.host_keys(before.id)
        assert (keys.shown, keys.state) == (None, "pinned")
        assert one.vm("other").settings == before.settings
        await one.until(lambda: one.guest("other").statistics()["connections"] == 0, "its connection is closed")


async def test_a_vm_that_is_off_says_so(tmp_path: Path) -> None:
    """And nobody is called."""
    async with world(tmp_path, vms=1) as one:
        await one.pool.stop_vm("vm-1")
        await one.until(lambda: not one.vm("vm-1").running, "it is off")
        found = await checked(one, "vm-1")
        assert [(each.step, each.code) for each in found] == [("power", "vm-off")]
        assert found[0].finding == "The VM vm-1 is not running."


@pytest.mark.parametrize(
    ("name", "step"),
    [
        pytest.param("no address", PathStep.ADDRESS),
        pytest.param("loopback", PathStep.ADDRESS),
        pytest.param("port is none", PathStep.ADDRESS),
        pytest.param("socket is none", PathStep.ADDRESS),
        pytest.param("pin is no key", PathStep.HOST_KEY),
        pytest.param("address of nobody", PathStep.PORT),
        pytest.param("sshd is down", PathStep.PORT),
        pytest.param("port closed", PathStep.PORT),
        pytest.param("key of another user", PathStep.AUTHENTICATION),
        pytest.param("no relay", PathStep.RELAY),
        pytest.param("no way in", PathStep.RELAY),
        pytest.param("engine down, key restricted", PathStep.RELAY),
    ],
)
async def test_other_ailments_show_at_their_step(tmp_path: Path, name: str, step: PathStep) -> None:
    """What the pool's administrators wrote, what the tools announce, and what a guest forbids."""
    ailment = AILMENTS[name]
    async with world(tmp_path, vms=1) as one:
        await one.until(lambda: one.vm("vm-1").settings.get(HOST_KEY), "pinned")
        await ailment.inflict(one, "vm-1")
        await one.until_problem("vm-1", ailment.code)
        found = await checked(one, "vm-1")
        assert failed(found) == [(step, ailment.code)]


async def test_a_guest_that_forbids_forwarding_is_well(tmp_path: Path) -> None:
    """The relay that stands in is named; what a refusal means was asked for."""
    async with world(tmp_path, vms=1) as one:
        await one.guest("vm-1").misbehave("streamlocal-forbidden")
        found = await checked(one, "vm-1")
        assert failed(found) == []
        assert {each.step: each.finding for each in found}["relay"] == "dial-stdio"


async def test_each_address_is_told_of(tmp_path: Path) -> None:
    """One that leads nowhere is no failure where another leads there; where none does, each is told and then the path
    fails, at the address that tells most.
    """
    async with world(tmp_path, vms=1) as one:
        guest = one.guest("vm-1")
        (good,) = guest.addresses
        one.pool.set_addresses("vm-1", (NOBODY, good))
        await one.until(lambda: len(one.vm("vm-1").addresses) == 2, "announced")
        found = await checked(one, "vm-1")
        assert failed(found) == []
        assert [(each.step, each.address) for each in found if each.state == "missed"] in ([], [("port", NOBODY)])

        await guest.misbehave("close-before-banner")
        found = await checked(one, "vm-1")
        missed = {(each.step, each.address) for each in found if each.state == "missed"}
        assert missed == {("port", NOBODY), ("handshake", good)}
        assert [(each.step, each.address, each.code) for each in found if each.state == "failed"] == [
            ("handshake", good, "ssh-refuses-us")
        ]


async def test_findings_come_as_they_are_made_and_whoever_leaves_ends_it(tmp_path: Path) -> None:
    """The steps before a silent guest are known before it is given up; then nobody is connected to it any more."""
    async with world(tmp_path, vms=1, settings=PATIENT) as one:
        guest = one.guest("vm-1")
        await guest.misbehave("banner-never-comes")
        findings = one.core.commands.checks.start(one.vm("vm-1").id).findings()
        steps = []
        async for finding in findings:
            steps.append(finding.step)
            if finding.step == "port":
                break
        await one.until(lambda: guest.statistics()["connections"] == 2, "it is connected")
        await findings.aclose()
        await one.until(lambda: guest.statistics()["connections"] == 1, "its connection is closed")
        assert steps == SSH_STEPS[:5]


async def test_checks_are_bounded_and_polite(tmp_path: Path) -> None:
    """Only some at once, and one guest is not signed in to more often than is polite, whoever asks."""
    settings = QUICK.model_copy(update={"link": QUICK.link.model_copy(update={"retry_first_seconds": 2.0})})
    async with world(tmp_path, vms=1, settings=settings) as one:
        guest, vm, commands = one.guest("vm-1"), one.vm("vm-1").id, one.core.commands
        begun = [commands.checks.start(vm) for _ in range(PARALLEL)]
        with pytest.raises(ConflictError) as caught:
            commands.checks.start(vm)
        assert caught.value.code == "too-many-checks"
        before = time.monotonic()
        async for finding in begun[0].findings():
            assert finding.state == "ok"
        allowed = 1 + (time.monotonic() - before) / 2.0 + 1
        assert guest.statistics()["connections_ever"] - 1 <= allowed
        for check in begun[1:]:
            await check.findings().aclose()


async def test_the_whole_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long each step may take: the one that is under way then is what fails."""
    monkeypatch.setattr(checks, "WHOLE_SECONDS", 0.5)
    async with world(tmp_path, vms=1, settings=PATIENT) as one:
        guest = one.guest("vm-1")
        await guest.misbehave("banner-never-comes")
        found = await checked(one, "vm-1")
        assert failed(found) == [("handshake", "timed-out")]
        assert "while checking the handshake" in next(each.finding for each in found if each.state == "failed")


async def test_it_is_audited(tmp_path: Path) -> None:
    """As a command on the VM, whatever it finds."""
    async with world(tmp_path, vms=1) as one:
        await checked(one, "vm-1")
        entry = (await one.core.commands.audit.recent(1))[0]
        assert (entry.what, entry.target, entry.result) == ("check", one.vm("vm-1").id, "done")


async def test_there_is_no_such_vm(tmp_path: Path) -> None:
    """Then nothing begins."""
    async with world(tmp_path, vms=0) as one:
        with pytest.raises(NotFoundError):
            one.core.commands.checks.start(VmId("nobody"))
