"""A user's home in a guest, in which real shells run the command that changes a key."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from roadstead.artifacts import key_lines
from roadstead.artifacts.key_lines import Answer, Step

OLD, NEW = f"ssh-rsa {'A' * 40}==", f"ssh-ed25519 {'B' * 44}"
OTHER = f"ssh-rsa {'C' * 40}== somebody"
BUSYBOX = [
    "sh",
    "awk",
    "cat",
    "cksum",
    "cp",
    "cut",
    "grep",
    "id",
    "ln",
    "ls",
    "mktemp",
    "mv",
    "readlink",
    "rm",
    "rmdir",
    "sync",
    "tail",
    "tr",
    "wc",
]
STRANGE = f'from="!10.0.0.9,10.0.0.0/8",command="echo \'x\' \\\\ !" {OLD} x'


class Home:
    """A user's home in a guest, and the tools that are found there."""

    def __init__(self, folder: Path, shell: list[str], path: str) -> None:
        self.folder = folder
        self.file = folder / ".ssh/authorized_keys"
        self.file.parent.mkdir(mode=0o700)
        self._shell = shell
        self._path = path
        self.config = "/etc/ssh"
        """The folder in which the server's configuration is looked for."""

    def write(self, text: str, mode: int = 0o600) -> None:
        """Let the file hold this."""
        self.file.write_bytes(text.encode("utf-8", "surrogateescape"))
        self.file.chmod(mode)

    def read(self) -> str:
        """What the file holds."""
        return self.file.read_bytes().decode("utf-8", "surrogateescape")

    def run(self, step: Step) -> Answer:
        """Run the command as a login shell does."""
        return self._do(key_lines.command(f"{OLD} xscontainer", NEW, step))

    def remove(self) -> Answer:
        """Take the old key out."""
        return self._do(key_lines.command(OLD, OLD, Step.REMOVE))

    def add_to_path(self, folder: Path) -> None:
        """Have the programs of a folder, too."""
        self._path = f"{folder}:{self._path}"

    def stand_in(self, name: str, script: str) -> None:
        """Let this be run for the program ``name``, which it may call itself by ``real``."""
        if self._shell[0].startswith(f"{self.folder.parent}/") and name in BUSYBOX:
            pytest.skip("busybox runs its own tools whatever the path says")
        tools = self.folder.parent / "tools"
        tools.mkdir(exist_ok=True)
        (tools / name).write_text(f'#!/bin/sh\nreal() {{ PATH=${{PATH#*:}} command {name} "$@"; }}\n{script}\n')
        (tools / name).chmod(0o755)
        if not self._path.startswith(f"{tools}:"):
            self.add_to_path(tools)

    def undo(self, answer: Answer) -> Answer:
        """Take the old key out again, where setting it said this."""
        return self._do(key_lines.undoing(OLD, answer))

    def settings(self, config: str, part: str = "") -> None:
        """Let the server's configuration be this."""
        folder = self.folder.parent / "ssh"
        (folder / "sshd_config.d").mkdir(parents=True)
        (folder / "sshd_config").write_text(config)
        (folder / "sshd_config.d/a.conf").write_text(part)
        self.config = str(folder)

    def keep(self) -> Answer:
        """What was set stays."""
        return self._do(key_lines.command(OLD, OLD, Step.KEEP))

    def set(self, line: str) -> Answer:
        """Make this the one line of the old key."""
        return self._do(key_lines.setting(line, OLD))

    def _do(self, command: str) -> Answer:
        done = subprocess.run(
            [*self._shell, "-c", command.replace("/etc/ssh", self.config)],
            env={"HOME": str(self.folder), "PATH": self._path},
            cwd="/",
            check=False,
            capture_output=True,
            timeout=20,
        )
        assert not list(self.folder.rglob("*.??????")), "a copy was left"
        return key_lines.answer(done.stdout)


LINE = f'restrict,permitopen="[/run/a.sock]:*",command="/usr/local/bin/docker system dial-stdio" {OLD} xscontainer'
