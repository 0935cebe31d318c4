"""The process: as many open files as it may have, a collector of garbage that never stops the loop for long, a log."""

import asyncio
import gc
import json
import re
import resource
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from roadstead.app import process
from roadstead.kit import tasks

RAISE = """
import resource
from roadstead.app.process import raise_file_limit
print(raise_file_limit())
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
SPEAK = """
import logging, sys
import structlog
from roadstead.app.process import start_logging
from roadstead.settings.schema import RuntimeSettings
start_logging(RuntimeSettings(log_level=sys.argv[1], log_format=sys.argv[2]))
log = structlog.get_logger()
log.debug("a detail")
log.warning("guest lost", vm="web")
logging.getLogger("asyncssh").error("a library's chatter")
"""

ESCAPE = """
import logging
import structlog
from roadstead.app.process import start_logging
from roadstead.settings.schema import RuntimeSettings
start_logging(RuntimeSettings(log_level="info", log_format="text"))
said = "web\\x1b]0;owned\\x07\\x1b[2J\\nwarning forged\\u202e"
log = structlog.get_logger()
log.warning(said, vm=said)
logging.getLogger("asyncio").error("%s", said)
try:
    raise ValueError(said)
except ValueError:
    log.exception("failed")
"""


def _run(code: str, *arguments: str, files: tuple[int, int] | None = None) -> subprocess.CompletedProcess[str]:
    limit = None if files is None else (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, files))
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, preexec_fn=limit
    )


def test_the_soft_limit_of_files_becomes_the_hard_one() -> None:
    """A thousand guests need a thousand files; a shell's usual limit is not in their way."""
    assert _run(RAISE, files=(256, 4096)).stdout.split("\n")[:2] == ["None", "4096"]


def test_a_hard_limit_that_is_too_low_is_said() -> None:
    """With the number that it is enough for, and what to do."""
    warning, soft, _ = _run(RAISE, files=(256, 512)).stdout.split("\n")
    assert soft == "512"
    assert "about 256 guests" in warning
    assert "ulimit" in warning


@pytest.mark.parametrize("form", ["json", "auto"])
def test_a_log_that_no_person_reads_is_json(form: str) -> None:
    """One object on each line of standard error, nothing on standard output, and no chatter of libraries."""
    done = _run(SPEAK, "info", form)
    (line,) = done.stderr.splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"], said["vm"]) == ("guest lost", "warning", "web")
    assert said["timestamp"].endswith("Z")
    assert done.stdout == ""


def test_a_log_can_be_for_people_and_for_details() -> None:
    """As the settings say."""
    lines = _run(SPEAK, "debug", "text").stderr.splitlines()
    assert len(lines) == 2
    assert "a detail" in lines[0]
    assert "guest lost" in lines[1]


def test_a_log_can_be_quiet() -> None:
    """Only what is as bad as the settings say."""
    assert _run(SPEAK, "error", "json").stderr == ""


@pytest.fixture
def collector() -> Iterator[None]:
    """The collector is as it was afterwards."""
    threshold = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


class Cycle:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.me = self


def _aged_cycle() -> "weakref.ref[Cycle]":
    """A cycle that nobody needs any more, as old as can be."""
    cycle = Cycle()
    gc.collect()
    return weakref.ref(cycle)


@pytest.mark.looptime
@pytest.mark.usefixtures("collector")
async def test_what_has_gathered_is_set_apart_once_the_number_of_guests_stands_still() -> None:
    """Not while it grows, and not again while it stays."""
    guests = [100]
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, process.tend_garbage(lambda: guests[-1]), "garbage")
        for _ in range(5):
            await asyncio.sleep(process.QUIET_SECONDS)
            guests.append(guests[-1] * 2)
            assert gc.get_freeze_count() == 0
        await asyncio.sleep(2 * process.QUIET_SECONDS)
        settled = gc.get_freeze_count()
        assert settled > 0
        newer = [Cycle() for _ in range(1000)]
        await asyncio.sleep(100 * process.QUIET_SECONDS)
        assert gc.get_freeze_count() <= settled
        del newer
        await tasks.stop(task)


@pytest.mark.looptime
@pytest.mark.usefixtures("collector")
async def test_garbage_is_collected_although_the_number_of_guests_never_changes() -> None:
    """A server that runs for weeks does not fill its memory with what only the collector frees."""
    async with asyncio.TaskGroup() as group:
        task = tasks.spawn(group, process.tend_garbage(lambda: 100), "garbage")
        await asyncio.sleep(3 * process.QUIET_SECONDS)
        found = _aged_cycle()
        await asyncio.sleep(3600)
        assert found() is None
        await tasks.stop(task)


def test_pauses_are_measured() -> None:
    """How many collections there were, and how long the longest took."""
    pauses = process.Pauses()
    try:
        before = pauses.statistics()["collections"]
        gc.collect()
        told = pauses.statistics()
        assert told["collections"] == before + 1
        assert 0 <= told["longest_in_a_minute_us"] <= told["longest_us"]
    finally:
        pauses.close()
    gc.collect()
    assert pauses.statistics()["collections"] == told["collections"]


def test_nothing_in_a_log_commands_a_terminal() -> None:
    """Neither in our own lines nor in libraries', nor in a failure's text; and no value begins a line of its own."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", _run(ESCAPE).stderr).splitlines()

    assert all(line.isprintable() for line in lines)
    assert [line for line in lines[:2] if line.startswith("warning")] == []
    assert sum("owned" in line for line in lines) >= 3
