"""Certificates on the command line: the conversation of preparing leads to new ones; listed, shown, ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.canned import Canned, problem, run, vm
from tests.unit.cli.test_cli_prepare import behind_tls, sent

PATH = "/vms/win-1/certificates"
SSH = problem(409, "tls-not-used", "The engine of web-1 is not reached over TLS.", "Prepare it.")


def state(name: str, **more: Any) -> dict[str, Any]:
    """How new certificates stand, as the API shows it."""
    told = {"vm": "v", "name": "win-1", "state": name, "addresses": ["10.0.1.17"], "until": None, "last": ""}
    return told | more


def ends(**days: int | None) -> list[dict[str, Any]]:
    """The list of VMs behind TLS, each with the days that its certificates are good; None: that is not known."""
    now = datetime.now(UTC) + timedelta(hours=1)
    return [
        {"vm": f"{name}-uuid", "name": name, "pool_name": "p", "state": "live", "whose": "w",
         "until": (now + timedelta(days=left)).isoformat() if left is not None else None,
         "problem": "pool-timed-out" if left is None else ""}
        for name, left in days.items()
    ]  # fmt: skip


@pytest.fixture
def yard(canned: Canned) -> Canned:
    """Three VMs behind TLS and one that is not."""
    names = ("win1", "win2", "win3", "web1")
    canned.answers["GET /vms"] = [vm(name) for name in names]
    for name in names:
        canned.answers[f"GET /vms/{name}"] = vm(name)
        canned.answers[f"POST /vms/{name}-uuid/prepare"] = behind_tls(name, 0)
    canned.answers["POST /vms/web1-uuid/prepare"] = SSH
    canned.answers["GET /certificates"] = ends(win1=10, win2=100, win3=None)
    return canned


def _asked(canned: Canned) -> set[str]:
    """The VMs for which something was done."""
    return {name for name in ("win1", "win2", "win3", "web1") if canned.bodies("POST", f"/vms/{name}-uuid/prepare")}


def test_make_is_the_conversation_of_preparing(yard: Canned) -> None:
    """With the warning also where nobody is asked; certificates that work are made anew all the same."""
    done = run(yard, "certificates", "make", "win1", "--from", "10.9.0.0/16", "--yes")

    assert (done.returncode, done.stdout.splitlines()[1].split()[:2]) == (0, ["win1", "prepared"])
    assert "any user of the VM can read the CD" in done.stderr
    said = sent(yard, "win1")
    assert (said["action"], said["mode"], said["tls"]["renew"]) == ("prepare", "tls", True)
    assert said["tls"]["sources"] == ["10.9.0.0/16"]
    yard.answers["POST /vms/win1-uuid/prepare"] = behind_tls("win1", 0)
    done = run(yard, "prepare", "win1", "--mode=tls", "--from=10.9.0.0/16", "--yes")
    assert (done.returncode, sent(yard, "win1")["tls"]["sources"]) == (0, ["10.9.0.0/16"])


def test_who_does_not_wait_is_told_of_the_cd(yard: Canned) -> None:
    """And what is to be done in the VM."""
    yard.answers["POST /vms/win1-uuid/prepare"] = behind_tls("win1", 10_000)
    done = run(yard, "certificates", "make", "win1", "--yes", "--no-wait", COLUMNS="200")

    assert (done.returncode, "CD in the drive" in done.stdout) == (0, True)
    assert "Run it." in done.stderr
    assert "`roadstead certificates show|cancel win1`" in done.stderr
    assert "preparation" not in sent(yard, "win1")["tls"]


def test_several_are_renewed_and_one_that_fails_stops_no_other(yard: Canned) -> None:
    """Each is told of while it goes on; one that is not behind TLS is explained; some that failed are exit code 4."""
    done = run(yard, "certificates", "renew", "win*", "web1", "--yes")

    assert done.returncode == 4
    assert {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()} == {
        "VM": "RESULT", "win1": "prepared", "win2": "prepared", "win3": "prepared", "web1": "failed:",
    }  # fmt: skip
    assert "web1: The engine of web-1 is not reached over TLS. Prepare it." in done.stderr
    assert "win2: prepared: it uses them" in done.stderr
    said = sent(yard, "win1")
    assert (said["action"], said["tls"]) == ("renew", {"addresses": ["10.0.0.7"], "preparation": "win1-1"})


def test_only_those_that_end_soon_are_renewed(yard: Canned) -> None:
    """Of all VMs, or of those that are meant; once more there is nothing left to do."""
    yard.answers["GET /certificates"] = ends(win1=10, win2=100)
    done = run(yard, "certificates", "renew", "--expiring", "30", "--yes")
    assert (done.returncode, _asked(yard)) == (0, {"win1"})
    yard.answers["GET /certificates"] = ends(win1=729, win2=100)
    again = run(yard, "certificates", "renew", "win*", "web1", "--expiring", "30", "--yes")
    assert (again.returncode, again.stdout) == (0, "No certificates end within 30 days; nothing was changed.\n")
    assert "Left alone, as not reached over TLS: win3, web1" in again.stderr
    assert "Left alone, as good for longer than 30 days: win1, win2" in again.stderr
    assert _asked(yard) == {"win1"}


def test_what_is_not_known_to_end_is_told_and_fails(yard: Canned) -> None:
    """It may be good for long, and may have ended; nothing is done to it."""
    done = run(yard, "certificates", "renew", "--expiring", "30", "--yes")

    assert (done.returncode, _asked(yard)) == (4, {"win1"})
    assert "certificates of win3 are good is not known (pool-timed-out)" in done.stderr
    assert "failed: certificates-end-unknown" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "VM is not valid: name VMs, or say which with --filter or --expiring"),
        (["win*", "--address", "10.0.0.7"], "--address is not valid: it is one VM's"),
        (["win1", "--from", "any"], "--from is not valid: 'any' is neither a network"),
        (["--expiring", "-1"], "must be at least 0"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(yard: Canned, words: list[str], told: str) -> None:
    """By the name of the option; nothing is asked of any VM."""
    done = run(yard, "certificates", "renew", *words, "--yes")

    assert (done.returncode, told in done.stderr, _asked(yard)) == (2, True, set()), done.stderr


def test_files_are_read_and_their_faults_named(yard: Canned, tmp_path: Path) -> None:
    """By the option; what is no text is not sent."""
    done = {"mode": "tls", "state": "prepared", "until": "2027-01-02T00:00:00Z", "done": ["they are stored"]}
    yard.answers["POST /vms/win1-uuid/prepare"] = done
    names = {"--client-cert": "cert.pem", "--client-key": "key.pem", "--ca-cert": "ca.pem"}
    for name in names.values():
        (tmp_path / name).write_text(name)
    words = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    taken = run(yard, "certificates", "import", "win1", *words)
    (tmp_path / "ca.pem").write_bytes(b"\x30\x82\xff")
    failed = run(yard, "certificates", "import", "win1", *words)

    assert (taken.returncode, "2027-01-02" in taken.stdout) == (0, True)
    given = {"client_cert": "cert.pem", "client_key": "key.pem", "ca_cert": "ca.pem"}
    assert yard.bodies("POST", "/vms/win1-uuid/prepare") == [
        {"mode": "tls", "action": "prepare", "tls": {"given": given}}
    ]
    assert failed.returncode == 2
    assert "--ca-cert" in failed.stderr


def test_what_is_left_of_the_cd_is_told(canned: Canned) -> None:
    """Of one that is ended; that is no success."""
    canned.answers[f"DELETE {PATH}"] = problem(502, "cd-left", "The CD may still be there.", "Look.")
    ended = run(canned, "certificates", "cancel", "win-1")
    assert (ended.returncode, "The CD may still be there." in ended.stderr) == (1, True)
    assert "is taken out and destroyed" not in ended.stdout


def test_how_it_stands_is_shown(canned: Canned) -> None:
    """With the networks that are let in."""
    canned.answers["GET /certificates"] = []
    canned.answers[f"GET {PATH}"] = state("waiting", sources=["10.9.0.0/16"], last="It refuses.")
    shown = run(canned, "certificates", "show", "win-1").stdout
    assert all(text in shown for text in ("waiting", "10.0.1.17", "10.9.0.0/16", "It refuses."))


def test_those_in_use_are_shown_and_a_vm_without_any_is_told_so(canned: Canned) -> None:
    """Also while no new ones are made."""
    canned.answers[f"GET {PATH}"] = state("none", vm="win1-uuid")
    canned.answers["GET /certificates"] = ends(win1=10)
    shown = run(canned, "certificates", "show", "win-1").stdout
    assert all(text in shown for text in ("in use until", "10 days", "none under way"))
    canned.answers[f"GET {PATH}"] = state("none", vm="other-uuid")
    done = run(canned, "certificates", "show", "win-1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The engine of win-1 is not reached over TLS, so it has no certificates." in done.stderr


def test_the_list_tells_what_is_left(canned: Canned) -> None:
    """And which have expired, or are not known."""
    now = datetime.now(UTC)
    ends = {"a": now + timedelta(days=10, hours=1), "b": now - timedelta(days=1), "c": None}
    canned.answers["GET /certificates"] = [
        {"vm": name, "name": name, "pool_name": "p", "state": "live", "until": end.isoformat() if end else None,
         "whose": "w", "problem": ""}
        for name, end in ends.items()
    ]  # fmt: skip
    done = run(canned, "certificates")

    assert done.returncode == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert "10 days" in rows["a"]
    assert "expired" in rows["b"]
    assert "unknown" in rows["c"]


def test_ending_tells_of_an_engine_that_is_cut_off(canned: Canned) -> None:
    """The script may have run in the meantime."""
    canned.answers[f"DELETE {PATH}"] = state("none")
    done = run(canned, "certificates", "cancel", "win-1")

    assert done.returncode == 0
    assert "cut off now" in done.stdout
    assert "roadstead prepare win-1 --mode tls" in done.stdout
