"""How what links tell becomes findings: each step once, in order, in words that harm nobody."""

import pytest

from roadstead.act.guests.walks import Walk
from roadstead.errors import LinkError
from roadstead.model import PathStep, StepFinding
from roadstead.plan import path

ONE, OTHER = "10.0.0.1", "10.0.0.2"
NAMES = {"vm": "web-1", "pool": "prod", "uuid": "u-1"}


@pytest.fixture
def told() -> list[StepFinding]:
    """What was told."""
    return []


def _walk(told: list[StepFinding], *addresses: str) -> Walk:
    """A walk that has come as far as the addresses."""
    walk = Walk(path.SSH, told.append, NAMES)
    walk.ok(PathStep.ROUTE, "from 10.0.0.9")
    walk.calls(addresses)
    told.clear()
    return walk


def _told(told: list[StepFinding]) -> list[tuple[str, str, str, str]]:
    return [(each.step, each.state, each.address, each.code) for each in told]


def test_a_step_is_passed_once(told: list[StepFinding]) -> None:
    """A guest that shows its key again, as at each exchange of keys, takes nobody back; what fails is the next step."""
    walk = _walk(told, ONE)
    for step in (PathStep.PORT, PathStep.HANDSHAKE, PathStep.HOST_KEY, PathStep.HANDSHAKE, PathStep.HOST_KEY):
        walk.passed(step, "", ONE)
    error = LinkError("timed-out", step="signing in", addresses=ONE)
    walk.missed(ONE, error)
    walk.fails(error)

    assert _told(told)[2:] == [("host key", "ok", ONE, ""), ("authentication", "failed", ONE, "timed-out")]


def test_what_a_guest_says_is_tamed(told: list[StepFinding]) -> None:
    """Its version line may hold anything, and be long."""
    _walk(told, ONE).passed(PathStep.HANDSHAKE, "SSH-2.0-\x1b[2J\r\n" + "x" * 1000, ONE)

    assert told[0].finding.startswith("SSH-2.0- [2J  xxx")
    assert len(told[0].finding) <= 256


def test_the_error_that_tells_most_fails_where_it_happened(told: list[StepFinding]) -> None:
    """Each address is told of as missed; the error, as it reads for this VM, fails the step of the one it is about."""
    walk = _walk(told, ONE, OTHER)
    walk.missed(ONE, LinkError("refused", addresses=ONE, port=22))
    for step in (PathStep.PORT, PathStep.HANDSHAKE, PathStep.HOST_KEY):
        walk.passed(step, "", OTHER)
    rejected = LinkError("key-rejected", user="core")
    walk.missed(OTHER, rejected)
    moved = LinkError("key-of-another-pool", user="core", evidence="it was managed")
    moved.__cause__ = rejected
    walk.fails(moved)

    failures = [each for each in _told(told) if each[1] != "ok"]
    assert failures == [
        ("port", "missed", ONE, ""),
        ("authentication", "missed", OTHER, ""),
        ("authentication", "failed", OTHER, "key-of-another-pool"),
    ]
    assert "roadstead prepare web-1" in told[-1].remedy


def test_what_happens_behind_the_link_is_of_no_address(told: list[StepFinding]) -> None:
    """Also where another address had missed it with the same code before."""
    walk = _walk(told, ONE, OTHER)
    walk.missed(ONE, LinkError("unreachable", addresses=ONE, reason="no route"))
    for step in (PathStep.PORT, PathStep.HANDSHAKE, PathStep.HOST_KEY, PathStep.AUTHENTICATION):
        walk.passed(step, "", OTHER)
    walk.goes_on(OTHER)
    assert walk.next is PathStep.RELAY
    walk.fails(LinkError("engine-socket-denied", user="core", socket="/run/x"))

    assert _told(told)[-2:] == [("socket", "ok", "", ""), ("permission", "failed", "", "engine-socket-denied")]
