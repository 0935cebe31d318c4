"""Guests are prepared from a terminal and from a script: which questions come, what is sent, and how it ends."""

import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.unit.cli.canned import (
    HISTORIC,
    LIMIT_SECONDS,
    PROGRAM,
    Asked,
    Canned,
    Terminal,
    environment,
    problem,
    run,
    vm,
)

FINGERPRINT = "SHA256:" + "a" * 43
KEY = f"ssh-ed25519 {FINGERPRINT}"
SECRET = "s3cret"
WRONG = problem(409, "guest-sign-in-failed", "It refuses the user ann with what was given.", "Check the user.")
FULL = problem(409, "guest-disk-full", "The disk of web2 has no room.", "Make room.")
GROUP = {"id": "engine-group", "title": "add ann to docker", "commands": ["usermod -aG docker ann"], "is_needed": True}
FORMER = {"id": "former-key", "title": "take the lines of other pools' keys out", "commands": [], "apart": True}


def guest(name: str, *, known: bool = False, password: str = SECRET, offers: Any = (), last: Any = None) -> Any:
    """How a VM answers, call by call."""

    def answer(asked: Asked) -> Any:
        said = asked.body
        told = {"vm": f"{name}-uuid", "name": name, "user": said.get("user", "core"), "state": "asks"}
        told |= {"address": "10.0.0.7", "host_key": KEY}
        if not known and "host_key" not in said:
            return told | {"question": "host-key"}
        if "password" not in said and "private_key" not in said:
            return told | {"question": "sign-in"}
        if said.get("password", password) != password:
            return WRONG
        answered = {*said.get("agreed", []), *said.get("declined", [])}
        if left := [offer for offer in offers if offer["id"] not in answered]:
            return told | {"question": "consent", "offers": left}
        return last or told | {"state": "prepared", "done": ["its line was added"], "checked": [["engine", "there"]]}

    return answer


@pytest.fixture
def pool(canned: Canned) -> Canned:
    """Two VMs that can be prepared."""
    canned.answers["GET /vms"] = [vm("web1"), vm("web2")]
    for name in ("web1", "web2"):
        canned.answers[f"GET /vms/{name}"] = canned.answers[f"GET /vms/{name}-uuid"] = vm(name)
        canned.answers[f"POST /vms/{name}-uuid/prepare"] = guest(name)
    return canned


def sent(canned: Canned, name: str) -> Any:
    """What was said about a VM in the last call."""
    return canned.bodies("POST", f"/vms/{name}-uuid/prepare")[-1]


def test_a_person_is_asked_once_for_all(pool: Canned) -> None:
    """The keys in one question, the password once and unseen, then a table."""
    with Terminal(pool, "prepare", "web*", "--user", "ann") as terminal:
        shown = terminal.wait_for("[y/N] ")
        assert shown.count(KEY) == 2 and "assword" not in shown
        terminal.type("y\n")
        terminal.wait_for("Password of ann: ")
        assert not any("password" in body for body in pool.bodies("POST", "/vms/web1-uuid/prepare"))
        terminal.type(f"{SECRET}\n")
        code, text = terminal.ended()
    assert code == 0
    assert text.count("prepared") == 4 and SECRET not in text
    for name in ("web1", "web2"):
        assert sent(pool, name) == {
            "mode": "ssh", "user": "ann", "host_key": KEY, "password": SECRET,
        }  # fmt: skip


def test_a_wrong_password_is_typed_three_times_for_one_vm_and_stops_no_other(pool: Canned) -> None:
    """Each VM may have its own."""
    pool.answers["POST /vms/web2-uuid/prepare"] = guest("web2", known=True, password="other")
    pool.answers["POST /vms/web1-uuid/prepare"] = guest("web1", known=True)
    with Terminal(pool, "prepare", "web1", "web2") as terminal:
        terminal.wait_for("Password of core: ")
        terminal.type(f"{SECRET}\n")
        for guess in ("one", "two"):
            terminal.wait_for("Password of core on web2: ")
            terminal.type(f"{guess}\n")
        code, text = terminal.ended()
    assert code == 4
    assert re.search(r"web2 +failed: guest-sign-in-failed +core ", text)
    guesses = [body["password"] for body in pool.bodies("POST", "/vms/web2-uuid/prepare") if "password" in body]
    assert guesses == [SECRET, "one", "two"]


def test_a_wrong_password_holds_no_other_vm_up(pool: Canned) -> None:
    """It is asked for anew when the other is done, whose conversation has a further question meanwhile."""
    pool.answers["POST /vms/web1-uuid/prepare"] = guest("web1", known=True, offers=[GROUP])
    pool.answers["POST /vms/web2-uuid/prepare"] = guest("web2", known=True, password="other")
    with Terminal(pool, "prepare", "web1", "web2", "--yes") as terminal:
        terminal.wait_for("Password of core: ")
        terminal.type(f"{SECRET}\n")
        assert "web1: prepared" in terminal.wait_for("Password of core on web2: ")
        terminal.interrupt()
        code, shown = terminal.ended()
    assert code == 130
    assert "web1: prepared\nweb2: failed: guest-sign-in-failed\n" in shown


def test_an_interruption_tells_how_far_each_vm_is(pool: Canned) -> None:
    """One that the server works on is waited for; another Ctrl-C ends that at once, and says who tells what follows."""
    begun, goes_on = threading.Event(), threading.Event()
    inner = guest("web1", known=True)

    def slow(asked: Asked) -> Any:
        if "password" in asked.body:
            begun.set()
            assert goes_on.wait(4 * LIMIT_SECONDS)
        return inner(asked)

    pool.answers["POST /vms/web1-uuid/prepare"] = slow
    pool.answers["POST /vms/web2-uuid/prepare"] = guest("web2", known=True)
    for presses in (1, 2):
        begun.clear()
        goes_on.clear()
        with Terminal(pool, "prepare", "web1", "web2") as terminal:
            terminal.wait_for("Password of core: ")
            terminal.type(f"{SECRET}\n")
            assert begun.wait(LIMIT_SECONDS)
            terminal.wait_for("web2: prepared: its line was added")
            terminal.interrupt()
            terminal.wait_for("web1: the server works on it")
            if presses > 1:
                terminal.interrupt()
            else:
                goes_on.set()
            code, shown = terminal.ended()
            goes_on.set()
        assert code == 130
        assert ("web1: the server goes on with it\nweb2: prepared\n" in shown) == (presses > 1)
        assert ("`roadstead vms` and `roadstead audit` tell" in shown) == (presses > 1)
        assert presses > 1 or "web1: prepared\nweb2: prepared\n" in shown


def test_who_breaks_off_before_anything_was_sent_touched_nothing(pool: Canned) -> None:
    """The host keys were looked at, no more."""
    with Terminal(pool, "prepare", "web1", "web2") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.interrupt()
        code, shown = terminal.ended()
    assert (code, "web1: not touched\nweb2: not touched\n" in shown) == (130, True)


def test_a_password_that_nobody_gives_is_told_with_the_ways_to_give_one(pool: Canned) -> None:
    """A terminal asks again for one that is empty, and sends none; without one the options are named."""
    pool.answers["POST /vms/web1-uuid/prepare"] = guest("web1", known=True)
    done = run(pool, "prepare", "web1")
    assert (done.returncode, "--password-file FILE or --key-file FILE" in done.stderr) == (2, True)
    done = historic(pool, "-v", "web1-uuid", "-u", "ann")
    assert (done.returncode, "--password-file FILE or --key-file FILE" in done.stderr) == (2, True)
    with Terminal(pool, "prepare", "web1") as terminal:
        terminal.wait_for("Password of core: ")
        terminal.type("\n")
        terminal.wait_for("It cannot be empty.")
        terminal.wait_for("Password of core: ")
        terminal.type(f"{SECRET}\n")
        code, _ = terminal.ended()
    assert code == 0
    assert {body.get("password", SECRET) for body in pool.bodies("POST", "/vms/web1-uuid/prepare")} == {SECRET}


def test_what_the_api_calls_its_fields_is_not_told(pool: Canned) -> None:
    """Beside a VM's name, too, an option is called as it is typed."""
    fields = {"field": "host_key", "reason": "it is none"}
    refused = problem(422, "field-invalid", "host_key is not valid: it is none.", "Correct it.", fields=fields)
    pool.answers["POST /vms/web1-uuid/prepare"] = refused
    done = run(pool, "prepare", "web1", "--host-key", FINGERPRINT)
    assert "--host-key is not valid: it is none. Correct it." in done.stdout + done.stderr
    assert "host_key" not in done.stdout + done.stderr


def behind_a_key(name: str) -> Any:
    """How a VM answers to whom a private key is given that `SECRET` opens."""
    inner = guest(name, known=True)

    def answer(asked: Asked) -> Any:
        if "private_key" in asked.body and asked.body.get("passphrase") != SECRET:
            what = "wrong" if "passphrase" in asked.body else "needed"
            return problem(422, f"key-passphrase-{what}", f"The private key: {what}.", "Type it anew.")
        return inner(asked)

    return answer


@pytest.fixture
def locked(pool: Canned, tmp_path: Path) -> Path:
    """A private key with a passphrase, which both VMs take."""
    for name in ("web1", "web2"):
        pool.answers[f"POST /vms/{name}-uuid/prepare"] = behind_a_key(name)
    path = tmp_path / "key"
    path.write_bytes(asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key("openssh", SECRET))
    return path


@pytest.mark.parametrize(
    "words", ["prepare web1 web2", "unprepare web1 web2 -y", "xscontainer-prepare-vm -v web1-uuid"]
)
def test_a_key_with_a_passphrase_asks_for_it_once(pool: Canned, locked: Path, words: str) -> None:
    """Unseen, for all VMs, and before it was refused."""
    first, *others = words.split()
    program, words_of_it = (HISTORIC, others) if first.startswith("xsc") else (PROGRAM, [first, *others])
    with Terminal(pool, *words_of_it, "--key-file", str(locked), program=program) as terminal:
        terminal.wait_for(f"Passphrase of {locked}: ")
        terminal.type(f"{SECRET}\n")
        code, shown = terminal.ended()
    assert code == 0 and SECRET not in shown and "Passphrase of" not in shown
    assert (sent(pool, "web1")["private_key"], sent(pool, "web1")["passphrase"]) == (locked.read_text(), SECRET)


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_passphrase_may_be_typed_three_times(pool: Canned, locked: Path, *, is_seen: bool) -> None:
    """That one is needed is no wrong try, when only the server sees it; the last try counts for both VMs."""
    if not is_seen:
        locked.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with Terminal(pool, "prepare", "web1", "web2", "--key-file", str(locked)) as terminal:
        for word in ("one", "two", SECRET):
            terminal.wait_for(f"Passphrase of {locked}: ")
            terminal.type(f"{word}\n")
        assert terminal.ended()[0] == 0
    with Terminal(pool, "prepare", "web1", "--key-file", str(locked)) as terminal:
        for word in ("one", "two", "three"):
            terminal.wait_for(f"Passphrase of {locked}: ")
            terminal.type(f"{word}\n")
        code, shown = terminal.ended()
    assert (code, "failed: key-passphrase-wrong" in shown) == (1, True)


def test_a_passphrase_that_nobody_can_type_is_told_at_once(pool: Canned, locked: Path) -> None:
    """As a fault of what was said, before a guest is called."""
    done = run(pool, "prepare", "web1", "--key-file", str(locked))
    assert (done.returncode, "protected by a passphrase" in done.stderr) == (2, True)
    assert not pool.bodies("POST", "/vms/web1-uuid/prepare")


def test_what_the_user_runs_is_not_said_to_be_roots(pool: Canned) -> None:
    """Whoever agrees knows as whom it runs."""
    own = {"id": "linger", "title": "let it run", "commands": ["loginctl x"], "runs_as": "ann"}
    pool.answers["POST /vms/web1-uuid/prepare"] = guest("web1", known=True, offers=[own])
    with Terminal(pool, "prepare", "web1") as terminal:
        terminal.wait_for("Password of core: ")
        terminal.type(f"{SECRET}\n")
        assert "$ loginctl x" in terminal.wait_for("Run this as ann in the guest? [y/N] ")
        terminal.type("y\n")
        assert terminal.ended()[0] == 0


def test_offers_are_shown_with_their_commands_and_a_no_is_told(pool: Canned) -> None:
    """What is declined is said to the server, which then tells what it means."""
    denied = problem(409, "guest-engine-denied", "The user ann may not open the socket.", "As root: `usermod`.")
    pool.answers["POST /vms/web1-uuid/prepare"] = guest("web1", known=True, offers=[GROUP, FORMER], last=denied)
    with Terminal(pool, "prepare", "web1") as terminal:
        terminal.wait_for("Password of core: ")
        terminal.type(f"{SECRET}\n")
        assert "# usermod -aG docker ann" in terminal.wait_for("Run this as root in the guest? [y/N] ")
        terminal.type("n\n")
        terminal.wait_for("Do it? [y/N] ")
        terminal.type("y\n")
        code, text = terminal.ended()
    assert (code, "may not open the socket" in text) == (1, True)
    assert (sent(pool, "web1")["declined"], sent(pool, "web1")["agreed"]) == (["engine-group"], ["former-key"])


def test_a_script_needs_no_terminal(pool: Canned, tmp_path: Path) -> None:
    """With keys, a password file and a yes; the yes takes nobody's line out. One that fails makes it 4."""
    (tmp_path / "word").write_text(f"{SECRET}\n")
    pool.answers["POST /vms/web1-uuid/prepare"] = guest("web1", offers=[GROUP, FORMER])
    pool.answers["POST /vms/web2-uuid/prepare"] = guest("web2", last=FULL)
    words = ["--password-file", str(tmp_path / "word"), "--yes", "--exec-only", "--from", "10.0.0.0/24"]
    done = run(pool, "prepare", "-f", "tag:docker", *words, "--accept-new")
    assert done.returncode == 4, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[:3] for row in rows] == [["web1", "prepared", "core"], ["web2", "failed:", "guest-disk-full"]]
    assert "web2: The disk of web2 has no room. Make room." in done.stderr
    said = sent(pool, "web1")
    assert (said["agreed"], said["declined"]) == (["engine-group"], ["former-key"])
    assert (said["form"], said["sources"]) == ("exec-only", ["10.0.0.0/24"])
    assert pool.asked[0].query == {"q": ["tag:docker"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), {}),
        (("--restricted", "--from", "any"), {"form": "restricted", "sources": []}),
        (("--unrestricted", "--from", "::1"), {"form": "unrestricted", "sources": ["::1"]}),
    ],
)
def test_only_what_is_said_of_the_line_is_sent(pool: Canned, words: tuple[str, ...], said: Any) -> None:
    """The rest stays as it is in the guest."""
    done = run(pool, "prepare", "web1", *words, "--password-file=-", "--accept-new", stdin=f"{SECRET}\n")
    assert done.returncode == 0, done.stderr
    assert {name: sent(pool, "web1")[name] for name in ("form", "sources") if name in sent(pool, "web1")} == said


def test_an_unknown_key_is_refused_without_a_person(pool: Canned) -> None:
    """It is shown, and nothing is sent; a yes is no answer to that, nor is --accept-new for one that changed."""
    done = run(pool, "prepare", "web1", "--password-file=-", "--yes", stdin=f"{SECRET}\n")
    assert (done.returncode, KEY in done.stderr) == (2, True)
    assert len(pool.bodies("POST", "/vms/web1-uuid/prepare")) == 1
    changed = {"state": "asks", "question": "host-key", "host_key": KEY, "remembered": "SHA256:b", "name": "web1"}
    pool.answers["POST /vms/web1-uuid/prepare"] = changed
    done = run(pool, "prepare", "web1", "--password-file=-", "--yes", "--accept-new", stdin=f"{SECRET}\n")
    assert (done.returncode, "remembered is SHA256:b" in done.stderr) == (2, True)
    assert "--accept-new" not in done.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["prepare"], "--filter"),
        (["prepare", "web1", "--exec-only", "--unrestricted"], "--exec-only"),
        (["prepare", "web1", "--host-key", "web1"], "--host-key"),
        (["prepare", "web1", "web2", "--host-key", FINGERPRINT], "VM=SHA256"),
        (["prepare", "web1", "--host-key", "web1=SHA256:abc"], "the fingerprint is not whole: 43 characters"),
        (["prepare", "web1", "--host-key", "SHA256:abc"], "the fingerprint is not whole: 43 characters"),
        (["prepare", "web1", "--from", "banana"], "--from is not valid: 'banana' is neither a network"),
        (["prepare", "web1", "--password-file", "/nosuch"], "The file /nosuch cannot be read"),
        (["prepare", "web1", "--user", "jörg müller"], "--user is not valid: 'jörg müller' is none of letters"),
        (["unprepare", "web1", "--password-file", "/nosuch"], "The file /nosuch cannot be read"),
        (["prepare", "web1", "--key-file", "/nosuch"], "The file /nosuch cannot be read"),
        (["prepare", "web1", "--eject"], "--eject is not valid: it belongs to --mode tls"),
        (["prepare", "web1", "--mode=tls", "--user=ann"], "--user is not valid: it belongs to --mode ssh"),
        (["prepare", "web1", "--mode=tls", "--from=any"], "--from is not valid: 'any' is neither a network"),
        (["prepare", "web1", "web2", "--mode=tls", "--address=10.0.0.7"], "--address is not valid: it is one VM's"),
        (["prepare", "web1", "--mode=tls", "--client-key=x.pem"], "--client-cert is not valid: it is needed with"),
        (["prepare", "web1", "--mode=tls", "--legacy-certificate"], "--legacy-certificate"),
        (["prepare", "web1", "--host-key", f"web2=SHA256:{'a' * 43}"], "--host-key"),
    ],
)
def test_what_makes_no_sense_is_named(pool: Canned, words: list[str], named: str) -> None:
    """Before anything is sent."""
    done = run(pool, *words)
    assert (done.returncode, named in done.stderr) == (2, True)
    assert not pool.bodies("POST", "/vms/web1-uuid/prepare")


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_what_came_of_it_is_whole_on_every_terminal(pool: Canned, columns: int) -> None:
    """The code is looked up; other columns give way, and `--no-trunc` shows them all."""
    pool.answers["POST /vms/web1-uuid/prepare"] = problem(409, "guest-host-key-differs", "It shows another.")
    pool.answers["POST /vms/web2-uuid/prepare"] = {
        "name": "web2", "state": "prepared", "done": ["x"], "user": "ann", "address": "10.0.0.7",
        "checked": [["engine", "/var/run/docker.sock (ready)"], ["starts with the guest", "docker.service"]],
    }  # fmt: skip

    def shown(*words: str) -> str:
        with Terminal(pool, "prepare", "web1", "web2", *words, columns=columns) as terminal:
            return terminal.ended()[1]

    table = shown().partition("VM ")[2].splitlines()
    assert any("failed: guest-host-key-differs" in line for line in table)
    assert all(len(line) <= columns for line in table)
    assert "/var/run/docker.sock (ready)" in shown("--no-trunc")


def test_what_is_to_be_repeated_can_be_copied(pool: Canned) -> None:
    """A name with a space is one word, and is taken back as it was given."""
    pool.answers["GET /vms/web1"] = {**vm("web1"), "name": "Übung 1"}
    done = run(pool, "prepare", "web1", "--user", "ann")
    assert f"'Übung 1'={FINGERPRINT}" in done.stdout + done.stderr
    done = run(pool, "prepare", "web1", "--host-key", f"Übung 1={FINGERPRINT}", "--password-file=-", stdin=SECRET)
    assert done.returncode == 0, done.stderr


def test_vms_that_a_rotation_waits_for_are_prepared(pool: Canned) -> None:
    """Those that need it, and no others."""
    waiting = [{"id": "web1-uuid", "state": "needs-preparing"}, {"id": "web2-uuid", "state": "done"}]
    pool.answers["GET /pools/lab/key/rotation"] = {"state": "rotating", "vms": waiting}
    done = run(pool, "prepare", "--needs-key=lab", "--password-file=-", "--accept-new", stdin=f"{SECRET}\n")
    assert done.returncode == 0, done.stderr
    assert not pool.bodies("POST", "/vms/web2-uuid/prepare")


def test_it_says_when_no_vm_is_meant(pool: Canned) -> None:
    """By a search it is an error; when nobody waits, all is well."""
    pool.answers["GET /vms"] = []
    done = run(pool, "prepare", "-f", "tag:docker")
    assert (done.returncode, "No VM matches tag:docker." in done.stderr) == (3, True)
    pool.answers["GET /pools/lab/key/rotation"] = {"state": "none", "vms": []}
    done = run(pool, "prepare", "--needs-key", "lab")
    assert (done.returncode, done.stdout) == (0, "No VM waits for the key of lab.\n")


def test_unprepare_says_so(pool: Canned) -> None:
    """It is the same conversation."""
    pool.answers["GET /vms/web1-uuid/hostkey"] = {"vm": "web1-uuid", "state": "pinned"}
    pool.answers["POST /vms/web1-uuid/prepare"] = guest("web1", known=True, last={"state": "unprepared", "done": ["x"]})
    done = run(pool, "unprepare", "web1", "--password-file=-", stdin=f"{SECRET}\n")
    assert (done.returncode, done.stdout.splitlines()[1].split()[:2]) == (0, ["web1", "unprepared"])
    assert sent(pool, "web1")["action"] == "unprepare"
    assert pool.asked[-1].query["confirm"] == ["web1-uuid"]
    done = run(pool, "unprepare", "web1", "--password-file=-", "--remove-former-key", stdin=f"{SECRET}\n")
    assert (done.returncode, sent(pool, "web1")["agreed"]) == (0, ["former-key"])
    pool.answers["POST /vms/web1-uuid/prepare"] = guest("web1")
    done = run(pool, "unprepare", "web1", "--password-file=-", stdin=f"{SECRET}\n")
    assert (done.returncode, "--host-key VM=FINGERPRINT" in done.stderr) == (2, True)
    assert "--accept-new" not in done.stderr  # it has no such option


def test_certificates_are_destroyed_after_a_yes_only(pool: Canned) -> None:
    """Over TLS nobody signs in, which would be the yes: even one VM is asked about, and a script says --yes."""
    pool.answers["GET /vms/web1-uuid/hostkey"] = {"vm": "web1-uuid", "state": "tls"}
    pool.answers["POST /vms/web1-uuid/prepare"] = {"name": "web1", "mode": "tls", "state": "unprepared", "done": ["x"]}
    done = run(pool, "unprepare", "web1")
    assert (done.returncode, "needs a yes before it touches web1" in done.stderr) == (2, True)
    with Terminal(pool, "unprepare", "web1") as terminal:
        assert "Destroy the certificates" in terminal.wait_for("[y/N] ")
        terminal.type("n\n")
        assert terminal.ended()[0] == 1
    assert not pool.bodies("POST", "/vms/web1-uuid/prepare")
    assert run(pool, "unprepare", "web1", "--yes").returncode == 0
    assert len(pool.bodies("POST", "/vms/web1-uuid/prepare")) == 1


def behind_tls(name: str, tries: int = 1, *, is_full: bool = False) -> Any:
    """How a VM answers whose engine is to be reached over TLS; ``tries`` say how long it takes after the CD."""
    left = [tries]

    def answer(asked: Asked) -> Any:
        said = asked.body.get("tls", {})
        told = {"name": name, "mode": "tls", "state": "asks", "addresses": ["10.0.0.7"], "preparation": f"{name}-1"}
        if "preparation" in said:
            left[0] -= 1
            if left[0] < 0:
                return told | {"state": "prepared", "until": "2028-01-02T00:00:00Z", "done": ["it uses them"]}
            return told | {"question": "run-script", "todo": "Run it.", "last": "it refuses connections"}
        if "addresses" not in said:
            return told | {"question": "addresses"}
        offers = (
            [{"id": "cd-eject", "title": "take out tools.iso", "is_needed": True, "apart": True}] if is_full else []
        )
        offers += [{"id": "tls-cd", "title": "any user of the VM can read the CD", "is_needed": True}]
        answered = {*asked.body.get("agreed", []), *asked.body.get("declined", [])}
        if open_ones := [offer for offer in offers if offer["id"] not in answered]:
            return told | {"question": "consent", "offers": open_ones}
        if "cd-eject" in asked.body.get("declined", []):
            return problem(409, "cd-drive-full", "There is a CD (tools.iso) in the drive.", "Use --eject.")
        return told | {"question": "run-script", "todo": "Run it.", "until": "2028-01-02T00:00:00Z"}

    return answer


def test_what_is_the_same_over_tls_is_asked_once(pool: Canned) -> None:
    """The addresses and the warning for both, the full drive for its VM; then Return, the tries, and a table."""
    pool.answers["POST /vms/web1-uuid/prepare"] = behind_tls("web1")
    pool.answers["POST /vms/web2-uuid/prepare"] = behind_tls("web2", is_full=True)
    with Terminal(pool, "prepare", "web1", "web2", "--mode", "tls") as terminal:
        shown = terminal.wait_for("Is that right? [y/N] ")
        assert shown.count("10.0.0.7") == 2
        terminal.type("y\n")
        shown = terminal.wait_for("Do it? [y/N] ")
        assert "web1, web2 needs this:" not in shown and "web1, web2 need this:" in shown and "can read the CD" in shown
        terminal.type("y\n")
        assert "web2 needs this:" in terminal.wait_for("Do it? [y/N] ")
        terminal.type("y\n")
        shown = terminal.wait_for("Do that now, then press Return. ")
        assert "In web1, web2: Run it." in shown and "valid until 2028-01-02" in shown
        terminal.type("\n")
        code, text = terminal.ended()
    assert code == 0
    assert "web1: not yet: it refuses connections" in text and text.count("2028-01-02") >= 2
    assert sent(pool, "web2") == {
        "mode": "tls", "agreed": ["cd-eject", "tls-cd"], "tls": {"addresses": ["10.0.0.7"], "preparation": "web2-1"},
    }  # fmt: skip


def test_imported_certificates_are_renewed_after_a_yes_of_their_own(pool: Canned) -> None:
    """Neither `--yes` nor silence is one; `--replace-imported` says it beforehand."""
    imported = {"id": "tls-imported", "title": "replace what was made elsewhere", "is_needed": True, "apart": True}
    told = {"name": "web1", "mode": "tls", "addresses": ["10.0.0.7"]}

    def answer(asked: Asked) -> Any:
        if "addresses" not in asked.body.get("tls", {}):
            return told | {"state": "asks", "question": "addresses"}
        if "tls-imported" in asked.body.get("declined", []):
            return problem(409, "prepare-declined", "It was not agreed to this.", "Repeat the command.")
        if "tls-imported" in asked.body.get("agreed", []):
            return told | {"state": "prepared", "done": ["x"]}
        return told | {"state": "asks", "question": "consent", "offers": [imported]}

    pool.answers["POST /vms/web1-uuid/prepare"] = answer
    assert run(pool, "certificates", "renew", "web1", "--yes").returncode == 1
    assert run(pool, "certificates", "renew", "web1", "--yes", "--replace-imported").returncode == 0
    with Terminal(pool, "certificates", "renew", "web1") as terminal:
        terminal.wait_for("Is that right? [y/N] ")
        terminal.type("y\n")
        assert "replace what was made elsewhere" in terminal.wait_for("Do it? [y/N] ")
        terminal.type("y\n")
        assert terminal.ended()[0] == 0


def test_an_answer_that_nobody_gives_is_wrong_usage(pool: Canned) -> None:
    """Nothing was sent to a guest whose host key nobody confirmed; beside one that is done it is a failure of some."""
    done = run(pool, "prepare", "web1", "--user", "ann")
    assert (done.returncode, "--host-key" in done.stdout + done.stderr) == (2, True)
    pool.answers["POST /vms/web2-uuid/prepare"] = guest("web2", known=True)
    done = run(pool, "prepare", "web1", "web2", "--user", "ann", "--password-file=-", stdin=f"{SECRET}\n")
    assert done.returncode == 4


def test_an_interruption_tells_of_the_cds(pool: Canned) -> None:
    """Of the VM whose engine uses its certificates there is none any more."""
    pool.answers["POST /vms/web1-uuid/prepare"] = behind_tls("web1", 0)
    pool.answers["POST /vms/web2-uuid/prepare"] = behind_tls("web2", 10_000)
    with Terminal(pool, "prepare", "web1", "web2", "--mode", "tls", "--yes") as terminal:
        terminal.wait_for("web2: not yet: it refuses connections")
        terminal.interrupt()
        code, shown = terminal.ended()
    assert code == 130
    assert "web2: The CD stays in the drive for up to an hour" in shown and "web1: The CD" not in shown


def test_a_yes_takes_out_nobodys_cd(pool: Canned) -> None:
    """That is said by itself; the other VM is done meanwhile."""
    pool.answers["POST /vms/web1-uuid/prepare"] = behind_tls("web1", 0)
    pool.answers["POST /vms/web2-uuid/prepare"] = behind_tls("web2", 0, is_full=True)
    done = run(pool, "prepare", "web1", "web2", "--mode", "tls", "--yes")
    assert (done.returncode, "web2: There is a CD (tools.iso)" in done.stderr) == (4, True)
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["RESULT", "prepared", "failed:"]
    pool.answers["POST /vms/web2-uuid/prepare"] = behind_tls("web2", 0, is_full=True)
    assert run(pool, "prepare", "web2", "--mode", "tls", "--yes", "--eject").returncode == 0


def historic(canned: Canned, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the script with the old options."""
    return subprocess.run(
        [*HISTORIC, *words], input=f"{SECRET}\n", capture_output=True, text=True, timeout=LIMIT_SECONDS,
        env=environment(canned), check=False,
    )  # fmt: skip


def test_the_historic_script_does_the_same(pool: Canned) -> None:
    """Its options are the old ones, for both modes."""
    done = historic(pool, "-v", "web1-uuid", "-u", "ann", "--password-file=-", "--accept-new")
    assert done.returncode == 0, done.stderr
    assert sent(pool, "web1")["user"] == "ann"
    for key in (FINGERPRINT, f"web1={FINGERPRINT}", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 root@web1"):
        named = ["--vmuuid", "web1-uuid", "--username", "ann", "--host-key", key]
        done = historic(pool, *named, "--password-file=-")
        assert done.returncode == 0, done.stderr
        said = sent(pool, "web1")
        assert (said["user"], said["host_key"]) == ("ann", key.removeprefix("web1="))
    pool.answers["POST /vms/web1-uuid/prepare"] = {
        "mode": "tls",
        "state": "prepared",
        "done": ["x"],
        "addresses": ["::1"],
    }
    done = historic(pool, "-v", "web1-uuid", "-u", "ann", "--mode", "tls", "--generate-certs")
    assert (done.returncode, "-u is not used" in done.stderr, "::1" in done.stdout) == (0, True, True)
    assert sent(pool, "web1") == {"mode": "tls", "tls": {"renew": True}}
    done = historic(pool, "-v", "web1-uuid", "--client-cert", "x.pem")
    assert (done.returncode, "--client-cert" in done.stderr, "--mode tls" in done.stderr) == (2, True, True)
