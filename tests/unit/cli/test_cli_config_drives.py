"""`roadstead config-drive` on a terminal: what is shown before a question, a text that is edited till it is good."""

from pathlib import Path
from typing import Any

from tests.unit.cli.canned import Asked, Canned, Terminal, problem, run, vm

DRIVE = "/vms/vm1/config-drive"
GOOD, BAD = "#cloud-config\na: 1\n", "#cloud-config\na: [\n"
FILES = [{"path": "openstack/latest/user_data", "text": "a: \x1b[2J"}]
PREVIEW = {"vm": "v", "name": "vm1", "profile": "cloud-config", "storage": "sr", "replaces": "old", "files": FILES}
MADE = {"vm": "v", "name": "vm1", "disk": "new-disk", "profile": "cloud-config"}
EDITOR = '#!/bin/sh\ncat "$1" >> "$0.seen"; printf "#cloud-config\\na: 1\\n" > "$0.good"\n'
EDITOR += (
    'if test -e "$0.twice"; then cp "$0.good" "$1"; else printf "#cloud-config\\na: [\\n" > "$1"; fi; : > "$0.twice"\n'
)


def drives(canned: Canned) -> None:
    """A VM with a drive, and a server that refuses the bad text."""

    def judged(asked: Asked) -> Any:
        if asked.body["template"] == BAD:
            return problem(422, "config-invalid", "The configuration is wrong in line 3.", "Correct that line.")
        return PREVIEW

    canned.answers["GET /vms/vm1"] = vm()
    canned.answers[f"GET {DRIVE}"] = {"name": "vm1", "template": "#cloud-config\n", "ssh_keys": ["ssh-rsa A me"]}
    canned.answers[f"POST {DRIVE}/preview"] = judged
    canned.answers[f"POST {DRIVE}"] = MADE


def editor(folder: Path) -> dict[str, str]:
    """An editor that writes a bad text first, then a good one."""
    path = folder / "editor"
    path.write_text(EDITOR)
    path.chmod(0o700)
    return {"VISUAL": str(path), "TMPDIR": str(folder)}


def test_a_refused_text_is_edited_again(canned: Canned, tmp_path: Path) -> None:
    """The editor finds the text as it was left; what was agreed to is made, with the keys of before."""
    drives(canned)
    with Terminal(canned, "config-drive", "edit", "vm1", more=editor(tmp_path)) as terminal:
        terminal.wait_for("line 3")
        terminal.wait_for("[Y/n] ")
        terminal.type("\n")
        shown = terminal.wait_for("Replace the config drive of vm1? [y/N] ")
        terminal.type("y\n")
        code, rest = terminal.ended()

    assert (code, "new-disk" in rest, "\x1b[2J" in shown) == (0, True, False)
    assert (tmp_path / "editor.seen").read_text() == "#cloud-config\n" + BAD
    assert canned.bodies("POST", DRIVE) == [{"template": GOOD, "ssh_keys": ["ssh-rsa A me"]}]
    assert next(each.query for each in canned.asked if (each.method, each.path) == ("POST", DRIVE)) == {
        "confirm": ["vm1-uuid"]
    }
    assert not list(tmp_path.glob("config-drive-*"))


def test_who_gives_up_keeps_the_text(canned: Canned, tmp_path: Path) -> None:
    """No is an answer to either question; nothing is made."""
    drives(canned)
    with Terminal(canned, "config-drive", "edit", "vm1", more=editor(tmp_path)) as terminal:
        terminal.wait_for("[Y/n] ")
        terminal.type("n\n")
        code, shown = terminal.ended()

    (left,) = tmp_path.glob("config-drive-*")
    assert code == 1 and str(left) in shown.replace("\r\n", "") and left.read_text() == BAD
    assert canned.bodies("POST", DRIVE) == []


def test_an_unchanged_text_asks_nothing(canned: Canned, tmp_path: Path) -> None:
    """The drive with its keys stays as it is."""
    drives(canned)
    more = {"VISUAL": "true", "TMPDIR": str(tmp_path)}
    with Terminal(canned, "config-drive", "edit", "vm1", more=more) as terminal:
        code, shown = terminal.ended()

    assert code == 0 and "nothing was changed" in shown and "[y/N]" not in shown
    assert canned.bodies("POST", f"{DRIVE}/preview") == []


def test_no_editor_is_started_where_nobody_sits(canned: Canned) -> None:
    """One that was named may be a script, and is."""
    drives(canned)
    done = run(canned, "config-drive", "edit", "vm1", VISUAL="", EDITOR="")
    assert (done.returncode, done.stdout, "it needs a terminal" in done.stderr) == (2, "", True)
    assert run(canned, "config-drive", "edit", "vm1", VISUAL="", EDITOR="true").returncode == 0


def test_a_drive_that_is_not_there_is_told_before_a_yes_is_wanted(canned: Canned) -> None:
    """A yes would make nothing of it."""
    canned.answers["GET /vms/vm1"] = vm("vm1")
    gone = problem(404, "no-such-config-drive", "vm1 has no config drive.", "Make one.")
    canned.answers["GET /vms/vm1-uuid/config-drive"] = gone
    done = run(canned, "config-drive", "rebuild", "vm1")
    assert "vm1 has no config drive." in done.stderr and "--yes" not in done.stderr
    assert done.returncode == 3
