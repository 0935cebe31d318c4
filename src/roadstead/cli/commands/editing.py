"""`roadstead config-drive edit`: the template in the operator's own editor, again until the server takes it.

A text in which somebody put work is never lost: it stays in its file until it is on the drive.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from roadstead.cli import failures
from roadstead.cli.api import client
from roadstead.cli.api.views import Beginning
from roadstead.cli.commands import drives
from roadstead.cli.display import output
from roadstead.errors import InputError

EDITOR = "vi"
"""What POSIX has where neither variable says another."""
_MISSING = "no-such-config-drive"
_UNFIT = {413, 422}
"""Answers after which another text may do."""


def edit(connected: client.Client, name: str, wanted: drives.Wanted, *, yes: bool) -> None:
    """Let the template of a VM's drive be edited, and make the drive anew. Raises `InputError` where no editor is named
    and nobody sits before the one that would be opened.
    """
    if not _named() and not (sys.stdin.isatty() and sys.stdout.isatty()):
        reason = "it needs a terminal, and neither VISUAL nor EDITOR names another"
        raise InputError("editor-failed", editor=EDITOR, reason=reason)
    before, present = _present(connected, name, wanted.get("profile"))
    keys = present["ssh_keys"]
    added = bool(set(wanted.get("ssh_keys", [])) - set(keys)) or "agent" in wanted
    wanted = {**present, **wanted, "ssh_keys": list(dict.fromkeys([*keys, *wanted.get("ssh_keys", [])]))}
    file = _kept(before)
    try:
        if _edited(connected, name, wanted, file, yes=yes, added=added):
            drives.made(connected, name, {**wanted, "template": drives.read(str(file))}, "table")
        else:
            print("The text is as it was: nothing was changed.", file=sys.stderr)
    except BaseException:
        _leave(file, before)
        raise
    file.unlink(missing_ok=True)


def _edited(connected: client.Client, name: str, wanted: drives.Wanted, file: Path, *, yes: bool, added: bool) -> bool:
    """Edit until the text is good and agreed to; return whether there is anything new: text, or what was ``added``."""
    before = drives.read(str(file))
    while True:
        _open(file)
        text = drives.read(str(file))
        if text == before and not added:
            return False
        try:
            found = drives.previewed(connected, name, {**wanted, "template": text})
        except client.Refused as error:
            if error.status not in _UNFIT:
                raise
            failures.told(error)
            if not _again():
                failures.stop()
            continue
        if not yes and not drives.agreed(found):
            failures.stop()
        return True


def _present(connected: client.Client, name: str, profile: str | None) -> tuple[str, drives.Wanted]:
    """Return the template of the present drive and what asks for one like it: its keys, the guest agent's files, the
    profile that it is for, unless one is named; without a drive the default.
    """
    try:
        drive = drives.fetched(connected, name, secrets=True)
    except client.Refused as error:
        if error.code != _MISSING:
            raise
    else:
        known = {"profile": drive.profile} if drive.profile else {}
        return drive.template, {**known, "ssh_keys": list(drive.ssh_keys), **drives.agent_of(drive)}
    path = f"/vms/{client.part(name)}/config-drive/default"
    return connected.get(Beginning, path, {"profile": profile}).template, {"ssh_keys": []}


def _kept(text: str) -> Path:
    """Return a new file, which nobody else may read, that holds ``text``."""
    handle, path = tempfile.mkstemp(prefix="config-drive-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return Path(path)


def _named() -> str:
    """The editor that somebody chose."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""


def _open(file: Path) -> None:
    editor = _named() or EDITOR
    try:
        done = subprocess.run([*shlex.split(editor), str(file)], check=False)
    except (OSError, ValueError) as error:
        raise InputError("editor-failed", editor=editor, reason=getattr(error, "strerror", "") or str(error)) from error
    if done.returncode:
        raise InputError("editor-failed", editor=editor, reason=f"it ended with {done.returncode}")


def _again() -> bool:
    if not output.is_asked():
        return False
    print("Edit it again? [Y/n] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    return answer.strip().lower() in {"", "y", "yes"} and answer != ""


def _leave(file: Path, before: str) -> None:
    """Tell where the text is, unless nothing was written."""
    if file.read_bytes() == before.encode():
        file.unlink()
    else:
        print(f"Your text is in {file}.", file=sys.stderr)
