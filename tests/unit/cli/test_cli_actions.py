"""What is done to containers and VMs: names resolved, questions asked, results told, exit codes."""

import json
import threading
from typing import Any

import pytest

from tests.unit.cli.canned import Asked, Canned, Terminal, problem, run, vm

WEB1 = {"id": "u1/a", "name": "web", "vm_name": "vm1"}
WEB2 = {"id": "u2/b", "name": "web", "vm_name": "vm2"}
ALL_WELL = [{"target": "u1/a", "ok": True}, {"target": "u2/b", "ok": True}]
REFUSED = {"ok": False, "code": "engine-refused", "message": "The engine refused: it is removing it."}


def operation(canned: Canned, found: list[dict[str, str]], *steps: list[dict[str, Any]]) -> None:
    """Let names stand for ``found``, and an operation on these go through ``steps``."""
    left = list(steps)

    def progress(_asked: Asked) -> dict[str, Any]:
        results = left.pop(0) if len(left) > 1 else left[0]
        return {
            "id": "op 1",
            "state": "done" if len(left) == 1 and results is left[0] else "running",
            "results": results,
        }

    canned.answers["GET /containers/match"] = found
    canned.answers["POST /operations"] = (202, {"id": "op 1", "state": "running", "results": []})
    canned.answers["GET /operations/op%201"] = progress


@pytest.mark.parametrize(
    ("action", "done"),
    [("start", "started"), ("stop", "stopped"), ("restart", "restarted"), ("pause", "paused"), ("unpause", "resumed")],
)
def test_one_container_is_acted_on_unasked(canned: Canned, action: str, done: str) -> None:
    """A single container is acted on without a question; the line says what it became."""
    operation(canned, [WEB1], [{"target": "u1/a", "ok": True}])

    ran = run(canned, action, "vm1/web")

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"vm1/web: {done}\n", "")
    assert canned.bodies("POST", "/operations") == [{"action": action, "targets": ["u1/a"]}]


def test_several_containers_are_asked_about(canned: Canned) -> None:
    """More than one container: the names are shown and nothing happens before a yes."""
    operation(canned, [WEB1, WEB2], ALL_WELL)

    with Terminal(canned, "stop", "web*") as terminal:
        question = terminal.wait_for("[y/N] ")
        assert not canned.bodies("POST", "/operations")
        terminal.type("y\n")
        code, shown = terminal.ended()

    assert "Stop 2 containers (vm1/web, vm2/web)?" in question
    assert code == 0 and "vm2/web: stopped" in shown


def test_no_is_taken_for_an_answer(canned: Canned) -> None:
    """After a no, or just Return, nothing is changed."""
    operation(canned, [WEB1, WEB2], ALL_WELL)

    with Terminal(canned, "stop", "web*") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.type("\n")
        code, shown = terminal.ended()

    assert code == 1 and "Nothing was changed" in shown
    assert not canned.bodies("POST", "/operations")


def test_nobody_to_ask_needs_yes(canned: Canned) -> None:
    """Without a terminal several containers need --yes; the error names them."""
    operation(canned, [WEB1, WEB2], ALL_WELL)

    refused = run(canned, "stop", "web*")
    done = run(canned, "stop", "web*", "--yes")

    assert refused.returncode == 2 and "--yes" in refused.stderr and "vm1/web, vm2/web" in refused.stderr
    assert done.returncode == 0
    assert len(canned.bodies("POST", "/operations")) == 1


@pytest.mark.parametrize("code", [4, 1])
def test_failures_have_their_lines_and_codes(canned: Canned, code: int) -> None:
    """Some failed: 4; all failed: 1; each failure has a line on stderr, each success one on stdout."""
    second = code == 4
    last = {"target": "u2/b", "ok": True} if second else {"target": "u2/b"} | REFUSED
    operation(canned, [WEB1, WEB2], [{"target": "u1/a"} | REFUSED], [{"target": "u1/a"} | REFUSED, last])

    done = run(canned, "restart", "web*", "-y")

    assert done.returncode == code
    assert done.stdout == ("vm2/web: restarted\n" if second else "")
    assert done.stderr.count("The engine refused: it is removing it.") == (1 if second else 2)


def test_a_cancelled_operation_fails_the_targets_without_a_result(canned: Canned) -> None:
    """A target about which an ended operation says nothing is no success."""
    canned.answers["GET /containers/match"] = [WEB1]
    canned.answers["POST /operations"] = (202, {"id": "1", "state": "running", "results": []})
    canned.answers["GET /operations/1"] = {"id": "1", "state": "cancelled", "results": [{"target": "u1/a", "ok": None}]}

    done = run(canned, "stop", "web")

    assert (done.returncode, done.stderr) == (1, "vm1/web: cancelled\n")


def test_an_ambiguous_name_lists_what_to_type(canned: Canned) -> None:
    """An ambiguous name changes nothing and lists the candidates, one in a line."""
    canned.answers["GET /containers/match"] = problem(
        409, "ambiguous-name", "web names 2 containers: vm1/web, vm2/web.", "Name one of them more exactly.",
        fields={"name": "web", "kind": "container", "count": "2"}, candidates=["vm1/web", "vm2/web"],
    )  # fmt: skip

    done = run(canned, "stop", "web")

    assert done.returncode == 3
    assert done.stderr == "Error: web names 2 containers:\n  vm1/web\n  vm2/web\nName one of them more exactly.\n"


def test_an_unknown_name_suggests_the_nearest(canned: Canned) -> None:
    """A name that nothing has: exit code 3, cause, what may have been meant, and the remedy."""
    canned.answers["GET /containers/match"] = problem(
        404, "no-such-container", "No container is called wbe.", "`roadstead ps` lists them all.", suggestions=["web"]
    )

    done = run(canned, "start", "wbe")

    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "Error: No container is called wbe.",
        "Did you mean web?",
        "`roadstead ps` lists them all.",
    ]


def test_hostile_names_in_messages_are_tamed(canned: Canned) -> None:
    """What a guest named cannot command the terminal of who reads about it."""
    operation(canned, [WEB1 | {"name": "w\x1b[2Jb"}], [{"target": "u1/a", "ok": False, "message": "no\x07\n!"}])

    done = run(canned, "stop", "w")

    assert done.stderr == "vm1/w?[2Jb: no??!\n"


def test_interrupted_means_130(canned: Canned) -> None:
    """Ctrl-C while an operation is under way ends the command quietly with 130."""
    operation(canned, [WEB1], [])
    ended = threading.Event()
    canned.answers["GET /operations/op%201"] = lambda _asked: (
        ended.wait(15) and problem(404, "no-such-operation", "Gone.")
    )

    with Terminal(canned, "stop", "web") as terminal:
        canned.wait_for("GET", "/operations/op%201")
        terminal.interrupt()
        code, shown = terminal.ended()
    ended.set()

    assert code == 130 and "Traceback" not in shown


@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_vms_are_managed_by_name(canned: Canned, verb: str) -> None:
    """`enable` and `disable` take a name, whatever its characters, and act on the VM's id."""
    canned.answers["GET /vms/a%2Fb%20c"] = vm("x") | {"name": "a/b c"}
    canned.answers[f"POST /vms/x-uuid/{verb}"] = vm("x")

    done = run(canned, verb, "a/b c")

    assert (done.returncode, done.stdout) == (0, f"a/b c: {verb}d\n")


def test_patterns_of_vms_are_asked_about_and_each_has_its_result(canned: Canned) -> None:
    """A pattern may mean several VMs: --yes is needed, one failure stops nothing, and the code is 4."""
    canned.answers["GET /vms"] = [vm("web2"), vm("db"), vm("web1")]
    canned.answers["POST /vms/web1-uuid/enable"] = problem(403, "pool-not-permitted", "The account may not.", "Ask.")
    canned.answers["POST /vms/web2-uuid/enable"] = vm("web2")

    asked, done = run(canned, "enable", "web*"), run(canned, "enable", "web*", "--yes")

    assert asked.returncode == 2 and "web1, web2" in asked.stderr
    assert (done.returncode, done.stdout, done.stderr) == (4, "web2: enabled\n", "web1: The account may not. Ask.\n")


def test_a_pattern_without_a_match_is_not_found(canned: Canned) -> None:
    """A pattern that no VM matches is told as such."""
    canned.answers["GET /vms"] = []

    done = run(canned, "enable", "web*", "--yes")

    assert done.returncode == 3 and "web*" in done.stderr


def test_why_tells_problem_cause_remedy_and_facts(canned: Canned) -> None:
    """`why` shows what is wrong, what to do, and what is known."""
    canned.answers["GET /vms/vm1/why"] = {
        "vm": "u", "name": "vm1", "state": "broken", "facts": [["port", "22"], ["last heard", "never"]],
        "problem": {"code": "refused", "cause": "It refuses.", "remedy": "Start sshd.", "since": None},
    }  # fmt: skip

    lines = run(canned, "why", "vm1").stdout.splitlines()

    assert lines[0] == "vm1: broken"
    assert "  Cause    It refuses." in lines and "  Remedy   Start sshd." in lines
    assert "  last heard  never" in lines


def test_why_says_beside_live_that_a_vm_does_not_answer(canned: Canned) -> None:
    """It is live until it is clear that it is lost."""
    canned.answers["GET /vms/vm1/why"] = {
        "vm": "u", "name": "vm1", "state": "live", "facts": [],
        "problem": {"code": "no-answer", "cause": "It has stopped answering.", "remedy": "Wait.", "since": None},
    }  # fmt: skip
    assert run(canned, "why", "vm1").stdout.splitlines()[0] == "vm1: live, but it does not answer"


@pytest.mark.parametrize("columns", [40, 60])
def test_why_breaks_no_word_on_a_narrow_terminal(canned: Canned, columns: int) -> None:
    """A fingerprint, an id, a command: what is longer than its line stands on one of its own."""
    words = ["ssh-ed25519", "SHA256:" + "x" * 27, "11111111-1111-1111-1111-111111111111"]
    canned.answers["GET /vms/vm1/why"] = {
        "vm": "u", "name": "vm1", "state": "broken", "facts": [["xscontainer-tls-client-cert", " ".join(words)]],
        "problem": {"code": "refused", "cause": "It refuses " * 9, "remedy": "Say `roadstead prepare vm1`."},
    }  # fmt: skip
    with Terminal(canned, "why", "vm1", columns=columns) as terminal:
        lines = terminal.ended()[1].splitlines()
    assert set(words) <= {word for line in lines for word in line.split()}
    assert all(len(line) <= columns for line in lines if words[2] not in line)


def _why(canned: Canned, *names: str) -> None:
    canned.answers["GET /vms"] = [vm(name, problem={"code": "refused"} if name == "db" else None) for name in names]
    for name in names:
        canned.answers[f"GET /vms/{name}"] = vm(name)
        canned.answers[f"GET /vms/{name}-uuid/why"] = {"vm": f"{name}-uuid", "name": name, "state": "live", "facts": []}


def test_why_takes_several_vms_as_prepare_does(canned: Canned) -> None:
    """By name, pattern and search, each once; JSON is a list then."""
    _why(canned, "web1", "web2", "db")
    assert run(canned, "why", "web*", "db", "web1").stdout.split() == ["web1:", "live", "web2:", "live", "db:", "live"]
    assert [each["name"] for each in json.loads(run(canned, "why", "db", "web1", "--format", "json").stdout)] == [
        "db",
        "web1",
    ]
    canned.asked.clear()
    done = run(canned, "why", "-f", "tag:shop")
    assert (canned.asked[0].query["q"], done.stdout.count(": live")) == (["tag:shop"], 3)


def test_why_without_a_name_is_about_those_with_a_problem(canned: Canned) -> None:
    """And says so when there is none."""
    _why(canned, "web1", "db")
    assert run(canned, "why").stdout.split() == ["db:", "live"]
    _why(canned, "web1")
    done = run(canned, "why")
    assert (done.returncode, done.stdout, "none has a problem" in done.stderr) == (0, "", True)


def test_hostkey_show_without_a_name_shows_all(canned: Canned) -> None:
    """And says how a pool is made known where there is no VM."""
    canned.answers["GET /vms"] = [vm("b"), vm("a")]
    for name in ("a", "b"):
        canned.answers[f"GET /vms/{name}-uuid/hostkey"] = key("pinned", "SHA256:x", "SHA256:x")
    assert [line.split()[0] for line in run(canned, "hostkey", "show").stdout.splitlines()] == ["VM", "a", "b"]
    canned.answers["GET /vms"] = canned.answers["GET /pools"] = []
    assert "`roadstead pool add URL`" in run(canned, "hostkey", "show").stderr


def key(state: str, shown: str | None = None, pinned: str | None = None) -> dict[str, Any]:
    """Return an answer about a host key."""
    return {
        "state": state,
        "shown": {"type": "ssh-ed25519", "fingerprint": shown} if shown else None,
        "pinned": {"type": "ssh-ed25519", "fingerprint": pinned} if pinned else None,
    }


def test_hostkey_show_lists_both_keys(canned: Canned) -> None:
    """`hostkey show` prints the remembered key and the shown one, fingerprints whole."""
    canned.answers["GET /vms/vm1"] = vm()
    canned.answers["GET /vms/vm1-uuid/hostkey"] = key("changed", "SHA256:" + "n" * 43, "SHA256:" + "o" * 43)

    shown = run(canned, "hostkey", "show", "vm1").stdout

    assert "changed" in shown and "n" * 43 in shown and "o" * 43 in shown


def test_hostkey_confirm_asks_once_and_leaves_settled_ones_alone(canned: Canned) -> None:
    """`hostkey confirm '*'` shows the keys in doubt, asks one question, and confirms these alone."""
    canned.answers["GET /vms"] = [vm("a"), vm("b"), vm("c")]
    canned.answers["GET /vms/a-uuid/hostkey"] = key("changed", "SHA256:new-a", "SHA256:old-a")
    canned.answers["GET /vms/b-uuid/hostkey"] = key("pinned", "SHA256:b", "SHA256:b")
    canned.answers["GET /vms/c-uuid/hostkey"] = key("host-key-shared", "SHA256:new-c")
    for name in ("a", "c"):
        canned.answers[f"POST /vms/{name}-uuid/hostkey/confirm"] = key(
            "pinned", f"SHA256:new-{name}", f"SHA256:new-{name}"
        )

    with Terminal(canned, "hostkey", "confirm", "*") as terminal:
        question = terminal.wait_for("[y/N] ")
        terminal.type("yes\n")
        code, shown = terminal.ended()

    assert "2 VMs (a, c)?" in question and "SHA256:new-a" in question
    assert code == 0 and "c: confirmed SHA256:new-c" in shown
    confirmed = [asked.query.get("confirm") for asked in canned.asked if asked.method == "POST"]
    assert confirmed == [["a-uuid"], ["c-uuid"]]
    assert not canned.bodies("POST", "/vms/b-uuid/hostkey/confirm")


@pytest.mark.parametrize("found", [("pinned", "SHA256:a", "SHA256:a"), ("none", "SHA256:a"), ("host-key-type-gone",)])
def test_where_nothing_waits_nobody_is_asked(canned: Canned, found: tuple[str, ...]) -> None:
    """It is said at once, with the VM's name once."""
    canned.answers["GET /vms/vm1"] = vm()
    canned.answers["GET /vms/vm1-uuid/hostkey"] = key(*found)

    with Terminal(canned, "hostkey", "confirm", "vm1") as terminal:
        code, shown = terminal.ended()

    assert code == 1 and "[y/N]" not in shown
    assert shown.startswith("vm1 has no host key that waits to be confirmed. ")


def test_a_key_is_said_beforehand_without_a_question(canned: Canned) -> None:
    """Naming the key is the yes; `hostkey show` has a column for it while it is waited for."""
    canned.answers["GET /vms/vm1"] = vm()
    expected = {**key("expected"), "expected": {"type": "", "fingerprint": "SHA256:said"}}
    canned.answers["GET /vms/vm1-uuid/hostkey"] = canned.answers["POST /vms/vm1-uuid/hostkey/confirm"] = expected

    done = run(canned, "hostkey", "confirm", "vm1", "--host-key", "SHA256:said")

    assert (done.returncode, done.stdout) == (0, "vm1: must show SHA256:said\n")
    assert canned.bodies("POST", "/vms/vm1-uuid/hostkey/confirm") == [{"host_key": "SHA256:said"}]
    shown = run(canned, "hostkey", "show", "vm1").stdout
    assert "EXPECTED" in shown and "SHA256:said" in shown


PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJw5M6Xv0rDqz8Yc7sWlL0y9h8oE0c8m1K2d3e4f5a6b root@vm1"
PUBLIC_SAYS = "SHA256:HdK3SfgrMA3pkmz109E3DL3BxZFvca5KtJo2EBl+TlE"


@pytest.mark.parametrize(
    ("state", "shown", "said", "asks"),
    [
        ("live", "SHA256:now", "SHA256:said", True),
        ("live", "SHA256:now", PUBLIC, True),
        ("live", "SHA256:said", "256 SHA256:said root@vm1 (ED25519)", False),
        ("live", PUBLIC_SAYS, PUBLIC, False),
        ("live", "SHA256:now", "nonsense", False),
        ("broken", "SHA256:now", "SHA256:said", False),
    ],
)
def test_who_is_cut_off_by_a_key_is_asked_about(
    canned: Canned, state: str, shown: str, said: str, *, asks: bool
) -> None:
    """A connected VM that shows another key; without a terminal that needs --yes, and nothing is done before."""
    canned.answers["GET /vms/vm1"] = vm(state=state)
    canned.answers["GET /vms/vm1-uuid/hostkey"] = key("pinned", shown, shown)
    canned.answers["POST /vms/vm1-uuid/hostkey/confirm"] = key("pinned", shown, shown)
    words = ("hostkey", "confirm", "vm1", "--host-key", said)

    done = run(canned, *words)

    assert (done.returncode, f"vm1, which shows {shown}" in done.stderr) == ((2, True) if asks else (0, False))
    assert bool(canned.bodies("POST", "/vms/vm1-uuid/hostkey/confirm")) is not asks
    assert run(canned, *words, "--yes").returncode == 0


def test_a_no_cuts_nobody_off(canned: Canned) -> None:
    """On a terminal it is a question that names the key which the VM shows."""
    canned.answers["GET /vms/vm1"] = vm()
    canned.answers["GET /vms/vm1-uuid/hostkey"] = key("pinned", "SHA256:now", "SHA256:now")

    with Terminal(canned, "hostkey", "confirm", "vm1", "--host-key", "SHA256:said") as terminal:
        question = terminal.wait_for("[y/N] ")
        terminal.type("n\n")
        code, told = terminal.ended()

    assert "vm1, which shows SHA256:now (ssh-ed25519) now and will be cut off?" in question
    assert (code, "Nothing was changed." in told) == (1, True)
    assert not canned.bodies("POST", "/vms/vm1-uuid/hostkey/confirm")


def test_one_key_belongs_to_one_vm(canned: Canned) -> None:
    """A pattern that names several is a mistake; nothing is sent."""
    canned.answers["GET /vms"] = [vm("a"), vm("b")]

    done = run(canned, "hostkey", "confirm", "*", "--host-key", "SHA256:said")

    assert done.returncode == 2 and "2 VMs are named" in done.stderr
    assert not canned.bodies("POST", "/vms/a-uuid/hostkey/confirm")


def test_an_address_is_confirmed_without_a_key(canned: Canned) -> None:
    """The key that a VM showed before its address was claimed twice is not sent as if it had been compared now."""
    canned.answers["GET /vms/vm1"] = vm()
    canned.answers["GET /vms/vm1-uuid/hostkey"] = key("address-claimed-twice", "SHA256:old")
    canned.answers["POST /vms/vm1-uuid/hostkey/confirm"] = key("address-claimed-twice", "SHA256:old")

    done = run(canned, "hostkey", "confirm", "vm1", "-y")

    assert canned.bodies("POST", "/vms/vm1-uuid/hostkey/confirm") == [{"fingerprint": None}]
    assert "SHA256:old" not in done.stdout and "may be called" in done.stdout


def test_hostkey_forget_needs_an_answer_even_for_one(canned: Canned) -> None:
    """Forgetting a host key opens the door for a first contact, so even one VM is asked about."""
    canned.answers["GET /vms/vm1"] = vm()
    canned.answers["DELETE /vms/vm1-uuid/hostkey"] = key("none", "SHA256:x")

    asked, done = run(canned, "hostkey", "forget", "vm1"), run(canned, "hostkey", "forget", "vm1", "-y")

    assert asked.returncode == 2 and len(canned.bodies("DELETE", "/vms/vm1-uuid/hostkey")) == 1
    assert done.returncode == 0 and done.stdout.startswith("vm1: forgotten")
