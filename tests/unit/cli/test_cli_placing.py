"""The plugin in hosts: their keys before the password, each host for itself, and what was given in no place but one."""

from pathlib import Path
from typing import Any

import asyncssh
import pytest

from roadstead.cli.commands import secrets
from tests.unit.cli.canned import Asked, Canned, Terminal, problem, run

KEYS = {name: f"SHA256:{letter * 43}" for name, letter in (("xen1", "a"), ("xen2", "b"), ("xen3", "c"))}
WRONG = problem(409, "host-sign-in-failed", "It refuses root with what was given.", "Check the password.")
SECRET = "s3cret"
LOCKED = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
"""As far as the command line looks at it."""


def seen(name: str, **more: Any) -> dict[str, Any]:
    """Return a host as it is seen before the sign-in."""
    address = f"10.0.0.{name[-1]}"
    return {
        "id": f"{name}-uuid", "name": name, "address": address, "type": "ssh-ed25519", "fingerprint": KEYS[name],
        "code": "", "message": "",
    } | more  # fmt: skip


def told(name: str, state: str = "installed", **more: Any) -> dict[str, Any]:
    """Return how the plugin stands on a host."""
    known = {"id": f"{name}-uuid", "name": name, "state": state, "version": "0.1.0", "python": "3.6.8"}
    return known | more


DOWN = {"type": "", "fingerprint": "", "code": "host-unreachable", "message": "xen3 cannot be reached. Check."}


@pytest.fixture
def pool(canned: Canned) -> Canned:
    """A pool with two hosts that take the plugin."""
    canned.answers["POST /pools/lab/plugin/hosts"] = [seen("xen1"), seen("xen2")]
    for name in ("xen1", "xen2"):
        canned.answers[f"POST /pools/lab/plugin/hosts/{name}-uuid"] = told(name)
    canned.answers["GET /pools/lab/plugin"] = {"state": "off"}
    return canned


def sent(canned: Canned, name: str) -> list[Any]:
    """What was sent about a host."""
    return canned.bodies("POST", f"/pools/lab/plugin/hosts/{name}-uuid")


def given(*names: str) -> list[str]:
    """The options that give these hosts' keys."""
    return [word for name in names for word in ("--host-key", f"{name}={KEYS[name]}")]


def test_the_keys_are_shown_and_confirmed_before_the_password_is_asked_for(pool: Canned) -> None:
    """One question for all hosts, each shown; the password is typed unseen and goes to each."""
    with Terminal(pool, "pool", "install-plugin", "lab") as terminal:
        question = terminal.wait_for("[y/N] ")
        assert all(key in question for key in (KEYS["xen1"], KEYS["xen2"])) and "assword" not in question
        terminal.type("y\n")
        terminal.wait_for("Password of root on the hosts of lab: ")
        assert not sent(pool, "xen1")
        terminal.type(f"{SECRET}\n")
        code, shown = terminal.ended()

    assert code == 0 and SECRET not in shown
    assert "HOST" in shown and "3.6.8" in shown and "pool plugin enable lab" in shown
    assert sent(pool, "xen2") == [
        {"action": "install", "port": 22, "type": "ssh-ed25519", "fingerprint": KEYS["xen2"], "password": SECRET}
    ]


def test_keys_that_are_not_confirmed_end_it(pool: Canned) -> None:
    """After a no nothing is asked for; without a terminal the keys must be given."""
    with Terminal(pool, "pool", "install-plugin", "lab") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("n\n")
        code, shown = terminal.ended()
    assert code == 1 and "assword" not in shown

    done = run(pool, "pool", "install-plugin", "lab", "--password-file", "-", *given("xen1"), stdin=SECRET)
    assert done.returncode == 1
    assert f"xen2={KEYS['xen2']}" in done.stderr and "xen1=" not in done.stderr
    assert not sent(pool, "xen1")


def test_scripts_give_the_keys_and_the_password(pool: Canned) -> None:
    """By name or address; the table is the output, the progress is not."""
    words = ["--host-key", f"10.0.0.1={KEYS['xen1']}", *given("xen2"), "--password-file", "-"]
    done = run(pool, "pool", "install-plugin", "lab", *words, stdin=f"{SECRET}\n")
    assert done.returncode == 0
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["HOST", "ADDRESS", "RESULT"],
        ["xen1", "10.0.0.1", "installed"],
        ["xen2", "10.0.0.2", "installed"],
    ]
    assert "Installing on xen1 (10.0.0.1)" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_a_host_that_is_down_or_another_stops_no_other(pool: Canned) -> None:
    """They are named with their reason, and the exit code is 4."""
    pool.answers["POST /pools/lab/plugin/hosts"] = [seen("xen1"), seen("xen2"), seen("xen3", **DOWN)]
    words = ["--host-key", f"xen1={KEYS['xen3']}", *given("xen2"), "--password-file", "-"]
    done = run(pool, "pool", "uninstall-plugin", "lab", *words, stdin=SECRET)
    assert done.returncode == 4
    assert "xen3 cannot be reached" in done.stderr
    assert "not the one that was confirmed" in done.stderr
    assert not sent(pool, "xen1")
    assert sent(pool, "xen2")[0]["action"] == "uninstall"
    assert "failed: host-unreachable" in done.stdout and "failed: host-key-differs" in done.stdout


def test_a_wrong_password_may_be_typed_three_times(pool: Canned) -> None:
    """Then no further host is tried with a guess."""
    pool.answers["POST /pools/lab/plugin/hosts/xen1-uuid"] = WRONG
    with Terminal(pool, "pool", "install-plugin", "lab", *given("xen1", "xen2")) as terminal:
        for _ in range(3):
            terminal.wait_for("Password of root on the hosts of lab: ")
            terminal.type("guess\n")
        code, shown = terminal.ended()
    assert code == 1
    assert [body["password"] for body in sent(pool, "xen1")] == ["guess"] * 3
    assert not sent(pool, "xen2")
    assert "failed: host-not-tried" in shown


def test_a_wrong_password_from_a_file_is_one_guess_for_each_host(pool: Canned) -> None:
    """A script is asked nothing; another host may take it."""
    pool.answers["POST /pools/lab/plugin/hosts/xen1-uuid"] = WRONG
    done = run(pool, "pool", "install-plugin", "lab", *given("xen1", "xen2"), "--password-file", "-", stdin=SECRET)
    assert done.returncode == 4
    assert (len(sent(pool, "xen1")), len(sent(pool, "xen2"))) == (1, 1)


def test_a_key_with_a_passphrase_asks_for_it(pool: Canned, tmp_path: Path) -> None:
    """Once, for all hosts."""

    def answer(asked: Asked) -> Any:
        if asked.body.get("passphrase") == SECRET:
            return told("xen1")
        return problem(422, "key-passphrase-wrong", "The private key is not opened.", "Type it anew.")

    (tmp_path / "key").write_text(LOCKED)
    pool.answers["POST /pools/lab/plugin/hosts/xen1-uuid"] = answer
    words = ["--key-file", str(tmp_path / "key"), *given("xen1", "xen2")]
    with Terminal(pool, "pool", "install-plugin", "lab", *words) as terminal:
        terminal.wait_for("Passphrase of ")
        terminal.type(f"{SECRET}\n")
        code, shown = terminal.ended()
    assert code == 0 and SECRET not in shown
    assert sent(pool, "xen2")[0] | {"fingerprint": ""} == {
        "action": "install", "port": 22, "type": "ssh-ed25519", "fingerprint": "",
        "private_key": LOCKED, "passphrase": SECRET,
    }  # fmt: skip


@pytest.mark.parametrize("words", [["--password-file", "-"], []], ids=["given", "typed"])
def test_nothing_is_said_to_begin_before_it_can(pool: Canned, words: list[str]) -> None:
    """What is asked for is asked before the first host is named as being worked on."""
    with Terminal(pool, "pool", "install-plugin", "lab", *words, *given("xen1", "xen2")) as terminal:
        if not words:
            assert "Installing" not in terminal.wait_for("Password of root on the hosts of lab: ")
        terminal.type(f"{SECRET}\n")
        code, shown = terminal.ended()
    assert code == 0 and "Installing on xen1" in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 root@here\n", "holds a public key; name the private one"),
        ("root = 1\n", "holds no private key"),
        (LOCKED, "protected by a passphrase, and none was given"),
    ],
    ids=["gone", "public", "text", "locked"],
)
def test_a_key_file_that_cannot_be_used_is_told_before_anything_else(
    pool: Canned, tmp_path: Path, text: str | None, told: str
) -> None:
    """No host is called because of it, and nobody is asked to compare keys."""
    if text is not None:
        (tmp_path / "key").write_text(text)
    done = run(pool, "pool", "install-plugin", "lab", "--key-file", str(tmp_path / "key"), *given("xen1", "xen2"))
    assert done.returncode == 2
    assert told in done.stderr
    assert not pool.asked


@pytest.mark.parametrize("form", ["openssh", "pkcs1-pem", "pkcs8-pem"])
@pytest.mark.parametrize("passphrase", [None, SECRET], ids=["open", "locked"])
def test_it_is_seen_whether_a_key_needs_a_passphrase(tmp_path: Path, form: str, passphrase: str | None) -> None:
    """In each format in which private keys are kept."""
    made = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key(form, passphrase)
    (tmp_path / "key").write_bytes(made)
    key = secrets.private_key(tmp_path / "key")
    assert key.is_encrypted is (passphrase is not None)
    assert key.text == made.decode() and made.decode() not in repr(key)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host-key", "xen1"], "--host-key"),
        (["--host-key", f"xen9={KEYS['xen1']}"], "xen9"),
        (["--host", "xen9"], "xen9"),
        (["--password-file", "a", "--key-file", "b"], "--key-file"),
    ],
)
def test_words_that_make_no_sense_are_refused(pool: Canned, words: list[str], told: str) -> None:
    """Before anybody is signed in to."""
    done = run(pool, "pool", "install-plugin", "lab", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert not sent(pool, "xen1")


def test_one_host_alone_is_only_looked_at(pool: Canned) -> None:
    """`--host` leaves the others out, `--check` changes nothing."""
    pool.answers["POST /pools/lab/plugin/hosts/xen2-uuid"] = told("xen2", "foreign", version="")
    words = ["--host", "xen2", "--check", "--password-file", "-", *given("xen2")]
    done = run(pool, "pool", "install-plugin", "lab", *words, stdin=SECRET)
    assert done.returncode == 0
    assert "another one" in done.stdout
    assert sent(pool, "xen2")[0]["action"] == "look" and not sent(pool, "xen1")


def test_what_failed_stays_whole_on_a_narrow_terminal(pool: Canned, tmp_path: Path) -> None:
    """The code is what is looked up; other columns give way to it."""
    pool.answers["POST /pools/lab/plugin/hosts"] = [seen("xen1"), seen("xen3", **DOWN)]
    (tmp_path / "password").write_text(SECRET)
    words = ["--password-file", str(tmp_path / "password"), *given("xen1")]
    with Terminal(pool, "pool", "install-plugin", "lab", *words, columns=60) as terminal:
        code, shown = terminal.ended()
    assert code == 4 and "failed: host-unreachable" in shown
