"""The old pack's way to an engine, as the baseline: a new SSH connection for every request, with paramiko.

For each request the RSA-4096 key of the pool is loaded, which validates it; ``ncat -U`` relays to the engine's socket;
and after every event the whole list is read, with the sizes of all containers.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import paramiko

from bench.stage import CannotMeasure

SOCKET = "/var/run/docker.sock"
LIST = "/containers/json?all=1&size=1"
EVENTS = "/events"
SECONDS = 30.0
PIECE_BYTES = 2**16
END = b"]\n"
"""Of a list."""


@dataclass(frozen=True, slots=True)
class OldWay:
    """How a guest was reached."""

    address: str
    user: str
    pem: str

    @contextmanager
    def connected(self) -> Iterator[paramiko.SSHClient]:
        """Load the key, connect, sign in."""
        key = paramiko.RSAKey.from_private_key(io.StringIO(self.pem))
        with closing(paramiko.SSHClient()) as client:
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            client.connect(
                self.address, username=self.user, pkey=key, look_for_keys=False, allow_agent=False, timeout=SECONDS
            )
            yield client

    def containers(self) -> list[dict[str, Any]]:
        """Read the whole list."""
        with self.connected() as client, _asking(client, LIST) as stream:
            answer = b""
            # The relay stays when the engine has ended its answer.
            while not answer.endswith(END):
                piece = stream.channel.recv(PIECE_BYTES)
                assert piece, "the answer was cut"
                answer += piece
        found: list[dict[str, Any]] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return found

    @contextmanager
    def events(self) -> Iterator[Iterator[dict[str, Any]]]:
        """Follow the events, read byte by byte."""
        with self.connected() as client, _asking(client, EVENTS) as stream:
            while _line(stream).strip():
                continue
            yield (json.loads(line) for line in iter(lambda: _line(stream), b""))


def need_relay() -> None:
    """Raise `CannotMeasure` where guests, which see this machine's programs, have no ncat."""
    if shutil.which("ncat") is None:
        raise CannotMeasure("The old way needs the Debian package ncat.")


@contextmanager
def _asking(client: paramiko.SSHClient, path: str) -> Iterator[paramiko.ChannelFile]:
    """Send a request and give its answer; the way in stays open meanwhile, or the engine would give the request up."""
    stdin, stdout, _ = client.exec_command(f"ncat -U {SOCKET}", timeout=SECONDS)
    stdin.write(f"GET {path} HTTP/1.0\r\n\r\n")
    stdin.flush()
    with stdin:
        yield stdout


def _line(stream: paramiko.ChannelFile) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = stream.read(1)
        if not byte:
            return b""
        line += byte
    return line
