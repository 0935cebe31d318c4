"""`xscontainer-prepare-vm` as root of a control domain says it: with an `xe` of our own, and at a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.unit.dom0.world import PROGRAM, Talk, World

VM = "5f0b2f4c-0000-4000-8000-000000000007"
PATIENCE_SECONDS = 15.0
XE = """\
#!/bin/sh
echo "$@" >>{folder}/xe.log
for word; do case $word in param-key=*) key=${{word#*=}};; uuid=*) uuid=${{word#*=}};; esac; done
case $1 in
pool-list) echo a-pool;;
pool-param-get) [ -f {folder}/keys/$key ] || {{ echo "Error: Key $key not found in map" >&2; exit 1; }}
    cat {folder}/keys/$key; echo;;
secret-param-get) [ -f {folder}/secrets/$uuid ] || {{ echo "The uuid you supplied was invalid." >&2; exit 1; }}
    cat {folder}/secrets/$uuid; echo;;
esac
"""


class Preparer:
    """The program on a host, whose Roadstead answers what a test says."""

    def __init__(self, host: World) -> None:
        self.host = host
        self.asked: list[dict[str, Any]] = []
        """The answers so far, of each call."""
        self.programs = host.folder / "bin"
        self.programs.mkdir()
        for kind, values in (("keys", host.xapi.config), ("secrets", host.xapi.secrets)):
            (host.folder / kind).mkdir()
            for name, value in values.items():
                (host.folder / kind / name).write_text(value)
        self.program("xe", XE.format(folder=host.folder))

    def program(self, name: str, text: str) -> None:
        """Put a program where the host finds it."""
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def key(self, name: str) -> Path:
        """Where the pool's other_config has this key."""
        return self.host.folder / "keys" / name

    def tell(self, *steps: dict[str, Any]) -> None:
        """Let Roadstead say these one after the other, and the last again and again; one with a code is a refusal."""
        left = list(steps)

        def behaviour(talk: Talk) -> None:
            request = json.loads(talk.body)
            assert request["function"] == "prepare"
            assert request["arguments"]["vmuuid"] == VM
            self.asked.append(json.loads(request["arguments"]["answers"]))
            step = left.pop(0) if len(left) > 1 else left[0]
            if "code" in step:
                talk.reply_json("409 Conflict", step)
            else:
                talk.reply_json("200 OK", {"value": json.dumps({"name": "web1", "state": "asks", **step})})

        self.host.behave(behaviour)

    @property
    def environment(self) -> dict[str, str]:
        """A bare one."""
        return {"PATH": f"{self.programs}:/usr/bin:/bin", "LC_ALL": "C", "ROADSTEAD_PLUGIN": str(self.host.plugin)}

    def command(self, *words: str) -> list[str]:
        """The command line."""
        return [self.host.python, "-E", "-s", str(PROGRAM), "-v", VM, *words]

    def run(self, *words: str, typed: bytes = b"") -> tuple[int, str, str]:
        """Without a terminal: the exit code, and what was printed and told."""
        done = subprocess.run(
            self.command(*words), input=typed, capture_output=True, check=False, env=self.environment, timeout=18
        )
        assert b"Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    @contextmanager
    def terminal(self, *words: str) -> Iterator[Terminal]:
        """At a terminal."""
        with on_terminal(self.command(*words), self.environment) as terminal:
            yield terminal


class Terminal:
    """A person at a terminal."""

    def __init__(self, running: subprocess.Popen[bytes], number: int) -> None:
        self._running = running
        self._number = number
        self._read = 0
        self.text = ""

    def reads(self, awaited: str) -> str:
        """Wait until this is there, after what was read before; what stands before it."""
        until = time.monotonic() + PATIENCE_SECONDS
        while awaited not in self.text[self._read :]:
            if not self._more(until):
                raise AssertionError(f"{awaited!r} does not come after {self.text[self._read :]!r}")
        found = self.text.index(awaited, self._read)
        before, self._read = self.text[self._read : found], found + len(awaited)
        return before

    def types(self, line: str) -> None:
        """Type a line."""
        os.write(self._number, line.encode() + b"\n")

    def interrupts(self) -> None:
        """Press Ctrl-C."""
        os.write(self._number, b"\x03")

    def ends(self) -> int:
        """Wait for the end; the exit code."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._more(until):
            pass
        code = self._running.wait(PATIENCE_SECONDS)
        assert "Traceback" not in self.text, self.text
        return code

    def _more(self, until: float) -> bool:
        ready, _, _ = select.select([self._number], [], [], max(until - time.monotonic(), 0))
        try:
            piece = os.read(self._number, 4096) if ready else b""
        except OSError:  # the other end is closed
            piece = b""
        self.text += piece.decode(errors="replace")
        return bool(piece)


@contextmanager
def on_terminal(command: list[str], environment: dict[str, str]) -> Iterator[Terminal]:
    """Run a program at a terminal of its own."""
    number, inside = pty.openpty()
    words = ["setsid", "--ctty", "--wait", *command]
    running = subprocess.Popen(words, stdin=inside, stdout=inside, stderr=inside, env=environment, process_group=0)
    os.close(inside)
    try:
        yield Terminal(running, number)
    finally:
        os.close(number)
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
        running.wait(PATIENCE_SECONDS)
