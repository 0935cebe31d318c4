"""The program that prepares VMs from a control domain asks what has to be asked, under the Pythons of hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.dom0.preparer import Preparer
from tests.unit.dom0.world import FINGERPRINT, SECRET, SECRET_UUID, TOKEN, URL, Talk, World

KEY = "ssh-ed25519 SHA256:" + "a" * 43
HOST_KEY = {"question": "host-key", "host_key": KEY, "address": "10.0.0.9", "user": "ann"}
SIGN_IN = {"question": "sign-in", "user": "ann"}
DONE = {"state": "prepared", "address": "10.0.0.9", "done": ["its line was added"], "checked": [["engine", "docker"]]}
WRONG = {"code": "guest-sign-in-failed", "detail": "web1 refuses ann.", "remedy": "Check it."}
GIVEN = ("--mode", "tls", "--client-cert", "x", "--client-key", "y", "--ca-cert", "z")
OFFERS = {
    "question": "consent",
    "offers": [
        {"id": "engine-group", "title": "add ann to docker", "commands": ["usermod -aG docker ann"], "is_needed": True},
        {"id": "former-key", "title": "take a line out"},
        {"id": "new-one", "title": "something new", "apart": True, "runs_as": "ann", "commands": ["loginctl x"]},
    ],
}


@pytest.fixture
def here(host: World) -> Preparer:
    """The program on a host with the oldest Python, or ours."""
    return Preparer(host)


def test_it_asks_what_has_to_be_asked(here: Preparer) -> None:
    """Host key, password, each offer; nothing that is typed unseen is shown, and each call carries all answers."""
    here.tell(HOST_KEY, SIGN_IN, OFFERS, DONE)
    with here.terminal("-u", "ann") as person:
        assert KEY in person.reads("the VM's own")
        person.types("y")
        person.reads("Password of ann: ")
        person.types("gehé'im")
        assert "# usermod -aG docker ann" in person.reads("as root in the guest? [y/N] ")
        person.types("yes")
        assert "take a line out" in person.reads("Do it? [y/N] ")
        person.types("n")
        assert "$ loginctl x" in person.reads("Run this as ann in the guest? [y/N] ")
        person.types("")
        assert person.ends() == 0
        assert "web1 at 10.0.0.9 is prepared: its line was added." in person.text
        assert "engine: docker" in person.text
        assert "im" not in person.text.split("Password of ann: ")[1].split("Signing")[0]
    first, *_, last = here.asked
    assert first == {"mode": "ssh", "user": "ann", "agreed": []}
    assert last == {
        "mode": "ssh",
        "user": "ann",
        "host_key": KEY,
        "password": "gehé'im",
        "agreed": ["engine-group"],
        "declined": ["former-key", "new-one"],
    }


def test_flags_answer_beforehand(here: Preparer) -> None:
    """Without a terminal; `--yes` agrees to what does not stand apart, and never to a host key."""
    here.tell(SIGN_IN, OFFERS, DONE)
    given = ["--username", "ann", "--yes", "--password-file", "-", "--host-key"]
    code, printed, told = here.run(*given, KEY.split()[1], typed=b"secret\r\nnot it")
    assert (code, told.count("\n")) == (0, 2), told
    assert printed.startswith("web1 at 10.0.0.9 is prepared: its line was added.\n")
    assert here.asked[-1]["password"] == "secret"
    assert here.asked[-1]["agreed"] == ["engine-group"]
    assert here.asked[-1]["declined"] == ["former-key", "new-one"]
    assert here.asked[0]["host_key"] == KEY.split()[1]
    here.tell(HOST_KEY)
    code, printed, told = here.run("--yes")
    assert (code, printed) == (1, "")
    assert f"--host-key {KEY.split()[1]}" in told
    here.tell({**HOST_KEY, "remembered": "SHA256:other"})
    assert here.run("--accept-new")[0] == 1
    here.tell(HOST_KEY, SIGN_IN)
    assert here.run("--accept-new")[0] == 2


def test_a_wrong_password_may_be_typed_three_times(here: Preparer) -> None:
    """Then it ends, with the reason; one from a file is not asked for anew."""
    here.tell(SIGN_IN, WRONG)
    with here.terminal() as person:
        for _ in range(3):
            person.reads("Password of ann: ")
            person.types("guess")
        assert person.ends() == 1
        assert person.text.rstrip().endswith("web1 refuses ann. Check it.")
    assert len(here.asked) == 4
    here.tell(SIGN_IN, WRONG, DONE)
    with here.terminal() as person:
        person.reads("Password of ann: ")
        person.types("guess")
        person.reads("Password of ann: ")
        person.types("right")
        assert person.ends() == 0
    here.tell(SIGN_IN, WRONG)
    assert here.run("--password-file", "-", typed=b"guess\n")[0] == 1


def test_a_key_file_and_its_passphrase(here: Preparer, tmp_path: Path) -> None:
    """The file is read here; its passphrase is asked for when it has one, and again when it is wrong."""
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\né\n")
    needed, wrong = ({"code": f"key-passphrase-{what}", "detail": f"It is {what}."} for what in ("needed", "wrong"))
    here.tell(SIGN_IN, needed, wrong, DONE)
    with here.terminal("--key-file", str(tmp_path / "key")) as person:
        for word in ("first", "second"):
            person.reads(f"Passphrase of {tmp_path / 'key'}: ")
            person.types(word)
        assert person.ends() == 0
    assert here.asked[-1]["private_key"] == (tmp_path / "key").read_text()
    assert here.asked[-1]["passphrase"] == "second"
    here.tell(SIGN_IN, needed)
    assert here.run("--key-file", str(tmp_path / "key"))[0] == 2
    here.tell(SIGN_IN)
    for name, content, reason in (
        ("none", None, "No such file"),
        ("raw", b"\xff\xfe", "not text"),
        ("large", b"x" * 70000, "larger"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        code, _, told = here.run("--key-file", str(tmp_path / name))
        assert (code, reason in told) == (2, True), told


def test_certificates_are_read_here_and_tls_is_asked_about(here: Preparer, tmp_path: Path) -> None:
    """The three files go along; without them the addresses are confirmed, and what is to be done in the VM is said."""
    names = {"client_cert": "C", "client_key": "K", "ca_cert": "A"}
    words = []
    for name, text in names.items():
        (tmp_path / name).write_text(text)
        words += ["--" + name.replace("_", "-"), str(tmp_path / name)]
    here.tell(DONE)
    assert here.run("--mode", "tls", *words)[0] == 0
    assert here.asked[-1] == {"mode": "tls", "tls": {"given": {**names, "legacy_certificate": False}}, "agreed": []}
    script = {"question": "run-script", "todo": "Run D:\\configure_tls.cmd\nas administrator.", "preparation": "p1"}
    here.tell(
        {"question": "addresses", "addresses": ["10.0.0.9", "127.0.0.1"]},
        {"question": "consent", "offers": [{"id": "tls-cd", "title": "a CD with a key", "is_needed": True}]},
        script,
        {**script, "last": "it refuses connections"},
        DONE,
    )
    with here.terminal("--mode", "tls", "--generate-certs") as person:
        assert "  10.0.0.9\r\n" in person.reads("Are these the VM's? [y/N] ")
        person.types("y")
        person.reads("Do it? [y/N] ")
        person.types("y")
        assert "Run D:\\configure_tls.cmd\r\nas administrator." in person.reads("Waiting")
        person.reads("so far: it refuses connections")
        assert person.ends() == 0
        assert person.text.count("configure_tls") == 1
    assert here.asked[-1] == {
        "mode": "tls",
        "agreed": ["tls-cd"],
        "tls": {"renew": True, "addresses": ["10.0.0.9", "127.0.0.1"], "preparation": "p1"},
    }


def test_certificates_are_made_anew_only_when_that_is_said(here: Preparer) -> None:
    """`--mode tls` alone takes those that work, however often it is said."""
    here.tell(DONE)
    assert here.run("--mode", "tls")[0] == 0
    assert here.asked[-1] == {"mode": "tls", "tls": {}, "agreed": []}
    assert here.run("--mode", "tls", "--address", "10.0.0.1", "--address", "fd00::1", "--eject")[0] == 0
    assert (here.asked[-1]["tls"], here.asked[-1]["agreed"]) == ({"addresses": ["10.0.0.1", "fd00::1"]}, ["cd-eject"])
    assert here.run("--mode", "tls", "--generate-certs", "--add-drive")[0] == 0
    assert (here.asked[-1]["tls"], here.asked[-1]["agreed"]) == ({"renew": True}, ["cd-add-drive"])


def test_what_the_key_may_do_is_said(here: Preparer) -> None:
    """The form of its line, where it may come from, and that other pools' lines go; what is not said stays unsaid."""
    here.tell(DONE)
    for words, answers in (
        (("--exec-only", "--from", "10.0.0.0/24", "--from", "fd00::/8"), {"form": "exec-only"}),
        (("--unrestricted",), {"form": "unrestricted"}),
        (("--restricted", "--from", "any"), {"form": "restricted", "sources": []}),
        (("--remove-former-key",), {"agreed": ["former-key"]}),
    ):
        assert here.run(*words)[0] == 0
        said = here.asked[-1]
        assert said == {
            "mode": "ssh",
            "agreed": [],
            **answers,
            **({"sources": said["sources"]} if len(words) > 3 else {}),
        }
    assert here.asked[0]["sources"] == ["10.0.0.0/24", "fd00::/8"]


def test_it_is_taken_back_when_that_is_agreed_to(here: Preparer) -> None:
    """However the VM was prepared; a no, or nobody to ask, asks nothing of Roadstead."""
    here.tell(SIGN_IN, {"state": "unprepared", "address": "10.0.0.9", "done": ["its line was taken out"]})
    code, printed, told = here.run("--undo")
    assert (code, printed, here.asked) == (1, "", []) and "--yes" in told
    with here.terminal("--undo", "-u", "ann") as person:
        person.reads("disable the VM? [y/N] ")
        person.types("n")
        assert person.ends() == 1 and here.asked == []
    given = ("--undo", "--yes", "-u", "ann", "--password-file", "-")
    code, printed, _ = here.run(*given, typed=b"secret\n")
    assert (code, printed) == (0, "web1 at 10.0.0.9 is unprepared: its line was taken out.\n")
    assert here.asked == [
        {"action": "unprepare", "user": "ann", "agreed": []},
        {"action": "unprepare", "user": "ann", "agreed": [], "password": "secret"},
    ]


def test_lines_of_other_pools_are_shown_one_by_one_when_it_is_taken_back(here: Preparer, tmp_path: Path) -> None:
    """They go when somebody says yes to them, or beforehand; `--yes` alone is none."""
    (tmp_path / "word").write_text("secret\n")
    sign_in = ("--password-file", str(tmp_path / "word"))
    offer = {"id": "former-key", "title": "take 1 out", "about": ["SHA256:abc (pool a)"], "apart": True}
    asks = {"question": "consent", "offers": [offer]}
    here.tell(SIGN_IN, asks, {"state": "unprepared", "done": ["x"]})
    with here.terminal("--undo", "-u", "ann", *sign_in) as person:
        person.reads("disable the VM? [y/N] ")
        person.types("y")
        person.reads("SHA256:abc (pool a)")
        person.reads("Do it? [y/N] ")
        person.types("y")
        assert person.ends() == 0
    assert here.asked[-1]["agreed"] == ["former-key"]
    here.asked.clear()
    here.tell(SIGN_IN, {"state": "unprepared", "done": ["x"]})
    code, _, told = here.run("--undo", "--yes", "--remove-former-key", *sign_in)
    assert (code, here.asked[-1]["agreed"]) == (0, ["former-key"]), told


@pytest.mark.parametrize(
    "words",
    [
        ("--mode", "tls", "--client-cert", "x", "--ca-cert", "y"),
        ("--mode", "tls", "--legacy-certificate"),
        ("--mode", "tls", "--generate-certs", "--legacy-certificate"),
        (*GIVEN, "--generate-certs"),
        (*GIVEN, "--address", "10.0.0.1"),
        (*GIVEN, "--eject"),
        (*GIVEN, "--add-drive"),
        ("--address", "10.0.0.1"),
        ("--mode", "tls", "--generate-certs", "--ca-cert", "y"),
        ("--generate-certs",),
        ("--ca-cert", "y"),
        ("--mode", "none"),
        ("--key-file", "x", "--password-file", "y"),
        ("--password", "secret"),
        ("--exec-only", "--unrestricted"),
        ("--mode", "tls", "--restricted"),
        ("--mode", "tls", "--from", "10.0.0.0/24"),
        ("--undo", "--exec-only"),
        ("--undo", "--from", "any"),
        ("--undo", "--mode", "tls", "--generate-certs"),
    ],
)
def test_options_that_make_no_sense(here: Preparer, words: tuple[str, ...]) -> None:
    """Nobody is asked anything; a password is no option."""
    code, printed, told = here.run(*words)
    assert (code, printed, here.asked) == (2, "", [])
    assert "error: " in told
    assert not (here.host.folder / "xe.log").exists()


def test_where_roadstead_is_the_pool_says(here: Preparer) -> None:
    """What is missing is named with its remedy, as by the plugin; the token is on no command line."""
    here.tell(DONE)
    assert here.run()[0] == 0
    assert TOKEN.encode() in here.host.roadstead.received
    assert TOKEN not in (here.host.folder / "xe.log").read_text()
    secret = here.host.folder / "secrets" / SECRET
    value = secret.read_text()
    secret.unlink()
    assert "roadstead pool plugin enable" in here.run()[2]
    secret.write_text(value)
    for name, broken, reason in (
        (FINGERPRINT, "ab" * 32, "shows another certificate"),
        (URL, "https://127.0.0.1:1", "cannot be reached"),
        (URL, "http://x", "not the address of an HTTPS server"),
        (SECRET_UUID, None, f"has no {SECRET_UUID}"),
    ):
        key, before = here.key(name), here.key(name).read_text()
        key.write_text(broken) if broken is not None else key.unlink()
        asked = len(here.asked)
        code, printed, told = here.run()
        assert (code, printed, len(here.asked)) == (5, "", asked)
        assert reason in told and told.startswith("Error: "), told
        key.write_text(before)
    here.program("xe", "#!/bin/sh\necho 'lost connection' >&2\nexit 1\n")
    assert "xe pool-list failed: lost connection" in here.run()[2]
    (here.programs / "xe").unlink()
    code, _, told = here.run()
    assert (code, "control domain" in told) == (5, True)


@pytest.mark.parametrize(
    ("refusal", "code", "reason"),
    [
        ({"code": "no-such-vm", "detail": "No VM is called x."}, 3, "xe vm-list"),
        ({"code": "plugin-function-unknown", "detail": "It has none."}, 5, "older than this program"),
        ({"code": "plugin-token-refused", "detail": "The token is refused."}, 5, "The token is refused."),
        ({"code": "field-invalid", "detail": "user: no"}, 2, "user: no"),
        ({"code": "guest-disk-full", "detail": "No\x1b[2J ro\u202eo\u200bm\nthere"}, 1, "No[2J room there"),
        ({"question": "colour"}, 1, "does not know (colour)"),
    ],
)
def test_what_roadstead_refuses(here: Preparer, refusal: dict[str, str], code: int, reason: str) -> None:
    """In its words, without what a terminal would obey, and with the exit code of its kind."""
    here.tell(refusal)
    ended, printed, told = here.run()
    assert (ended, printed) == (code, "")
    assert told.startswith("Error: ") and reason in told, told


def test_a_server_that_goes_away_is_told(here: Preparer) -> None:
    """Between two calls and in the middle of one: what is done stays, and the same command goes on."""

    def breaks_off(talk: Talk) -> None:
        talk.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{")

    here.host.behave(breaks_off)
    code, _, told = here.run()
    assert code == 5
    assert "the same command again goes on from there" in told and "did not say what came of it" in told
    here.host.behave(lambda talk: talk.reply("200 OK", b'{"value": "[]"}'))
    assert "is not Roadstead" in here.run()[2]
    here.tell(SIGN_IN)
    with here.terminal() as person:
        person.reads("Password of ann: ")
        here.host.roadstead.shutdown()
        here.host.roadstead.server_close()
        person.types("secret")
        assert person.ends() == 5


def test_ctrl_c_says_what_goes_on(here: Preparer) -> None:
    """At a question nothing is under way; while Roadstead is asked it ends its step; a CD stays in its drive."""
    here.tell(SIGN_IN)
    with here.terminal() as person:
        person.reads("Password of ann: ")
        person.interrupts()
        assert person.ends() == 130
        assert "Stopped. What is done already stays done" in person.text
    here.tell({"question": "run-script", "todo": "Run it.", "preparation": "p"})
    with here.terminal("--mode", "tls", "--generate-certs") as person:
        person.reads("Waiting")
        person.interrupts()
        assert person.ends() == 130
        assert "The CD stays" in person.text


def test_another_plugin_is_not_run(here: Preparer) -> None:
    """The historic pack's knows nothing of Roadstead: both are to be installed anew."""
    here.host.plugin = here.host.folder / "other"
    for text in ("import nothing_that_is_there\n", "print('historic')\n"):
        here.host.plugin.write_text(text)
        code, _, told = here.run()
        assert code == 5
        assert "is not the plugin that belongs to this program" in told


def test_the_file_finds_its_python(here: Preparer, other_host: World) -> None:
    """By the shell, under each of the Pythons between; without any it says so."""
    there = Preparer(other_host)
    there.tell(SIGN_IN, DONE)
    assert there.run("--password-file", "-", typed=b"x\n")[0] == 0
