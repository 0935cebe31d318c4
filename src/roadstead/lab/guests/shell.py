"""What a simulated guest does where a real one has a shell: the commands that prepare a guest, or change its keys.

There is no shell, and nothing that comes over the network is run. Each of these commands says at its beginning what it
is to do with what; that is read, carried out, and answered in the words that its script would print.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Mapping
from typing import Protocol

from roadstead.artifacts import guest_survey, key_lines
from roadstead.artifacts.key_lines import Answer, Step
from roadstead.model.surveys import Root, SocketState

_GIVEN = re.compile(r"(?:^|(?<=; ))(\w+)=('[^']*'|[^;' ]*);")
_AS_ROOT = re.compile(r"\{ \{ (?P<command>.+); \} 2>&1; s=\$\?; echo; echo \"(?P<mark>[^\"$]+)\$s\"; \} \| tail -c \d+")
_SUDO = ["sudo", "-n"]
_DONE, _NOT_FOUND = 0, 127
GROUP, UID = "docker", "1000"
DENIED, UNWRITABLE = "socket-denied", "keys-unwritable"
"""The misbehaviours that show here: the user may not open the engine's socket, or not write `authorized_keys`."""
DOCKER, SUDO = "/usr/bin/docker", "/usr/bin/sudo"


class Inhabited(Protocol):
    """The guest whose shell it is."""

    @property
    def user(self) -> str:
        """Who signs in to it."""

    @property
    def faults(self) -> frozenset[str]:
        """What it does wrong."""

    def line_of(self, key: bytes) -> str:
        """The line of this key in `authorized_keys`; empty without one."""

    def set_line(self, key: bytes, line: str) -> bool:
        """Make `line` the one line of this key there; return whether the file is a new one."""

    def change_keys(self, old: bytes, new: bytes, *, is_removal: bool) -> bool:
        """Put one key beside another there, or take the old one out; return whether that was there."""

    def join(self) -> None:
        """Let the user open the engine's socket from the next sign-in on."""


def answer(guest: Inhabited, command: str) -> str | None:
    """Carry `command` out and return what it prints; None when it is none of these."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[:1] != ["exec"] or words[-3:-1] != ["sh", "-c"]:
        return None
    script = words[-1]
    as_root = _AS_ROOT.fullmatch(script)
    if as_root is not None:
        status = _run_as_root(guest, as_root["command"]) if words[1:3] == _SUDO else _NOT_FOUND
        return f"\n{as_root['mark']}{status}\n"
    return _answered(guest, {name: value.strip("'") for name, value in reversed(_GIVEN.findall(script))})


def _answered(guest: Inhabited, given: Mapping[str, str]) -> str | None:
    if given.get("m") == guest_survey.MARK:
        return "\n" + "".join(f"{guest_survey.MARK}{name}={value}\n" for name, value in _survey(guest, given))
    if given.get("m") == key_lines.MARK:
        return f"\n{key_lines.MARK}{_changed(guest, given)}\n"
    return None


def _run_as_root(guest: Inhabited, command: str) -> int:
    """Return how a command of root's ends: it can do the one thing that is missing in these guests."""
    if shlex.split(command) != ["usermod", "-aG", GROUP, guest.user]:
        return _NOT_FOUND
    guest.join()
    return _DONE


def _survey(guest: Inhabited, given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the facts about a Debian with an engine, whose user may become root without a password."""
    is_denied = DENIED in guest.faults
    state = SocketState.DENIED if is_denied else SocketState.READY
    paths = (*given.get("own", "").split(), *(path.replace("$n", UID) for path in guest_survey.SOCKETS))
    sockets = {**dict.fromkeys(paths, f"{SocketState.ABSENT} -"), guest_survey.SOCKETS[0]: f"{state} {GROUP}"}
    lines = {guest.line_of(base64.b64decode(given[name])) for name in ("ob", "of")}
    return [
        ("user", guest.user),
        ("uid", UID),
        ("groups", guest.user if is_denied else f"{guest.user} {GROUP}"),
        ("system", "debian"),
        ("docker", DOCKER),
        ("podman", ""),
        ("sudo", SUDO),
        ("root", Root.FREE),
        *(("socket", f"{told} {path}") for path, told in sockets.items()),
        ("init", "systemd"),
        ("enabled", "docker.service docker.socket"),
        *(("line", line) for line in sorted(lines) if line),
    ]


def _changed(guest: Inhabited, given: Mapping[str, str]) -> Answer:
    if UNWRITABLE in guest.faults:
        return Answer.OWNER
    key = base64.b64decode(given["ob"])
    if given["step"] == Step.SET:
        return Answer.MADE if guest.set_line(key, given["nl"]) else Answer.DONE
    is_removal = given["step"] == Step.REMOVE
    found = guest.change_keys(key, base64.b64decode(given["nb"]), is_removal=is_removal)
    return Answer.DONE if found else Answer.ABSENT
