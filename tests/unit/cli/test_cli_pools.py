"""Pools: the certificate before the password, files and prompts, changes, tests, keys."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.canned import Canned, Terminal, problem, run

URL = "https://pool.test"
SHOWN = "ab:cd:" * 15 + "ab:cd"


def pool(**more: Any) -> dict[str, Any]:
    """Return a pool as the API shows it."""
    return {
        "id": "p", "name": "lab", "url": URL, "live": True, "user": "root", "vms": 3, "managed": 2, "running": 5,
        "certificate": {"kind": "fingerprint", "fingerprint": SHOWN}, "admit": ["10.1.0.0/16"], "only": [],
    } | more  # fmt: skip


@pytest.fixture
def probed(canned: Canned) -> Canned:
    """A server at which a pool can be added."""
    canned.answers["POST /pools/probe"] = {"url": URL, "fingerprint": SHOWN, "address": "pool.test:443"}
    canned.answers["POST /pools"] = (201, pool())
    return canned


def test_the_fingerprint_is_shown_and_confirmed_before_the_password_is_asked_for(probed: Canned) -> None:
    """`pool add` shows the certificate first; only after a yes are user and password asked for, the latter unseen."""
    with Terminal(probed, "pool", "add", URL) as terminal:
        question = terminal.wait_for("[y/N] ")
        assert SHOWN.upper() in question and "assword" not in question
        terminal.type("y\n")
        terminal.wait_for("User [root]: ")
        terminal.type("rs\n")
        terminal.wait_for("Password of rs: ")
        terminal.type("s3cret\n")
        code, shown = terminal.ended()

    assert code == 0 and "s3cret" not in shown and "lab: added" in shown
    assert probed.bodies("POST", "/pools") == [
        {"url": URL, "user": "rs", "password": "s3cret", "admit": [], "only": [], "fingerprint": SHOWN}
    ]


def test_a_certificate_that_is_not_confirmed_ends_it(probed: Canned) -> None:
    """After a no nothing is asked for and nothing is sent."""
    with Terminal(probed, "pool", "add", URL) as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("n\n")
        code, shown = terminal.ended()

    assert code == 1 and "assword" not in shown
    assert not probed.bodies("POST", "/pools")


def test_ctrl_c_at_a_question_ends_its_line(probed: Canned) -> None:
    """What the shell prints next does not stand behind the question."""
    with Terminal(probed, "pool", "add", URL) as terminal:
        terminal.wait_for("[y/N] ")
        terminal.interrupt()
        code, shown = terminal.ended()

    assert code == 130 and shown.endswith("\n")


def test_pool_set_without_options_names_them(canned: Canned) -> None:
    """Nothing to change is an error that says what could be."""
    canned.answers["GET /pools/lab"] = pool()

    done = run(canned, "pool", "set", "lab")

    assert done.returncode == 2 and "--url, --user" in done.stderr


def test_without_a_terminal_a_fingerprint_is_needed(probed: Canned) -> None:
    """Piped, an unconfirmed certificate is refused, and the message holds the fingerprint and the option."""
    done = run(probed, "pool", "add", URL, "--password-file", "-", stdin="s3cret\n")

    assert done.returncode == 1 and f"--fingerprint {SHOWN.upper()}" in done.stderr
    assert not probed.bodies("POST", "/pools")


@pytest.mark.parametrize("trust", [["--fingerprint", SHOWN.upper().replace(":", "")], ["--accept-new"]])
def test_scripts_give_trust_and_password_by_options(probed: Canned, trust: list[str]) -> None:
    """With the fingerprint or --accept-new and a password on standard input nothing is asked."""
    networks = ["--admit", "10.0.0.0/8", "--admit", "fd00::/8", "--only", "10.1.0.0/16"]

    done = run(probed, "pool", "add", URL, *trust, "--password-file", "-", *networks, stdin="s3cret \nrest")

    assert done.returncode == 0
    assert probed.bodies("POST", "/pools") == [
        {
            "url": URL, "user": "root", "password": "s3cret ", "fingerprint": SHOWN,
            "admit": ["10.0.0.0/8", "fd00::/8"], "only": ["10.1.0.0/16"],
        }
    ]  # fmt: skip


def test_another_fingerprint_than_the_given_one_sends_no_password(probed: Canned, tmp_path: Path) -> None:
    """A server that shows another certificate than the one named gets nothing."""
    (tmp_path / "pw").write_text("s3cret\n")

    done = run(probed, "pool", "add", URL, "--fingerprint", "00" * 32, "--password-file", str(tmp_path / "pw"))

    assert done.returncode == 1 and SHOWN.upper() in done.stderr
    assert not probed.bodies("POST", "/pools")


def test_a_ca_file_replaces_the_fingerprint(probed: Canned, tmp_path: Path) -> None:
    """With a CA file the server verifies the certificate by it, and nothing is probed or asked; a private key that
    stands in the file stays where it is.
    """
    certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    key = certificate.replace("CERTIFICATE", "PRIVATE KEY")
    (tmp_path / "ca.pem").write_text(f"words\n{key}{certificate}{certificate}")
    (tmp_path / "pw").write_text("s3cret")

    done = run(
        probed,
        "pool",
        "add",
        URL,
        "--ca-file",
        str(tmp_path / "ca.pem"),
        "--password-file",
        str(tmp_path / "pw"),
        "-u",
        "x",
    )

    assert done.returncode == 0 and not probed.bodies("POST", "/pools/probe")
    assert probed.bodies("POST", "/pools")[0]["ca_pem"] == 2 * certificate


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--accept-new", "--password-file", "/nonexistent/pw"], "/nonexistent/pw"),
        (["--accept-new", "--password-file", "/dev/null"], "there is no password in it"),
        (["--ca-file", "/nonexistent/ca"], "/nonexistent/ca"),
        (["--ca-file", "/dev/null"], "there is no certificate in it"),
        (
            ["--accept-new"],
            "No password was given, and without a terminal nobody can type one.\nSay --password-file FILE (",
        ),
    ],
)
def test_bad_files_are_named(probed: Canned, words: list[str], said: str) -> None:
    """A file that cannot be read, or a password that nobody can type, is named, and nothing is sent."""
    done = run(probed, "pool", "add", URL, *words)

    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not probed.bodies("POST", "/pools")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fingerprint", "zz"], "zz is not a SHA-256 fingerprint"),
        (["--admit", "banana"], "banana is not a network"),
        (["--only", "10.0.0.1/8"], "10.0.0.1/8 is not a network"),
        (["--ca-file", "x", "--fingerprint", SHOWN], "is enough"),
        (["--ca-file", "x", "--accept-new"], "is enough"),
        (["--fingerprint", SHOWN, "--accept-new"], "is enough"),
    ],
)
@pytest.mark.parametrize("command", [["add", URL], ["set", "lab"]], ids=["add", "set"])
def test_words_that_are_wrong_are_told_before_anybody_is_asked(
    probed: Canned, command: list[str], words: list[str], said: str
) -> None:
    """No server is looked at, and no certificate shown, for what cannot work."""
    if command[0] == "set" and "--accept-new" in words:
        return
    done = run(probed, "pool", *command, *words)

    assert done.returncode == 2 and said in done.stderr
    assert probed.asked == []


def test_the_password_is_not_even_read_before_the_certificate_is_confirmed(probed: Canned) -> None:
    """Neither from a file nor from standard input."""
    done = run(probed, "pool", "add", URL, "--password-file", "/nonexistent/pw")

    assert done.returncode == 1 and "nobody has confirmed" in done.stderr and "/nonexistent" not in done.stderr


def test_a_refused_sign_in_is_told(probed: Canned) -> None:
    """What the server says of a sign-in that failed is shown as it is."""
    probed.answers["POST /pools"] = problem(401, "pool-sign-in-failed", "The pool refuses the user root.", "Check it.")

    done = run(probed, "pool", "add", URL, "--accept-new", "--password-file", "-", stdin="x\n")

    assert (done.returncode, done.stderr.splitlines()[-2:]) == (
        1,
        ["Error: The pool refuses the user root.", "Check it."],
    )


def test_pool_set_adds_and_drops_networks_and_leaves_the_rest(canned: Canned) -> None:
    """`pool set --admit` adds to what is admitted, `--drop` takes away; what is not named is not sent."""
    canned.answers["GET /pools/lab"] = pool()
    canned.answers["PATCH /pools/lab"] = pool()

    run(canned, "pool", "set", "lab", "--admit", "10.2.0.0/16")
    run(canned, "pool", "set", "lab", "--drop", "10.1.0.0/16")

    assert canned.bodies("PATCH", "/pools/lab") == [
        {"admit": ["10.1.0.0/16", "10.2.0.0/16"]},
        {"admit": [], "only": []},
    ]


def test_pool_set_with_a_user_takes_a_password(canned: Canned) -> None:
    """A changed user or password is sent as a pair; a fingerprint as it is."""
    canned.answers["GET /pools/lab"] = pool()
    canned.answers["PATCH /pools/lab"] = pool()

    done = run(canned, "pool", "set", "lab", "--password-file", "-", "--fingerprint", SHOWN, stdin="new\n")
    nothing = run(canned, "pool", "set", "lab")

    assert done.returncode == 0 and nothing.returncode == 2
    assert canned.bodies("PATCH", "/pools/lab") == [{"user": "root", "password": "new", "fingerprint": SHOWN}]


def test_pool_list_shows_how_pools_stand(canned: Canned) -> None:
    """`pool list` has a row for each pool, as JSON the records."""
    canned.answers["GET /pools"] = [pool(), pool(name="b", live=False, problem={"code": "pool-unreachable"})]

    lines = run(canned, "pool", "list").stdout.splitlines()

    assert lines[1].split()[:2] == ["b", "broken"] and lines[1].endswith("pool-unreachable")
    assert lines[2].split()[:7] == ["lab", "live", URL, "root", "3", "2", "5"]
    assert run(canned, "pool", "list", "--format", "json").stdout.startswith("[{")


def test_pool_list_can_show_ids(canned: Canned) -> None:
    """Two pools may have one name: their ids tell them apart."""
    id = "11111111-aaaa-4000-8000-000000000001"
    canned.answers["GET /pools"] = [pool(), pool(id=id)]

    lines = run(canned, "pool", "list", "--format", "wide").stdout.splitlines()

    assert lines[0].split()[:2] == ["ID", "NAME"] and {line.split()[0] for line in lines[1:]} == {"p", id}


@pytest.mark.parametrize(
    ("options", "told", "line"),
    [
        ([], {"vms": 0, "left": 0, "reason": ""}, "lab: removed"),
        ([], {"vms": 2, "left": 0, "reason": ""}, "lab: removed; what was published of 2 VMs was taken away"),
        (
            [],
            {"vms": 2, "left": 1, "reason": "it is slow"},
            "lab: removed; what was published of 1 VM stays there, because: it is slow",
        ),
        (["--keep-published"], {}, "lab: removed; what was published in it stays there"),
    ],
)
def test_pool_remove_asks_and_tells_what_stays(
    canned: Canned, options: list[str], told: dict[str, Any], line: str
) -> None:
    """`pool remove` needs a yes; what could not be taken away from the pool is told with the reason."""
    canned.answers["GET /pools/lab"] = pool()
    canned.answers["DELETE /pools/lab"] = told

    assert run(canned, "pool", "remove", "lab", *options).returncode == 2
    assert run(canned, "pool", "remove", "lab", "--yes", *options).stdout == line + "\n"


def test_pool_remove_names_what_else_ends(canned: Canned) -> None:
    """The plugin that calls no more, and the VMs that still need the old key; what the plugin is still told is told."""
    canned.answers["GET /pools/lab"] = pool(id="p", live=True)
    canned.answers["GET /pools/p/plugin"] = {"state": "on", "url": "https://rs:8421"}
    canned.answers["GET /pools/p/key/rotation"] = _rotation(STUCK | {"name": "db"})
    canned.answers["DELETE /pools/lab"] = {"plugin": "it is slow"}

    refused = run(canned, "pool", "remove", "lab")
    assert refused.returncode == 2
    assert "which calls https://rs:8421, calls no more" in refused.stdout
    assert "db still needs the old one" in refused.stdout
    done = run(canned, "pool", "remove", "lab", "--yes")
    assert done.returncode == 0
    assert "will be refused, because: it is slow" in done.stdout + done.stderr
    del canned.answers["GET /pools/p/plugin"], canned.answers["GET /pools/p/key/rotation"]
    assert run(canned, "pool", "remove", "lab", "--yes").returncode == 0


def test_pool_test_shows_each_step(canned: Canned) -> None:
    """`pool test` prints the steps and fails when one of them did."""
    steps = [
        {"step": "certificate", "ok": True, "seconds": 0.02, "message": "trusted"},
        {"step": "sign-in", "ok": False, "seconds": 0.1, "message": "refused"},
    ]
    canned.answers["POST /pools/lab/test"] = {"ok": False, "steps": steps}

    done = run(canned, "pool", "test", "lab")

    assert done.returncode == 1
    assert done.stdout.splitlines() == ["ok      certificate (0.02 s)  trusted", "FAILED  sign-in (0.10 s)  refused"]


def test_pool_key_show_is_the_line_alone_when_piped(canned: Canned) -> None:
    """Piped, `pool key show` prints exactly the line for authorized_keys; on a terminal it explains it, too."""
    told = {
        "pool": "p",
        "public_key": "ssh-rsa AAAA",
        "fingerprint": "SHA256:x",
        "line": "restrict ssh-rsa AAAA",
        "vms": [],
    }
    canned.answers["GET /pools/lab/key"] = told

    with Terminal(canned, "pool", "key", "show", "lab") as terminal:
        shown = terminal.ended()[1]

    assert run(canned, "pool", "key", "show", "lab").stdout == "restrict ssh-rsa AAAA\n"
    assert "restrict ssh-rsa AAAA\n" in shown and "authorized_keys" in shown and "SHA256:x" in shown


def _rotation(*vms: dict[str, Any], state: str = "rotating") -> dict[str, Any]:
    old = "SHA256:old" if state == "rotating" else ""
    return {"pool": "p", "state": state, "fingerprint": "SHA256:new", "old_fingerprint": old, "vms": list(vms)}


FORMER = {
    "id": "3",
    "name": "ca\x1b[2Jche",
    "state": "formerly-managed",
    "keys": [{"fingerprint": "SHA256:old", "key": "current"}],
}
STUCK = {"id": "2", "name": "db\x1b[2J", "state": "needs-preparing", "reason": "no command", "needs_old": True}
DONE = {"id": "1", "name": "web", "state": "done", "reason": "", "needs_old": False}


def test_a_rotation_is_begun_after_a_yes_and_watched(canned: Canned) -> None:
    """It asks once, prints a line for each VM, and ends when nothing moves by itself, with what is left to do."""
    canned.answers["GET /pools/lab/key/rotation"] = _rotation(state="none")
    canned.answers["POST /pools/lab/key/rotation"] = (202, _rotation(DONE, STUCK))
    canned.answers["GET /pools/lab/key/vms"] = [FORMER]

    refused = run(canned, "pool", "key", "rotate", "lab")
    assert refused.returncode == 2 and not canned.bodies("POST", "/pools/lab/key/rotation")
    assert "che (formerly managed)" in refused.stdout
    done = run(canned, "pool", "key", "rotate", "lab", "--yes")
    assert done.returncode == 0
    assert [each.query for each in canned.asked if each.method == "POST"] == [{"confirm": ["p"]}]
    assert "SHA256:new" in done.stdout and "SHA256:old" in done.stdout
    assert "changed over" in done.stdout and "needs preparing (no command)" in done.stdout + done.stderr
    assert "1 VM left that the old key opens: 1 needs preparing." in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_a_vm_whose_old_line_is_just_being_removed_is_told_when_that_is_over(canned: Canned) -> None:
    """Not before: what is said last on the screen is true. What is left of retired keys is named at the end."""
    moving = DONE | {"state": "waiting", "reason": "its old line is being removed"}
    canned.answers["GET /pools/lab/key/rotation"] = _rotation(state="none")
    canned.answers["POST /pools/lab/key/rotation"] = (202, _rotation(moving))
    canned.answers["GET /pools/lab/key/vms"] = [FORMER | {"keys": [{"fingerprint": "SHA256:old", "key": "retired"}]}]
    done = run(canned, "pool", "key", "rotate", "lab", "--yes")
    assert "web" in done.stdout and "changed over\n" in done.stdout and "being removed" not in done.stdout
    assert "it is retired." in done.stdout
    assert "A retired key's line may still be in ca" in done.stdout and "\x1b" not in done.stdout
    assert "A retired key" in run(canned, "pool", "key", "status", "lab").stdout


def test_the_state_of_a_rotation_is_a_table_or_json(canned: Canned) -> None:
    """Whoever looks sees each VM; without a rotation one line says so."""
    canned.answers["GET /pools/lab/key/rotation"] = _rotation(DONE, STUCK)
    canned.answers["GET /pools/lab/key/vms"] = []
    shown = run(canned, "pool", "key", "status", "lab").stdout
    assert "NEEDS OLD KEY" in shown and "needs preparing" in shown
    assert json.loads(run(canned, "pool", "key", "status", "lab", "--format", "json").stdout)["vms"][1]["needs_old"]
    canned.answers["GET /pools/lab/key/rotation"] = _rotation(state="none")
    assert "is not being replaced: SHA256:new" in run(canned, "pool", "key", "status", "lab").stdout


def test_the_old_key_is_dropped_after_the_lost_were_named(canned: Canned) -> None:
    """Nothing is sent without a yes; then exactly the VMs that were named."""
    canned.answers["GET /pools/lab/key/rotation"] = _rotation(DONE, STUCK)
    canned.answers["POST /pools/lab/key/rotation/drop"] = _rotation(state="none")
    canned.answers["GET /pools/lab/key/vms"] = []

    refused = run(canned, "pool", "key", "rotate", "lab", "--drop")
    assert refused.returncode == 2 and "db" in refused.stdout + refused.stderr
    assert not canned.bodies("POST", "/pools/lab/key/rotation/drop")
    assert run(canned, "pool", "key", "rotate", "lab", "--drop", "--yes").returncode == 0
    assert canned.bodies("POST", "/pools/lab/key/rotation/drop") == [{"vms": ["2"]}]


def test_vms_whose_retired_line_was_taken_out_are_forgotten(canned: Canned) -> None:
    """By the name under which they are listed, and only such that a retired key opens; all that were named, or none."""
    retired = FORMER | {"name": "cache", "keys": [{"fingerprint": "SHA256:old", "key": "retired"}]}
    current = FORMER | {"id": "4", "name": "web"}
    canned.answers["GET /pools/lab/key/vms"] = [retired, current]
    canned.answers["DELETE /pools/lab/key/vms/3"] = [current]

    refused = run(canned, "pool", "key", "forget", "lab", "cache", "web")
    assert refused.returncode == 3 and "web" in refused.stderr and "pool key where lab" in refused.stderr
    assert run(canned, "pool", "key", "forget", "lab", "cache").stdout == "cache: forgotten\n"


def test_where_a_key_opens_is_listed(canned: Canned) -> None:
    """A VM for each key that opens it; a VM that moved says where it is."""
    key = {"fingerprint": "SHA256:x", "key": "current"}
    canned.answers["GET /pools/lab/key/vms"] = [
        {"id": "1", "name": "web", "state": "formerly-managed", "power": "Halted", "keys": [key, key | {"key": "old"}]},
        {"id": "2", "name": "db", "state": "moved", "pool_name": "west", "power": "Running", "keys": [key]},
        {"id": "3", "name": "3", "state": "gone", "until": "2030-01-01T00:00:00Z", "keys": [key]},
    ]
    lines = run(canned, "pool", "key", "where", "lab").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["VM", "web", "web", "db", "3"]
    assert "formerly managed" in lines[1] and "old" in lines[2] and "moved to west" in lines[3]
    assert "gone, known until 2030-01-01" in lines[4]
    canned.answers["GET /pools/lab/key/vms"] = []
    assert "No key of this pool" in run(canned, "pool", "key", "where", "lab").stdout


# ---- the plugin


def test_the_plugin_is_enabled_shown_and_disabled(canned: Canned) -> None:
    """Each tells how it then stands; the address is sent when one was given."""
    state = {"state": "on", "url": "https://h:8421", "fingerprint": SHOWN, "listen": "0.0.0.0:8421"}
    canned.answers["POST /pools/lab/plugin"] = state
    canned.answers["GET /pools/lab/plugin"] = {
        "state": "broken",
        "reason": "no \x1b[2J token",
        "listen": "",
        "hint": "h!",
    }
    canned.answers["DELETE /pools/lab/plugin"] = {"state": "off"}

    shown = run(canned, "pool", "plugin", "enable", "lab", "--url", "https://h:8421")
    assert shown.returncode == 0 and "https://h:8421" in shown.stdout and SHOWN in shown.stdout
    assert run(canned, "pool", "plugin", "enable", "lab").returncode == 0
    assert canned.bodies("POST", "/pools/lab/plugin") == [{"url": "https://h:8421"}, {"url": None}]
    shown = run(canned, "pool", "plugin", "show", "lab")
    assert all(word in shown.stdout for word in ("broken", "nowhere", "h!")) and "\x1b" not in shown.stdout
    assert '"state"' in run(canned, "pool", "plugin", "show", "lab", "--format", "json").stdout
    assert run(canned, "pool", "plugin", "disable", "lab").returncode == 0


def test_the_audit_is_a_table_or_json(canned: Canned) -> None:
    """The newest first, as the server tells it; as many as were asked for."""
    canned.answers["GET /audit"] = [
        {"at": "2026-11-24T03:00:00Z", "who": "plugin of lab", "from": "192.0.2.1", "what": "stop",
         "target": "vm-1/aaaa", "name": "vm-1/web", "result": "failed", "code": "vm-off"},
    ]  # fmt: skip
    heading, row = run(canned, "audit", "--limit", "7").stdout.splitlines()
    assert heading.split() == ["TIME", "WHO", "FROM", "WHAT", "TARGET", "RESULT"]
    for value in ("2026-11-24 03:00:00Z", "plugin of lab", "192.0.2.1", "stop", "vm-1/web", "vm-off"):
        assert value in row
    assert '"from"' in run(canned, "audit", "--format", "json").stdout
    assert run(canned, "audit", "--limit", "0").returncode == 2


@pytest.mark.parametrize("columns", [60, 80])
def test_the_audit_says_on_every_terminal_when_and_what_came_of_it(canned: Canned, columns: int) -> None:
    """The whole time and the code stay where columns are left out; `--no-trunc` shows all."""
    entry = {"at": "2026-11-24T03:00:00Z", "who": "plugin of lab", "from": "192.0.2.1", "what": "pool set"}
    failed = {"target": "gone", "result": "failed", "code": "pool-unreachable"}
    canned.answers["GET /audit"] = [entry | failed]
    with Terminal(canned, "audit", columns=columns) as terminal:
        _, shown = terminal.ended()
    assert "2026-11-24 03:00:00Z" in shown and "pool-unreachable" in shown and "pool set" in shown
    with Terminal(canned, "audit", "--no-trunc", columns=columns) as terminal:
        _, shown = terminal.ended()
    assert "192.0.2.1" in shown and "plugin of lab" in shown


def test_fingerprints_of_keys_are_shown_whole_when_asked_for(canned: Canned) -> None:
    """They are compared, so half of one is none."""
    key = {"fingerprint": SHOWN, "key": "current"}
    vm = {"id": "1", "name": "web", "state": "managed", "power": "Running", "keys": [key]}
    canned.answers["GET /pools/lab/key/vms"] = [vm]
    with Terminal(canned, "pool", "key", "where", "lab", "--no-trunc", columns=60) as terminal:
        _, shown = terminal.ended()
    assert SHOWN in "".join(shown.split())
