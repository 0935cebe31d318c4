"""Pauses and unpauses containers on an engine's own socket, as somebody in the guest would: a process of its own.

``python -m bench.actor SOCKET FIRST COUNT SECONDS ID…``: changes number ``FIRST`` and following, ``SECONDS`` apart.
Even numbers pause, odd ones unpause what the one before paused. It says "ready", and ends when it is done.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from roadstead.lab.guests.real.dockerd import Dockerd


def main(socket: str, first: str, count: str, seconds: str, *ids: str) -> None:
    """Do it."""
    engine = Dockerd("bench", Path(socket))
    print("ready", flush=True)
    due = time.monotonic()
    for number in range(int(first), int(first) + int(count)):
        due += float(seconds)
        time.sleep(max(0.0, due - time.monotonic()))
        engine.act("unpause" if number % 2 else "pause", ids[number // 2 % len(ids)])


if __name__ == "__main__":
    main(*sys.argv[1:])
