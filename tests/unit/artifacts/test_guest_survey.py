"""A look at a guest: run by real shells, read as a stranger's word."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roadstead.artifacts import guest_parts, guest_survey
from roadstead.artifacts.standing_lines import LONGEST
from roadstead.errors import ConflictError
from roadstead.model.surveys import EngineSocket, Part, Root, SocketState, Survey

KEY = f"ssh-rsa {'A' * 40}"
FORMER = f"ssh-rsa {base64.b64encode(struct.pack('>I', 7) + b'ssh-rsa' + b'x' * 40).decode()}"
OLD = f"ssh-rsa {'C' * 40}"
ED25519 = struct.pack(">I", 11) + b"ssh-ed25519" + struct.pack(">I", 32)


@pytest.mark.parametrize("name", ["sh", "bash"])
def test_it_tells_what_is_there(tmp_path: Path, name: str) -> None:
    """User, sockets in their states, and whose keys are in the file."""
    shell = shutil.which(name)
    assert shell is not None
    folder = tmp_path / ".ssh"
    folder.mkdir()
    lines = [f"restrict {KEY} xscontainer", f'from="10.0.0.0/8" {OLD} xscontainer', f"{KEY} x"]
    others = [f"no-pty {FORMER} xscontainer"] * guest_survey.MOST_FORMER + [f"# {KEY} not this one"]
    (folder / "authorized_keys").write_text("\n".join([*others, *lines, ""]))
    os.mkfifo(folder / "authorized_keys2")  # nobody waits for its other end
    alive, dead = str(tmp_path / "alive.sock"), str(tmp_path / "dead.sock")
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind(alive)
        one.listen()
        other.bind(dead)
        command = guest_survey.command([KEY, OLD], [alive, dead])
        given = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "SSH_CONNECTION": "10.0.0.9 1 10.0.0.1 22"}
        done = subprocess.run(
            [shell, "-c", command], env=given, cwd=tmp_path, capture_output=True, timeout=30, check=False
        )
    assert not done.stderr
    survey = guest_survey.read(b"Welcome!\n" + done.stdout)
    assert survey is not None
    assert (survey.uid, survey.client, survey.lines) == (os.getuid(), "10.0.0.9", tuple(lines))
    states = {each.path: each.state for each in survey.sockets}
    assert (states[alive], states[dead]) == (SocketState.READY, SocketState.DEAD)
    assert survey.former == (FORMER,)
    assert survey.root is (Root.IS if os.getuid() == 0 else survey.root)
    assert "debian" in survey.system and survey.version.isdecimal() and "apt-get" in survey.packagers


def looked(home: Path, config: str, part: str = "") -> Survey:
    """A look at a guest whose SSH server has these settings, which nobody there may ask."""
    folder, tools = home / "ssh", home / "tools"
    (folder / "sshd_config.d").mkdir(parents=True)
    (folder / "sshd_config").write_text(config)
    (folder / "sshd_config.d/a.conf").write_text(part)
    tools.mkdir()
    for name in ("sshd", "sudo"):
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
        (tools / name).chmod(0o755)
    command = guest_survey.command([KEY]).replace("/etc/ssh", str(folder))
    given = {"HOME": str(home), "PATH": f"{tools}:{os.environ['PATH']}"}
    told = subprocess.run(["sh", "-c", command], env=given, capture_output=True, timeout=30, check=True).stdout
    assert max(map(len, told.splitlines())) <= len(f"{guest_survey.MARK}line=") + LONGEST
    found = guest_survey.read(told)
    assert found is not None
    return found


FORWARDS = [
    ("AllowStreamLocalForwarding no\n", "", False),
    ("AllowStreamLocalForwarding=local\n", "", True),
    ("AllowStreamLocalForwarding remote\n", "", False),
    ("AllowStreamLocalForwarding yes\nDisableForwarding yes\n", "", False),
    ("AllowStreamLocalForwarding yes\n", "AllowStreamLocalForwarding no\n", False),
    ("Match User x\nAllowStreamLocalForwarding no\n", "", None),
    ("match user x\nDisableForwarding yes\n", "AllowStreamLocalForwarding yes\n", True),
]


@pytest.mark.parametrize(("config", "part", "forwards"), FORWARDS)
def test_whether_the_server_forwards_is_read(tmp_path: Path, config: str, part: str, forwards: object) -> None:
    """The first word counts, and none of a ``Match`` block, which may be about others."""
    assert looked(tmp_path, config, part).forwards is forwards


@pytest.mark.parametrize(
    ("config", "is_matched"),
    [
        ("AuthorizedKeysFile .ssh/own\n", False),
        ("Match User x\nAllowTcpForwarding no\n", False),
        ("Match User x\nAuthorizedKeysFile .ssh/theirs\n", True),
    ],
)
def test_a_match_that_may_name_the_users_file_is_told(tmp_path: Path, config: str, *, is_matched: bool) -> None:
    """Where the server cannot be asked."""
    assert looked(tmp_path, config).is_matched is is_matched


def test_lines_are_told_from_where_the_server_looks_and_none_at_full_length(tmp_path: Path) -> None:
    """A line may have any length; so many are told, so much of each."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/authorized_keys").write_text(f"restrict {KEY}\n")
    long = f'environment="A={"x" * 9000}" {KEY}'
    (tmp_path / ".ssh/%own").write_text("\n".join([long, *[f'from="10.0.0.{each}" {KEY}' for each in range(9)]]))
    found = looked(tmp_path, "AuthorizedKeysFile %h/.ssh/%%own\n")
    assert found.lines[:2] == (long[:LONGEST], f'from="10.0.0.0" {KEY}')
    assert len(found.lines) == guest_survey.MOST_LINES


@pytest.mark.parametrize("name", ["sh", "bash", "dash", "busybox"])
def test_a_known_pools_line_is_found_by_its_key(tmp_path: Path, name: str) -> None:
    """Whatever stands around it, and no other line; who claims to have found a key that was not asked for is passed
    over.
    """
    shell = shutil.which(name)
    if shell is None:
        pytest.skip(f"{name} is not here")
    known, other = (f"ssh-ed25519 {base64.b64encode(ED25519 + bytes([each]) * 32).decode()}" for each in (7, 8))
    (tmp_path / ".ssh").mkdir()
    lines = [f'command="a \\" {known[:30]} b",no-pty {known} me', f"{other} you", f"# {known}", f"{KEY} {known}"]
    (tmp_path / ".ssh/authorized_keys").write_text("\n".join(lines))
    words = [shell, "sh"] if name == "busybox" else [shell]
    given = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    def told(*known: str) -> bytes:
        words_given = [*words, "-c", guest_survey.lines_command([KEY], known)]
        done = subprocess.run(words_given, env=given, capture_output=True, timeout=30, check=True)
        assert not done.stderr
        return done.stdout

    assert guest_survey.read_lines(told(known), [known]) == (known,)
    assert guest_survey.read_lines(told(known, FORMER), [known, FORMER]) == (known,)
    assert guest_survey.read_lines(told(), ()) == ()
    assert guest_survey.read_lines(told(known), [other]) == ()


@pytest.mark.parametrize("name", ["sh", "bash"])
@pytest.mark.parametrize("user", [r"DOM\ann", "ann@corp.example", "svc$"])
def test_a_user_of_a_directory_is_one_to_every_shell(tmp_path: Path, name: str, user: str) -> None:
    """It is told as it is, and a command that names it means it."""
    (tmp_path / "id").write_text(f"#!/bin/sh\n[ \"$1\" = -u ] && echo 7 || printf '%s\\n' '{user}'\n")
    (tmp_path / "id").chmod(0o755)
    given = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    told = subprocess.run(
        [name, "-c", guest_survey.command([KEY])], env=given, capture_output=True, timeout=30, check=True
    )
    found = guest_survey.read(told.stdout)
    assert found is not None and found.user == user
    for part in (Part.LINGER, Part.OWN_ENGINE, Part.ENGINE_GROUP):
        guest = replace(found, init="systemd", root=Root.FREE, podman="/usr/bin/podman", sockets=DENIED)
        last = guest_parts.remedy(part, guest).commands[-1]
        said = subprocess.run([name, "-c", f"printf '%s ' {last}"], capture_output=True, timeout=30, check=True)
        assert user in said.stdout.decode().split(" ")


HOSTILE = [
    ("user=a b", None),
    ("uid=x", None),
    ("uid=1000;reboot", None),
    ("user=$(reboot)", None),
    ("user=-g", None),
    ("version=15.$(reboot)", ""),
    ("init=systemd;reboot", ""),
    ("enabled=docker.service $(reboot)", ("docker.service",)),
    ("docker=/usr/bin/docker; reboot", ""),
    ('sudo=/x"y', ""),
    ("root=anything", Root.NONE),
    ("client=10.0.0.1\x1b[2J", ""),
    ("former=ssh-rsa AAAA' xscontainer", ()),
    ("former=ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDAAAAAA", ()),
    (f"former=ssh-rsa {'A' * 41}", ()),
    (f"docker=/{'a' * 256}", ""),
    (f"sudo=/{'a' * 9000}", ""),
    (f"socket=ready docker /{'a' * 107}", ()),
    ("socket=ready docker /run/a b", ()),
    ("socket=ready docker /run/$(reboot)", ()),
    ("socket=fine docker /run/a", ()),
]


@pytest.mark.parametrize(("said", "kept"), HOSTILE)
def test_what_has_another_form_does_not_count(said: str, kept: object) -> None:
    """Nothing of it can become a command, a path or a line."""
    lines = [f"{guest_survey.MARK}{fact}" for fact in ("user=core", "uid=1000", said)]
    survey = guest_survey.read("\n".join(lines).encode())
    name = said.partition("=")[0]
    if kept is None:
        assert survey is None
    else:
        assert survey is not None
        assert getattr(survey, "sockets" if name == "socket" else name) == kept


def test_a_shell_that_did_not_run_it_told_nothing() -> None:
    """A forced command, or no shell at all."""
    assert guest_survey.read(b"HTTP/1.1 400 Bad Request\r\n") is None


def survey(*system: str, init: str = "systemd", root: Root = Root.FREE, **more: object) -> Survey:
    """A guest of this distribution."""
    return Survey(user="ann", uid=1000, system=system, init=init, root=root, **more)  # type: ignore[arg-type]


DENIED = (EngineSocket("/var/run/docker.sock", SocketState.DENIED, "docker"),)
ROOTS = (EngineSocket("/var/run/docker.sock", SocketState.DENIED, "root"),)
OWN_SOCKET = "/run/user/1000/docker.sock"
PODMAN: dict[str, Any] = {"podman": "/usr/bin/podman"}
AS_ANN = "runuser -u ann -- env XDG_RUNTIME_DIR=/run/user/1000 systemctl --user"
LINGERS = ("loginctl enable-linger ann", "systemctl start user@1000.service")
OWN_PODMAN = (*LINGERS, f"{AS_ANN} enable --now podman.socket")
DOCKER = ("systemctl enable --now docker", "usermod -aG docker ann")
RHEL = ("dnf install -y podman", *OWN_PODMAN)
INSTALLS = [
    (survey("debian"), "apt-get", DOCKER),
    (survey("ubuntu", "debian"), "apt-get", DOCKER),
    (survey("fedora"), "dnf", ("dnf install -y moby-engine", *DOCKER)),
    (survey("amzn", "fedora"), "dnf", ("dnf install -y docker", *DOCKER)),
    (survey("rhel", "fedora"), "dnf", RHEL),
    (survey("centos", "rhel", "fedora"), "dnf", RHEL),
    (survey("rocky", "rhel", "centos", "fedora"), "dnf", RHEL),
    (survey("almalinux", "rhel", "centos", "fedora"), "dnf", RHEL),
    (survey("ol", "fedora"), "dnf", RHEL),
    (
        survey("rhel", "fedora", root=Root.IS),
        "dnf",
        ("dnf install -y podman", "systemctl enable --now podman.socket"),
    ),
    (
        survey("opensuse-leap", "suse", "opensuse", version="15.6"),
        "zypper",
        ("zypper --non-interactive install docker", *DOCKER),
    ),
    (
        survey("sles", "suse", version="15.7"),
        "zypper",
        (
            "SUSEConnect -p sle-module-containers/15.7/$(uname -m)",
            "zypper --non-interactive install docker",
            *DOCKER,
        ),
    ),
    (survey("sles", "suse", version="16.0"), "zypper", ("zypper --non-interactive install docker", *DOCKER)),
    (survey("arch"), "pacman", ("pacman -S --noconfirm docker", *DOCKER)),
    (
        survey("alpine", init="openrc"),
        "apk",
        ("apk add docker", "rc-update add docker default", "rc-service docker start", "addgroup ann docker"),
    ),
]


@pytest.mark.parametrize(("guest", "packager", "commands"), INSTALLS)
def test_an_engine_is_installed_as_the_distribution_has_it(
    guest: Survey, packager: str, commands: tuple[str, ...]
) -> None:
    """With the package manager that is there; without it (an image that cannot be changed, for one) none is known."""
    found = guest_parts.remedy(Part.ENGINE, replace(guest, packagers=("other", packager)))
    assert (found.commands[-len(commands) :], found.is_roots) == (commands, True)
    assert len(found.commands) == len(commands) or packager == "apt-get"
    assert guest_parts.remedy(Part.ENGINE, guest).commands == ()


OFFERS = [
    (Part.ENGINE, survey("nixos"), "", ()),
    (Part.ENGINE, survey("debian", init="", packagers=("apt-get",)), "", ()),
    (Part.ENGINE_START, survey(has_dockerd=True, **PODMAN), "", DOCKER[:1]),
    (Part.ENGINE_START, survey(init=""), "", ()),
    (Part.ENGINE_START, survey(**PODMAN), OWN_SOCKET, (*LINGERS, f"{AS_ANN} enable --now docker")),
    (Part.ENGINE_START, survey(root=Root.IS, **PODMAN), "", ("systemctl enable --now podman.socket",)),
    (
        Part.ENGINE_START,
        survey(root=Root.IS, init="openrc", **PODMAN),
        "",
        ("rc-update add podman default", "rc-service podman start"),
    ),
    (Part.ENGINE_GROUP, survey("debian", sockets=DENIED), "", ("usermod -aG docker ann",)),
    (Part.ENGINE_GROUP, survey("debian", sockets=ROOTS), "", ()),
    (Part.OWN_ENGINE, survey(has_dockerd=True, **PODMAN), "", OWN_PODMAN),
    (Part.OWN_ENGINE, survey(init="openrc", **PODMAN), "", ()),
    (Part.LINGER, survey(), OWN_SOCKET, LINGERS[:1]),
    (Part.ENGINE_AUTOSTART, survey(init="openrc"), "", ("rc-update add docker default",)),
    (Part.ENGINE_AUTOSTART, survey(), "/run/podman/podman.sock", ("systemctl enable podman.socket",)),
    (Part.ENGINE_AUTOSTART, survey(), "/var/run/docker.sock", ("systemctl enable docker",)),
    (Part.ENGINE_AUTOSTART, survey(), OWN_SOCKET, (f"{AS_ANN} enable docker",)),
]


@pytest.mark.parametrize(("part", "guest", "socket", "commands"), OFFERS)
def test_the_commands_are_those_of_the_engine(
    part: Part, guest: Survey, socket: str, commands: tuple[str, ...]
) -> None:
    """Of the one that is meant, the whole guest's or the user's own; none where they are not known."""
    assert guest_parts.remedy(part, guest, socket) == guest_parts.Remedy(commands)


@pytest.mark.parametrize("part", [Part.OWN_ENGINE, Part.LINGER, Part.ENGINE_AUTOSTART])
def test_who_never_becomes_root_starts_an_engine_of_his_own(part: Part) -> None:
    """Where polkit says that he may; no sudo then asks for a password."""
    guest = survey(root=Root.ASKS, may_linger=True, **PODMAN)
    socket = "/run/user/1000/podman/podman.sock"
    found = guest_parts.remedy(part, guest, socket)
    assert not found.is_roots and "ann" not in " ".join(found.commands)
    assert guest_parts.advice(part, guest, socket).startswith("as ann: `")
    assert found.commands[0].split()[:2] in (
        ["loginctl", "--no-ask-password"],
        ["XDG_RUNTIME_DIR=/run/user/1000", "systemctl"],
    )


@pytest.mark.parametrize(
    ("guest", "told"),
    [
        (survey("debian"), "In the guest, as root: `systemctl enable --now docker`; then"),
        (
            survey("debian", root=Root.NONE),
            "In the guest, as root: `systemctl enable --now docker` (it cannot be done from here: ann is not root",
        ),
        (survey("nixos", init=""), "In the guest, start or install the engine, and let the user open its"),
    ],
)
def test_only_a_command_is_shown_as_one(guest: Survey, told: str) -> None:
    """Words stand without the marks of a command."""
    commands = guest_parts.advice(Part.ENGINE_START, guest)
    error = ConflictError("guest-engine-down", vm="raw", commands=commands, left="Nothing was changed")
    assert error.remedy.startswith(told)
