"""The lab's state folder: the pool's database, its password and certificates, so that a restarted lab is the same pool.

Every function here reads or writes files and is called in a thread.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from roadstead.errors import StartError
from roadstead.lab import orders
from roadstead.lab.pool.database import Saved
from roadstead.lab.pool.schema import SCHEMAS, Schema
from roadstead.lab.pool.values import Date

FORMAT = 1
_PASSWORD_BYTES = 18

SOCKET_PATH_BYTES = 107
"""Longer paths do not fit into a Unix socket's address."""


WINDOWS = "windows"
"""The kind of guests whose engine is that of Windows Server, reached over TLS."""


@dataclass(slots=True)
class Machine:
    """What the lab remembers of the inside of one VM."""

    number: int = 0
    """The number of the guest that the lab made for it; 0: somebody else's guest, or none."""
    containers: int = 0
    addresses: tuple[str, ...] | None = None
    """What is announced instead of the guest's own addresses."""
    user: str = ""
    port: int = 0
    """The guest's account and port for which the VM's keys were set last."""
    elsewhere: bool = False
    """Its guest was made by the neighbouring pool, from which the VM was brought."""
    kind: str = ""
    """`WINDOWS`, or empty: of which maker its guest is."""
    admitted: tuple[str, ...] = ()
    """The keys that were appended in the guest."""
    secured: tuple[str, ...] = ()
    """What its engine's TLS was configured with from a CD: the CA, the certificate and its key."""
    instance: str = ""
    """As which instance its guest read a config drive last; empty: it has read none."""
    raw: bool = False
    """Nobody has prepared it: no key opens its guest, whose user has the pool's password."""


@dataclass(slots=True)
class PoolState:
    """All that is kept between two runs."""

    database: Saved
    machines: dict[str, Machine]
    """By the VM's uuid."""
    seeded_vms: int
    """How many VMs with guests the lab made for `--vms` so far."""
    numbers: int = 0
    """The highest number that a guest ever had."""


class Folder:
    """One state folder, held by one lab at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1

    @property
    def password_file(self) -> Path:
        """The file with the password of every account of the pool."""
        return self.path / "password"

    @property
    def socket(self) -> Path:
        """The control socket."""
        return orders.socket(self.path)

    def xapi(self, number: int) -> Path:
        """The Unix socket on which the host `number`, from 1, answers its own programs."""
        return self.path / f"xapi-{number}.sock"

    def certificate(self, number: int) -> Path:
        """The key and certificate of the host `number`, from 1."""
        return self.path / f"host-{number}.pem"

    @property
    def plugins(self) -> Path:
        """The hosts' plugins."""
        return self.path / "plugins"

    @property
    def images(self) -> Path:
        """The contents of the pool's disks."""
        return self.path / "disks"

    @property
    def guests(self) -> Path:
        """Where guests keep what they need."""
        return self.path / "guests"

    def make(self) -> None:
        """Make the folder (0700) and those in it; StartError when that cannot be."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.guests, self.plugins, self.images):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StartError("state-unusable", path=self.path, reason=error.strerror) from error

    def open(self) -> None:
        """Make the folder and hold it; StartError when it is unusable or another lab holds it."""
        if len(str(self.socket).encode()) > SOCKET_PATH_BYTES:
            raise StartError("state-unusable", path=self.path, reason="its path is too long for a socket")
        self.make()
        try:
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError("state-unusable", path=self.path, reason=error.strerror) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise StartError("lab-state-taken", path=self.path) from error

    @property
    def kind(self) -> str:
        """Of which kind its guests are, ``real`` or ``simulated``; empty while it has none, or cannot be read."""
        try:
            return self._kind_file.read_text().strip()
        except OSError:
            return ""

    def claim(self, kind: str) -> None:
        """Have guests of this kind from now on. StartError when it has those of another: the pool remembers their host
        keys and containers.
        """
        if self.kind not in ("", kind):
            raise StartError("lab-guests-differ", path=self.path, kind=self.kind)
        self._replace(self._kind_file, f"{kind}\n".encode())

    @property
    def _kind_file(self) -> Path:
        return self.path / "guests-kind"

    def close(self) -> None:
        """Let others hold the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def password(self) -> str:
        """The pool's password; made when there is none."""
        if not self.password_file.exists():
            self._replace(self.password_file, secrets.token_urlsafe(_PASSWORD_BYTES).encode() + b"\n")
        return self.password_file.read_text().strip()

    def load(self) -> PoolState | None:
        """What the last run kept; None at the first."""
        try:
            content = msgspec.json.decode((self.path / "pool.json").read_bytes())
            return _loaded(content)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            raise StartError("state-unusable", path=self.path / "pool.json", reason="it is damaged") from error

    def save(self, state: PoolState) -> None:
        """Keep `state`; what was kept before is replaced in one step."""
        self._replace(self.path / "pool.json", msgspec.json.encode(_saved(state)))

    def _replace(self, file: Path, content: bytes) -> None:
        partial = file.with_suffix(".new")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        partial.replace(file)


def _saved(state: PoolState) -> dict[str, object]:
    tables = {
        name: {ref: _changed(SCHEMAS[name], record) for ref, record in records.items()}
        for name, records in state.database.tables.items()
    }
    return {
        "format": FORMAT,
        "generation": state.database.generation,
        "seeded_vms": state.seeded_vms,
        "machines": state.machines,
        "numbers": state.numbers,
        "tables": tables,
    }


def _changed(schema: Schema, record: Mapping[str, Any]) -> dict[str, Any]:
    """Only what differs from a new record: most of the 90 fields of a VM never do."""
    different = {name: value for name, value in record.items() if value != schema.defaults[name]}
    return {name: value.text if isinstance(value, Date) else value for name, value in different.items()}


def _loaded(content: dict[str, Any]) -> PoolState:
    tables = {
        name: {ref: _typed(SCHEMAS[name], record) for ref, record in records.items()}
        for name, records in content["tables"].items()
        if name in SCHEMAS
    }
    machines = msgspec.convert(content["machines"], dict[str, Machine])
    saved = Saved(content["generation"], tables)
    return PoolState(saved, machines, content["seeded_vms"], content.get("numbers", 0))


def _typed(schema: Schema, record: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in record.items() if name in schema.fields}
    return {name: _restored(schema.fields[name].kind.name, value) for name, value in known.items()}


def _restored(kind: str, value: Any) -> Any:
    if kind == "datetime":
        return Date(value)
    return tuple(value) if kind == "set" else value
