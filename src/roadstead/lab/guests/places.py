"""Where simulated guests have their addresses: several labs on one machine take different networks.

A lab holds its network by a socket that is bound, and never listened on, to an address of it that no guest has. That
needs no rights, and the kernel lets go of it when the lab ends, however it ends.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from roadstead.errors import StartError

BLOCKS = range(89, 100)
"""The second part of an address: 127.89.0.0/16 … 127.99.0.0/16."""
FILE = "network"


def network(block: int) -> str:
    """The network of all guests of one lab."""
    return f"127.{block}.0.0/16"


def address(block: int, number: int) -> str:
    """The address of guest `number` (from 1)."""
    return f"127.{block}.{number // 250}.{number % 250 + 1}"


class Place:
    """A network that one lab holds."""

    def __init__(self, block: int, held: socket.socket) -> None:
        self.block = block
        self._held = held

    def release(self) -> None:
        """Let another lab have it."""
        self._held.close()


def take(folder: Path, port: int) -> Place:
    """Hold a network whose guests may listen on `port`: the one of the last run, which `folder` remembers, or else the
    first free one.  `StartError` `lab-guest-failed` when there is none.  Blocks for a moment.
    """
    known = _last(folder)
    for block in sorted(BLOCKS, key=lambda block: block != known):
        held = socket.socket()
        try:
            held.bind((address(block, 0), port))
        except OSError:
            held.close()
            continue
        if block != known:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / FILE).write_text(str(block), encoding="ascii")
        return Place(block, held)
    reason = (
        f"other labs or programs use port {port} in all networks from {network(BLOCKS[0])} to {network(BLOCKS[-1])}"
    )
    raise StartError("lab-guest-failed", guest="simulated", reason=reason)


def _last(folder: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((folder / FILE).read_text(encoding="ascii"))
    return None
