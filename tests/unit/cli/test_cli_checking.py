"""`why --deep`: each step is shown as it comes, the first that fails is named with its remedy."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from tests.unit.cli.canned import Canned, Raw, Stream, Terminal, problem, run, vm

CHECK = "POST /vms/vm1/check"
SHOWN = "ssh-ed25519 SHA256:rkGDVP0Pzv4Ul7wkHt1gSx115A35S16AR0hmhgyvcGM"


def step(name: str, finding: str = "", state: str = "ok", **more: Any) -> dict[str, Any]:
    """A finding as the server tells it."""
    base = {"step": name, "state": state, "seconds": 0.01, "finding": finding, "address": "", "code": "", "remedy": ""}
    return base | more


GOOD = [step("power", "running on north"), step("port", "22 is open", address="10.0.0.7"), step("host key", SHOWN)]
BAD = [
    *GOOD[:2],
    step("host key", "It shows another.", "failed", address="10.0.0.7", code="host-key-changed", remedy="Compare it."),
    step("plain port", "An engine answers.", "failed", code="plain-http-engine", remedy="Close it."),
]


def lines(findings: Iterable[dict[str, Any]]) -> Raw:
    """The answer of the server."""
    return Raw(b"".join(json.dumps(each).encode() + b"\n" for each in findings))


def test_all_is_well(canned: Canned) -> None:
    """Each step on a line with its time, the address once, and exit code 0."""
    canned.answers[CHECK] = lines(GOOD)

    done = run(canned, "why", "vm1", "--deep")

    assert done.stdout.splitlines() == [
        "ok        0.01 s  power: running on north",
        "ok        0.01 s  port at 10.0.0.7: 22 is open",
        f"ok        0.01 s  host key: {SHOWN}",
        "",
        "All is well: every step was passed.",
    ]
    assert (done.returncode, done.stderr) == (0, "")


def test_the_first_step_that_fails_is_named_with_its_remedy(canned: Canned) -> None:
    """Whatever fails after it; exit code 1."""
    canned.answers[CHECK] = lines(BAD)

    done = run(canned, "why", "vm1", "--deep")

    assert done.stdout.splitlines()[2:] == [
        "failed    0.01 s  host key: It shows another.",
        "failed    0.01 s  plain port: An engine answers.",
        "",
        "The first step that fails: host key (host-key-changed).",
        "Compare it.",
    ]
    assert done.returncode == 1


@pytest.mark.parametrize(("findings", "code"), [(GOOD, 0), (BAD, 1)])
def test_for_programs_it_is_one_list(canned: Canned, findings: list[dict[str, Any]], code: int) -> None:
    """As the server tells it, with the same exit codes."""
    canned.answers[CHECK] = lines(findings)

    done = run(canned, "why", "vm1", "--deep", "--format", "json")

    assert (json.loads(done.stdout), done.returncode) == (findings, code)


def test_several_paths_are_walked_one_after_the_other(canned: Canned) -> None:
    """Each below its VM's name; some that fail end with 4, and JSON tells whose the steps are."""
    canned.answers |= {"GET /vms/a": vm("a"), "GET /vms/b": vm("b")}
    canned.answers |= {"POST /vms/a-uuid/check": lines(GOOD), "POST /vms/b-uuid/check": lines(BAD)}

    done = run(canned, "why", "a", "b", "--deep")
    told = json.loads(run(canned, "why", "a", "b", "--deep", "--format", "json").stdout)

    assert (done.returncode, [line for line in done.stdout.splitlines() if line in {"a", "b"}]) == (4, ["a", "b"])
    assert told == [
        {"vm": "a-uuid", "name": "a", "steps": GOOD},
        {"vm": "b-uuid", "name": "b", "steps": BAD},
    ]


def test_steps_are_shown_while_others_are_under_way(canned: Canned) -> None:
    """And nothing is wider than 60 columns, a fingerprint neither."""
    stream = Stream()
    canned.answers[CHECK] = stream
    with Terminal(canned, "why", "vm1", "--deep", columns=60) as terminal:
        stream.put(json.dumps(GOOD[0]) + "\n")
        shown = terminal.wait_for("running on north")
        stream.put(json.dumps(GOOD[2] | {"finding": f"{SHOWN}, as remembered"}) + "\n")
        shown += terminal.wait_for("as remembered")
        stream.put(None)
        code, rest = terminal.ended()

    plain = (shown + rest).replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert max(len(line) for line in plain.splitlines()) <= 60
    assert "All is well" in rest
    assert code == 0


def test_a_check_that_breaks_off_is_not_all_well(canned: Canned) -> None:
    """A server that ends in the middle, or says nothing at all, has not found that all is well."""
    canned.answers[CHECK] = Raw(b"")
    silent = run(canned, "why", "vm1", "--deep")
    canned.answers[CHECK] = Raw(b"nonsense\n")
    odd = run(canned, "why", "vm1", "--deep")

    assert (silent.returncode, odd.returncode) == (5, 5)
    assert "All is well" not in silent.stdout + odd.stdout


def test_what_a_guest_says_commands_no_terminal(canned: Canned) -> None:
    """Its version line is shown without escapes, for people and for programs."""
    canned.answers[CHECK] = lines([step("handshake", "SSH-2.0-\x1b]0;x\x07\u202e")])

    for words in ((), ("--format", "json")):
        shown = run(canned, "why", "vm1", "--deep", *words).stdout
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_a_refusal_is_told(canned: Canned) -> None:
    """When too many are under way, say."""
    canned.answers[CHECK] = problem(503, "too-many-checks", "8 checks are under way already.", "Wait.")

    done = run(canned, "why", "vm1", "--deep")

    assert (done.returncode, done.stderr) == (1, "Error: 8 checks are under way already.\nWait.\n")


def test_why_alone_is_told_to_programs_too(canned: Canned) -> None:
    """As the server tells it."""
    told = {"vm": "vm1-uuid", "name": "vm1", "state": "live", "problem": None, "facts": [["port", "22"]]}
    canned.answers["GET /vms/vm1/why"] = told

    assert json.loads(run(canned, "why", "vm1", "--format", "json").stdout) == told
