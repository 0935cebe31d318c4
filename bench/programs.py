"""Processes of their own, as they would be in earnest: started, waited for, ended in order, never left behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

READY_SECONDS = 300.0
"""A lab of 10,000 VMs takes its time."""
STOP_SECONDS = 60.0
LINE_BYTES = 2**20
ROADSTEAD = (sys.executable, "-c", "from roadstead.app.main import main; main()")
SEARCH_PATH = os.environ.get("PATH", os.defpath)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """A running process that said one line when it was ready."""

    def __init__(self, process: Process, said: str) -> None:
        self._process = process
        self.said = said
        self.pid = process.pid

    async def output(self) -> str:
        """Return the next line that it says; nothing when it has ended."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode()

    async def wait(self) -> None:
        """Wait until it has ended by itself."""
        code = await self._process.wait()
        assert code == 0, f"a process ended with {code}"

    async def end(self) -> None:
        """End it in order, or by force when it does not come to an end."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def cpu_seconds(self) -> float:
        """CPU time that it has used by now."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def pss_bytes(self) -> int:
        """Its memory, with shared pages counted in part."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the kernel says no PSS")


@asynccontextmanager
async def running(words: Sequence[str], log: Path) -> AsyncIterator[Program]:
    """Run ``words`` for the length of the block, which begins when the process says its first line."""
    with log.open("ab") as complaints:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=complaints, limit=LINE_BYTES,
            # Ctrl-C is for us: we end our processes in order.
            start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip
    program = Program(process, "")
    try:
        async with asyncio.timeout(READY_SECONDS):
            program.said = await program.output()
        assert program.said, f"it did not start: {' '.join(words[:6])}: {_last_words(log)}"
        yield program
    finally:
        await program.end()


async def done(words: Sequence[str], **environment: str) -> bytes:
    """Run ``words`` to their end and return what they print."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE, env=os.environ | environment
    )
    output, complaints = await process.communicate()
    assert process.returncode == 0, f"{' '.join(words[:6])}: {complaints.decode(errors='replace')}"
    return output


def module(name: str, *words: object) -> list[str]:
    """Return the command that runs a module of this package."""
    return [sys.executable, "-m", f"bench.{name}", *map(str, words)]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)


def _last_words(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
