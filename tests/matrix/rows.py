"""The rows of the matrix: which guests there are, and what their engines cannot do, whoever asks them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from roadstead.lab.guests.real import ENGINES, PLAIN_KEY, Kind
from roadstead.lab.guests.real.kinds import USER

SUITES = {"bullseye": "Debian 11", "bookworm": "Debian 12", "trixie": "Debian 13", "sid": "Debian sid"}
FORCED_KEY = 'restrict,command="/usr/bin/docker system dial-stdio"'
SUDO_RULE = f"{USER} ALL=(root) NOPASSWD: /usr/bin/docker system dial-stdio"
NO_FORWARDING = ("AllowStreamLocalForwarding no",)

TLS_LACKS = {
    "host-keys": "TLS knows no SSH host keys: certificates stand for them",
    "server-apart": "behind TLS the engine itself is the server: when it hangs, nobody takes the connection",
}
NO_CGROUPS = "an engine without control groups cannot do this: rootless, on a machine with cgroup v1"
PODMAN_LACKS = {
    "restarting": "Podman knows no state between two starts",
}
PODMAN_3_LACKS = {
    "health": "Podman 3.0 tells no health, whatever it is asked",
    "rename-events": "Podman 3.0 tells nobody of a rename: it is seen with the next change of that container",
}
ROOTLESS_LACKS = {"pausing": NO_CGROUPS, "memory-limits": NO_CGROUPS, "top": NO_CGROUPS}
LACKS: dict[str, dict[str, str]] = {
    "docker": {},
    "podman": PODMAN_LACKS,
    "rootless-docker": ROOTLESS_LACKS,
    "rootless-podman": PODMAN_LACKS | ROOTLESS_LACKS,
}


@dataclass(frozen=True)
class Row:
    """One kind of guest."""

    name: str
    suite: str = ""
    """The Debian release; empty for this machine's own files."""
    engine: str = "docker"
    relay: str = "streamlocal"
    """How its engine's socket is reached."""
    key_options: str = PLAIN_KEY
    sshd: tuple[str, ...] = ()
    is_tls: bool = False
    """Whether its engine is reached over TLS; if not, over SSH."""
    sudo: bool = False
    """Whether its user reaches the engine as root only."""
    lacks: dict[str, str] = field(default_factory=dict)
    """What its engine cannot do, with the reason; a test that needs it is skipped."""

    @property
    def root(self) -> Path | None:
        """Where its files are."""
        return roots() / self.suite if self.suite else None

    def kind(self) -> Kind:
        """What its guests are made of."""
        if self.root and not self.root.exists():
            pytest.fail(f"{self.root} is missing: ./scripts/root {self.suite}")
        return Kind(self.root, ENGINES[self.engine], self.sshd)


def roots() -> Path:
    """The folder with the roots that ``scripts/root`` has made."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ROADSTEAD_ROOTS") or Path(cache, "roadstead", "roots"))


def _row(suite: str, engine: str) -> Row:
    lacks = LACKS[engine]
    if suite == "bullseye" and "podman" in engine:
        lacks = lacks | PODMAN_3_LACKS
    if (suite, engine) == ("bullseye", "rootless-podman"):
        lacks = lacks | {"usage": "Podman 3.0 measures nothing without root on a machine with cgroup v1, and says so"}
    if (suite, engine) == ("bullseye", "rootless-docker"):
        lacks = lacks | {
            "rising-again": "its containerd waits for the shims of a killed one, without a session manager"
        }
    return Row(f"{suite}-{engine}", suite, engine, lacks=lacks)


def _tls_row(suite: str) -> Row:
    return Row(f"{suite}-tls", suite, relay="tls", is_tls=True, lacks=TLS_LACKS)


HOST = Row("host")
ROWS = (
    *(_row(suite, engine) for suite in SUITES for engine in ENGINES),
    *(_tls_row(suite) for suite in SUITES),
    Row("bookworm-dial-stdio", "bookworm", relay="dial-stdio", sshd=NO_FORWARDING),
    Row("bookworm-sudo", "bookworm", relay="sudo", sudo=True),
    Row("sid-dial-stdio", "sid", relay="dial-stdio", sshd=NO_FORWARDING, key_options=FORCED_KEY),
)


def row_of(name: str) -> Row:
    """The row of this name; this machine's own for no name."""
    found = {row.name: row for row in (HOST, *ROWS)}
    if name and name not in found:
        raise pytest.UsageError(f"no row {name}; there are {' '.join(found)}")
    return found[name or HOST.name]
