"""The command that changes a key in a guest, run by real shells and real awks on real files."""

from __future__ import annotations

import os
import shutil

import pytest

from roadstead.artifacts import key_lines
from roadstead.artifacts.key_lines import Answer, Step
from tests.unit.artifacts.homes import LINE, NEW, OLD, OTHER, STRANGE, Home

LINES = [
    pytest.param(OLD, NEW, id="bare"),
    pytest.param(f"{OLD} xscontainer", f"{NEW} xscontainer", id="with a comment"),
    pytest.param(f"  {OLD}  two  blanks ", f"  {NEW}  two  blanks ", id="blanks stay"),
    pytest.param(
        f'from="10.0.0.0/8,!10.0.0.9",no-pty {OLD} x', f'from="10.0.0.0/8,!10.0.0.9",no-pty {NEW} x', id="from"
    ),
    pytest.param(f'environment="A=b c" {OLD}', f'environment="A=b c" {NEW}', id="a blank in an option"),
    pytest.param(f'environment="A=\\"b c" {OLD}', f'environment="A=\\"b c" {NEW}', id="a quote in an option"),
    pytest.param(f"restrict,pty\t{OLD.replace(' ', chr(9))}", f"restrict,pty\t{NEW}", id="tabs"),
    pytest.param(f"{OLD} x\r", f"{NEW} x\r", id="a line of DOS"),
]


@pytest.mark.parametrize(("old", "new"), LINES)
def test_a_line_is_doubled_then_removed(home: Home, old: str, new: str) -> None:
    """Options and comment stay, others' lines and their bytes too, and both steps may be done again."""
    before, after = f"# keys\n\n{OTHER}\n", "ssh-rsa D\udcff no UTF-8\n"
    home.write(f"{before}{old}\n{after}", 0o640)
    for _ in range(2):
        assert home.run(Step.ADD) is Answer.DONE
        assert home.read() == f"{before}{old}\n{new}\n{after}"
    assert home.run(Step.REMOVE) is Answer.DONE
    assert home.read() == f"{before}{new}\n{after}"
    assert home.run(Step.REMOVE) is Answer.ABSENT
    assert home.file.stat().st_mode & 0o777 == 0o640


def test_a_file_without_a_last_newline_survives(home: Home) -> None:
    """The new line is one of its own."""
    home.write(f"{OTHER}\n{OLD}")
    assert home.run(Step.ADD) is Answer.DONE
    assert home.read() == f"{OTHER}\n{OLD}\n{NEW}"
    assert home.run(Step.REMOVE) is Answer.DONE
    assert home.read() == f"{OTHER}\n{NEW}"


def test_every_line_of_the_old_key_is_changed(home: Home) -> None:
    """Two lines with different options become two others; the same twice becomes one."""
    home.write(f'from="10.0.0.1" {OLD}\n{OLD}\n{OLD}\n')
    assert home.run(Step.ADD) is Answer.DONE
    assert home.run(Step.REMOVE) is Answer.DONE
    assert home.read() == f'from="10.0.0.1" {NEW}\n{NEW}\n'


@pytest.mark.parametrize(
    "line",
    [f"# {OLD}", f"   # {OLD}", f'command="echo {OLD}" {OTHER}', f"{OLD}A", f"ssh-dss {OLD.split()[1]}", f"x{OLD}"],
)
def test_what_only_looks_like_the_key_is_left_alone(home: Home, line: str) -> None:
    """A comment, an option's text, a longer key and another type are no line of the old key."""
    home.write(f"{line}\n")
    assert home.run(Step.ADD) is Answer.ABSENT
    assert home.run(Step.REMOVE) is Answer.ABSENT
    assert home.read() == f"{line}\n"


def test_a_link_to_the_file_is_followed(home: Home) -> None:
    """The link stays one, and what it leads to is changed where it is."""
    target = home.folder / "kept"
    target.write_text(f"{OLD}\n")
    home.file.symlink_to(target)
    assert home.run(Step.ADD) is Answer.DONE
    assert home.file.is_symlink()
    assert target.read_text() == f"{OLD}\n{NEW}\n"


def test_further_files_of_the_user_are_changed_too(home: Home) -> None:
    """Flatcar and Fedora CoreOS make the file of what is in a folder beside it."""
    folder = home.file.parent / "authorized_keys.d"
    folder.mkdir()
    (folder / "ignition").write_text(f"{OLD}\n")
    home.write(f"{OLD}\n")
    assert home.run(Step.ADD) is Answer.DONE
    assert (folder / "ignition").read_text() == home.read() == f"{OLD}\n{NEW}\n"


def test_without_the_old_key_nothing_is_made(home: Home) -> None:
    """No file, and an empty one, are as they were."""
    assert home.run(Step.ADD) is Answer.ABSENT
    home.write("")
    assert home.run(Step.ADD) is Answer.ABSENT
    assert home.read() == ""


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (b"", Answer.NO_COMMAND),
        (b"HTTP/1.1 400 Bad Request\r\n", Answer.NO_COMMAND),
        (b"Welcome!\n\nroadstead-keys:done\n", Answer.DONE),
        (b"\nroadstead-keys:owner\n", Answer.OWNER),
        (b"\nroadstead-keys:\xff\xff\n", Answer.FAILED),
        (b"x roadstead-keys:done\n", Answer.NO_COMMAND),
    ],
)
def test_the_answer_is_a_line_of_its_own(output: bytes, found: Answer) -> None:
    """What a shell prints besides, and what a forced command says, is none."""
    assert key_lines.answer(output) is found


@pytest.mark.parametrize("key", ["", "ssh-rsa", "ssh-rsa $(reboot)", "ssh-rsa AAAA'; reboot; '", "ssh-rsa A\nB"])
def test_only_a_public_key_gets_into_the_command(key: str) -> None:
    """Nothing that a shell could read otherwise."""
    with pytest.raises(ValueError, match="no public key"):
        key_lines.command(key, NEW, Step.ADD)
    with pytest.raises(ValueError, match="no public key"):
        key_lines.command(OLD, key, Step.ADD)


def test_the_command_is_one_line_that_every_login_shell_hands_on() -> None:
    """No newline, no exclamation mark, and backslashes only around quotes."""
    for command in (key_lines.command(OLD, NEW, Step.ADD), key_lines.setting(f"no-pty {OLD}", OLD)):
        assert not {"\n", "!"} & set(command)
        assert "\\" not in command.replace("'\\''", "").replace("'\\'", "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(f"{OTHER}\n", f"{OTHER}\n{LINE}\n", id="added"),
        pytest.param(OTHER, f"{OTHER}\n{LINE}\n", id="behind a line without a newline"),
        pytest.param("", f"{LINE}\n", id="into an empty file"),
        pytest.param(f"{OLD} x\n{OTHER}\n", f"{LINE}\n{OTHER}\n", id="in the place of another form"),
        pytest.param(f"{OLD}\n{OTHER}\n{OLD} x", f"{LINE}\n{OTHER}", id="in the place of several"),
        pytest.param(f"# {OLD}\n", f"# {OLD}\n{LINE}\n", id="a remark is no line"),
        pytest.param(f"{LINE}\n{OTHER}\n", f"{LINE}\n{OTHER}\n", id="there already"),
    ],
)
def test_a_line_is_set(home: Home, before: str, after: str) -> None:
    """It stands once, everything else stays, and the second time nothing is written."""
    home.write(before, 0o640)
    is_other = OLD in before.replace(f"# {OLD}", "").replace(LINE, "")
    assert home.set(LINE) is (Answer.REPLACED if is_other else Answer.DONE)
    assert home.read() == after
    assert home.keep() is (Answer.DONE if is_other else Answer.ABSENT)
    written = home.file.stat().st_ino
    assert home.set(LINE) is Answer.DONE
    assert home.read() == after
    assert (home.file.stat().st_ino, home.file.stat().st_mode & 0o777) == (written, 0o640)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(f"{OLD} x\n{OTHER}\n", id="one"),
        pytest.param(f"{OTHER}\n{STRANGE}", id="one that no shell would hand on, and no newline"),
        pytest.param(f"{OLD}\n{OTHER}\n{STRANGE}\n\n", id="several"),
        pytest.param(f"# {OLD}\n{OLD}\n\udcff\n", id="no text"),
    ],
)
def test_what_was_replaced_comes_back(home: Home, before: str) -> None:
    """Byte by byte and as the same file, though it was set twice before it was undone; then nothing is left of that."""
    home.write(before, 0o640)
    inode = home.file.stat().st_ino
    assert home.set(LINE) is Answer.REPLACED
    assert home.set(f"restrict {OLD}") is Answer.REPLACED
    assert home.set(f"restrict {OLD}") is Answer.REPLACED
    assert home.undo(Answer.REPLACED) is Answer.DONE
    assert home.read() == before
    assert (home.file.stat().st_ino, home.file.stat().st_mode & 0o777) == (inode, 0o640)
    assert home.undo(Answer.REPLACED) is Answer.ABSENT
    assert list(home.file.parent.iterdir()) == [home.file]


def test_what_others_changed_since_is_not_undone(home: Home) -> None:
    """What was there before would take their change back; a line that is set later has its own before."""
    home.write(f"{OLD} x\n")
    assert home.set(LINE) is Answer.REPLACED
    home.write(f"{LINE}\n{OTHER}\n")
    assert home.undo(Answer.REPLACED) is Answer.CHANGED
    assert home.read() == f"{LINE}\n{OTHER}\n"
    assert home.set(f"restrict {OLD}") is Answer.REPLACED
    assert home.undo(Answer.REPLACED) is Answer.DONE
    assert home.read() == f"{LINE}\n{OTHER}\n"


def test_nothing_of_it_is_left_where_the_line_goes(home: Home) -> None:
    """Taken out, and where no line is there any more."""
    home.write(f"{OLD} x\n")
    assert home.set(LINE) is Answer.REPLACED
    assert home.remove() is Answer.DONE
    assert list(home.file.parent.iterdir()) == [home.file]
    home.write(f"{OLD} x\n")
    assert home.set(LINE) is Answer.REPLACED
    home.write("")
    assert home.set(LINE) is Answer.DONE
    assert list(home.file.parent.iterdir()) == [home.file]


def test_where_the_former_file_cannot_stay_nothing_is_changed(home: Home) -> None:
    """Neither as a link nor as a copy."""
    home.write(f"{OLD} x\n")
    home.stand_in("ln", "exit 1")
    home.stand_in("cp", 'case $* in *.roadstead) exit 1;; esac; real "$@"')
    assert home.set(LINE) is Answer.FULL
    assert home.read() == f"{OLD} x\n"


def test_a_line_of_the_same_length_is_replaced(home: Home) -> None:
    """The size alone does not tell that nothing changed."""
    home.write(f'from="10.0.0.1" {OLD}\n')
    assert home.set(f'from="10.0.0.2" {OLD}') is Answer.REPLACED
    assert home.read() == f'from="10.0.0.2" {OLD}\n'


def test_file_and_folder_are_made_for_the_user_alone(home: Home) -> None:
    """Where there are none."""
    home.file.parent.rmdir()
    assert home.set(LINE) is Answer.MADE_FOLDER
    assert home.read() == f"{LINE}\n"
    assert (home.file.parent.stat().st_mode & 0o777, home.file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_what_is_no_regular_file_is_left_alone(home: Home) -> None:
    """A link to nothing stays one, and nobody waits for the other end of a FIFO."""
    home.file.symlink_to(home.folder / "gone" / "keys")
    assert home.set(LINE) is Answer.KIND
    assert home.file.is_symlink()
    home.file.unlink()
    os.mkfifo(home.file)
    assert home.set(LINE) is Answer.KIND
    assert home.run(Step.ADD) is Answer.ABSENT
    assert home.file.is_fifo()


@pytest.mark.parametrize(
    ("before", "more", "after"),
    [
        pytest.param("no folder", "", "no folder", id="file and folder"),
        pytest.param("no file", "", "no file", id="file"),
        pytest.param("", "", "", id="it was empty"),
        pytest.param(f"{OTHER}\n", "", f"{OTHER}\n", id="others' line"),
        pytest.param("no folder", f"{OTHER}\n", f"{OTHER}\n", id="a line that came meanwhile"),
    ],
)
def test_undoing_leaves_what_was_before(home: Home, before: str, more: str, after: str) -> None:
    """A file and a folder go that were made for the line, and nothing that was there or has something else in it."""
    home.stand_in("update-ssh-keys", "")
    if before == "no folder":
        home.file.parent.rmdir()
    elif before != "no file":
        home.write(before)
    said = home.set(LINE)
    home.write(home.read() + more)
    assert home.undo(said) is Answer.DONE
    left = home.read() if home.file.exists() else "no file" if home.file.parent.exists() else "no folder"
    assert left == after


def test_a_folder_with_something_else_stays(home: Home) -> None:
    """Only the file goes."""
    home.file.parent.rmdir()
    said = home.set(LINE)
    (home.file.parent / "config").touch()
    assert home.undo(said) is Answer.DONE
    assert [file.name for file in home.file.parent.iterdir()] == ["config"]


COPY = '"$HOME"/.ssh/authorized_keys.??????'


FAULTY = [
    pytest.param("awk", f'real "$@"; for f in {COPY}; do [ -f "$f" ] && : >"$f"; done', Answer.FAILED, id="cut short"),
    pytest.param("cp", 'shift; real "$@"', Answer.BITS, id="another mode"),
    pytest.param("cp", 'real "$@"; chgrp 1 "$3"', Answer.GROUP, id="another group"),
    pytest.param("cp", "exit 1", Answer.FAILED, id="no copy"),
    pytest.param("mv", "exit 1", Answer.HELD, id="not replaced"),
]


@pytest.mark.parametrize(("tool", "script", "wanted"), FAULTY)
def test_a_copy_that_is_not_like_the_file_never_takes_its_place(
    home: Home, tool: str, script: str, wanted: Answer
) -> None:
    """Its size, its mode, its owner and group are compared before."""
    if wanted is Answer.GROUP and os.getuid():
        pytest.skip("only root gives a file another group")
    home.stand_in(tool, script.replace("chgrp", shutil.which("chgrp") or "chgrp"))
    home.write(f"{OTHER}\n{OLD}\n", 0o640)
    for again in (home.run(Step.ADD), home.set(LINE), home.remove()):
        assert again is wanted
    assert home.read() == f"{OTHER}\n{OLD}\n"


def test_what_somebody_wrote_meanwhile_stays(home: Home) -> None:
    """Between the copy and its taking the place of the file."""
    home.write(f"{OLD}\n")
    home.stand_in("sync", f'echo "{OTHER}" >>"$HOME/.ssh/authorized_keys"')
    assert home.set(LINE) is Answer.CHANGED
    assert home.read() == f"{OLD}\n{OTHER}\n"


def test_the_file_keeps_its_context_of_selinux(home: Home) -> None:
    """The copy gets that of the file, and the policy has the last word; both are stand-ins here, which note it."""
    home.write(f"{OLD}\n")
    log = home.folder / "log"
    home.stand_in("chcon", f'[ -s "$1" ] || echo "chcon $1 ${{2%.??????}}" >>{log}')
    home.stand_in("restorecon", f'grep -q restrict "$1" && echo "restorecon $1" >>{log}')
    assert home.set(LINE) is Answer.REPLACED
    assert log.read_text().splitlines() == [f"chcon --reference={home.file} {home.file}", f"restorecon {home.file}"]


@pytest.mark.parametrize(
    "line", [f"{OLD} it's", f"{OLD} a\\b", f"{OLD} a!", f"{OLD}\n", OTHER, f'command="{OLD[:-4]}"']
)
def test_what_is_no_line_of_the_key_is_not_handed_on(line: str) -> None:
    """A shell would read it, or it is another key's."""
    with pytest.raises(ValueError, match="no line"):
        key_lines.setting(line, OLD)
