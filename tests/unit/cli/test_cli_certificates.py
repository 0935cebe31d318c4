"""Certificates on the command line: warnings before questions, questions before anything is done, keys from files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.canned import Asked, Canned, Terminal, problem, run

PATH = "/vms/win-1/certificates"
FULL = problem(409, "cd-drive-full", "There is a CD (tools.iso) in the CD drive of win-1.", "Eject it.")


def state(name: str, **more: Any) -> dict[str, Any]:
    """How new certificates stand, as the API shows it."""
    told = {
        "vm": "v",
        "name": "win-1",
        "state": name,
        "addresses": ["10.0.1.17"],
        "until": None,
        "last": "",
        "code": "",
    }
    return told | more


@pytest.fixture
def preparing(canned: Canned) -> Canned:
    """A server at which a VM uses its new certificates at the second look after they were made."""
    looks = iter(["none", "waiting", "done"])

    def look(_: Asked) -> dict[str, Any]:
        found = next(looks)
        waits = {"last": "The VM shows others.", "code": "tls-untrusted"} if found == "waiting" else {}
        return state(found, **waits)

    canned.answers[f"GET {PATH}"] = look
    canned.answers[f"POST {PATH}"] = (202, state("waiting", until="2028-11-24T00:00:00Z"))
    return canned


def test_the_warning_comes_before_the_question(preparing: Canned) -> None:
    """The addresses, too; and it is watched until the VM uses them."""
    with Terminal(preparing, "certificates", "make", "win-1") as terminal:
        asked = terminal.wait_for("[y/N] ")
        assert "10.0.1.17 and 127.0.0.1" in asked
        assert "any user of the VM can read it" in asked
        assert not preparing.bodies("POST", PATH)
        terminal.type("y\n")
        code, shown = terminal.ended()

    assert code == 0
    assert "until 2028-11-24" in shown
    assert "configure_tls.cmd" in shown
    assert "not yet: The VM shows others." in shown
    assert "the CD is destroyed" in shown
    assert preparing.bodies("POST", PATH) == [{"addresses": ["10.0.1.17"]}]


def test_what_is_left_of_the_cd_is_told(canned: Canned) -> None:
    """Of one whose certificates are in use, and of one that is ended: neither is a success."""
    looks = iter(["none", "done"])
    canned.answers[f"GET {PATH}"] = lambda _: state(next(looks), last="The CD may still be there.", code="cd-left")
    canned.answers[f"POST {PATH}"] = (202, state("waiting", until="2028-11-24T00:00:00Z"))
    canned.answers[f"DELETE {PATH}"] = problem(502, "cd-left", "The CD may still be there.", "Look.")
    made = run(canned, "certificates", "make", "win-1", "--yes")
    ended = run(canned, "certificates", "cancel", "win-1")
    assert (made.returncode, ended.returncode) == (1, 1)
    assert "they are stored, but: The CD may still be there." in made.stderr
    assert "The CD may still be there." in ended.stderr
    assert "is taken out and destroyed" not in ended.stdout


def test_the_clients_key_has_a_warning_of_its_own(preparing: Canned) -> None:
    """After a no to that nothing is made."""
    with Terminal(preparing, "certificates", "make", "win-1", "--with-client-key") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("y\n")
        terminal.wait_for("controls the engine")
        terminal.wait_for("[y/N] ")
        terminal.type("n\n")
        code, _ = terminal.ended()

    assert code == 1
    assert not preparing.bodies("POST", PATH)


def test_a_full_drive_is_asked_about(preparing: Canned) -> None:
    """The CD is named; after a yes the same is asked for with the leave to eject it."""
    answers = iter([FULL, (202, state("waiting"))])
    preparing.answers[f"POST {PATH}"] = lambda _: next(answers)
    with Terminal(preparing, "certificates", "make", "win-1", "--no-wait") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("y\n")
        assert "tools.iso" in terminal.wait_for("back afterwards? [y/N] ")
        terminal.type("y\n")
        code, _ = terminal.ended()

    assert code == 0
    assert [body.get("eject", False) for body in preparing.bodies("POST", PATH)] == [False, True]


def test_nobody_there_to_answer_is_an_error(preparing: Canned) -> None:
    """With `--yes` too when the drive is full: that is another question."""
    assert run(preparing, "certificates", "make", "win-1").returncode != 0
    assert not preparing.bodies("POST", PATH)


def test_yes_does_not_eject(preparing: Canned) -> None:
    """That needs `--eject`."""
    preparing.answers[f"POST {PATH}"] = FULL
    done = run(preparing, "certificates", "make", "win-1", "--yes")

    assert done.returncode != 0
    assert "tools.iso" in done.stderr
    assert len(preparing.bodies("POST", PATH)) == 1


def test_files_are_read_and_their_faults_named(canned: Canned, tmp_path: Path) -> None:
    """By the option; what is no text is not sent."""
    canned.answers[f"POST {PATH}/import"] = state("done", until="2027-01-02T00:00:00Z")
    names = {"--client-cert": "cert.pem", "--client-key": "key.pem", "--ca-cert": "ca.pem"}
    for name in names.values():
        (tmp_path / name).write_text(name)
    words = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    done = run(canned, "certificates", "import", "win-1", *words)
    (tmp_path / "ca.pem").write_bytes(b"\x30\x82\xff")
    failed = run(canned, "certificates", "import", "win-1", *words)

    assert (done.returncode, "2027-01-02" in done.stdout) == (0, True)
    body = {"client_cert": "cert.pem", "client_key": "key.pem", "ca_cert": "ca.pem", "legacy_certificate": False}
    assert canned.bodies("POST", f"{PATH}/import") == [body]
    assert failed.returncode != 0
    assert "--ca-cert" in failed.stderr


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


def test_an_interruption_tells_of_the_cd(canned: Canned) -> None:
    """The server goes on, and the key stays where users of the VM can read it."""
    canned.answers[f"GET {PATH}"] = state("waiting", last="It refuses.", code="tls-untrusted")
    canned.answers[f"POST {PATH}"] = (202, state("waiting"))
    with Terminal(canned, "certificates", "make", "win-1", "--yes", columns=200) as terminal:
        terminal.wait_for("not yet: It refuses.")
        terminal.interrupt()
        code, shown = terminal.ended()

    assert code == 130
    assert "The CD stays in the drive for up to an hour: `roadstead certificates show|cancel win-1`" in shown
