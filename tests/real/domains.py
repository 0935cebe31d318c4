"""Control domains for tests: OpenSSH's server, whose root finds XAPI's folders in a mount namespace of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SSHD = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
ListenAddress {address}:{port}
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
SetEnv PATH={folder}/bin:/usr/bin:/bin
"""
MOUNTS = (
    'mount -t tmpfs none /srv && mkdir /srv/bin && mount --bind /usr/bin /srv/bin && mount --bind "$1/usr-bin" /usr/bin'
    ' && mount --bind "$1/etc" /etc && mount --bind "$1/lib" /var/lib'
    ' && mount --bind "$1/home" /root && mount -t tmpfs none /run'
    ' && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -f "$1/sshd_config"'
)
START_SECONDS = 20


class Domain:
    """One control domain: its files as seen from outside, and its server."""

    def __init__(self, folder: Path, address: str, port: int, password: str) -> None:
        self.folder = folder
        self.address = address
        self.port = port
        self._server: subprocess.Popen[bytes] | None = None
        (folder / "lib").mkdir(parents=True)
        (folder / "bin").mkdir()
        (folder / "home").mkdir()
        (folder / "usr-bin").mkdir()
        for program in Path("/usr/bin").iterdir():  # so that what is installed there is installed into this folder
            (folder / "usr-bin" / program.name).symlink_to(f"/srv/bin/{program.name}")
        shutil.copytree("/etc", folder / "etc", symlinks=True)
        self.plugins.mkdir(parents=True)
        (folder / "etc" / "xensource-inventory").write_text("PRODUCT_VERSION='8.2.1'\n")
        (folder / "authorized_keys").touch()
        self._set_password(password)
        self.new_host_key()

    @property
    def plugins(self) -> Path:
        """The folder from which XAPI runs plugins."""
        return self.folder / "etc" / "xapi.d" / "plugins"

    @property
    def plugin(self) -> Path:
        """The plugin."""
        return self.plugins / "xscontainer"

    @property
    def prepare(self) -> Path:
        """The program that prepares VMs."""
        return self.folder / "usr-bin" / "xscontainer-prepare-vm"

    @property
    def door(self) -> list[str]:
        """What a command begins with that runs inside, as root who is signed in there."""
        assert self._server is not None
        found = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        path = f"PATH={self.folder}/bin:/usr/bin:/bin"
        return ["nsenter", "--target", found[0], "--mount", "--", "/srv/bin/env", "-i", path]

    @property
    def log(self) -> str:
        """What the server wrote."""
        return (self.folder / "log").read_text()

    @property
    def fingerprint(self) -> str:
        """Of the host key, as `ssh-keygen -lf` tells it on the console."""
        said = subprocess.run(
            ["ssh-keygen", "-lf", str(self.folder / "host_key.pub")], capture_output=True, text=True, check=True
        )
        return said.stdout.split()[1]

    def program(self, name: str, script: str) -> None:
        """Put a program where root finds it first."""
        (self.folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / "bin" / name).chmod(0o755)

    def new_host_key(self) -> None:
        """Give the host another key; it shows it when it starts again."""
        for name in ("host_key", "host_key.pub"):
            (self.folder / name).unlink(missing_ok=True)
        key = str(self.folder / "host_key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)

    def start(self) -> None:
        """Start the server and wait until it listens."""
        config = SSHD.format(folder=self.folder, address=self.address, port=self.port)
        (self.folder / "sshd_config").write_text(config)
        with (self.folder / "log").open("ab") as log:
            command = [
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                MOUNTS,
                "sh",
                str(self.folder),
            ]
            self._server = subprocess.Popen(command, stderr=log)
        until = time.monotonic() + START_SECONDS
        while not self._listens():
            assert self._server.poll() is None and time.monotonic() < until, self.log
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server and all that it runs."""
        if self._server is not None:
            self._server.kill()  # the first process of the namespace goes with it, and so all the others
            self._server.wait(10)
            self._server = None
            for _ in range(500):  # the others of the namespace end a moment later
                if not self._listens():
                    break
                time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex((self.address, self.port)) == 0

    def _set_password(self, password: str) -> None:
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
        ).stdout.strip()
        shadow = self.folder / "etc" / "shadow"
        lines = [line.split(":") for line in shadow.read_text().splitlines()]
        shadow.write_text("".join(":".join([a, hashed if a == "root" else b, *c]) + "\n" for a, b, *c in lines))


def free_port(address: str) -> int:
    """A port that nobody listens on."""
    with socket.socket() as tried:
        tried.bind((address, 0))
        port: int = tried.getsockname()[1]
        return port


@contextmanager
def domains(folder: Path, addresses: list[str], password: str) -> Iterator[list[Domain]]:
    """Control domains at these addresses, all on one port."""
    port = free_port(addresses[0])
    made = [Domain(folder / f"domain-{number}", one, port, password) for number, one in enumerate(addresses, 1)]
    try:
        for domain in made:
            domain.start()
        yield made
    finally:
        for domain in made:
            domain.stop()
