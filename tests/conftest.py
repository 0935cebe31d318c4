"""What holds for every test: it ends in time, leaves nothing behind, and blocks no event loop."""

from __future__ import annotations

import asyncio
import inspect
import signal
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import blockbuster
import hypothesis
import pytest

UNIT_SECONDS = 20.0
REAL_SECONDS = 60.0
SETUP_SECONDS = 150.0
"""Setting up the shared real guests is part of the first test that asks for them."""
REPEAT_SECONDS = 5.0
"""An alarm that a broad `except` swallowed comes again."""
ENDING_SECONDS = 2.0
"""How long a task or process that was told to end may take to do so."""

pytest_plugins = ["tests.real.guests"]

hypothesis.settings.register_profile("roadstead", deadline=None, derandomize=True)
hypothesis.settings.load_profile("roadstead")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the matrix say which guests real tests run on."""
    parser.addoption("--row", default="", help="run real tests on guests of this row of the matrix (see tests/matrix)")


def pytest_configure() -> None:
    """Say that the main thread has no loop: else pytest-asyncio makes one between tests, which nobody closes. Heed
    Ctrl-C, also where a shell began this in its background: what is started here would ignore it, too.
    """
    asyncio.set_event_loop(None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the real tests of one file on one worker: they share its guests."""
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(pytest.mark.xdist_group(f"real-{item.path.stem}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Limit how long a test's fixtures may take."""
    with _limited(SETUP_SECONDS, f"setting up {item.name}"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Limit how long a test may take by the wall clock, whatever its loop's clock says."""
    marker = item.get_closest_marker("limit")
    usual = REAL_SECONDS if item.get_closest_marker("real") else UNIT_SECONDS
    with _limited(float(marker.args[0]) if marker else usual, item.name):
        return (yield)


@contextmanager
def _limited(seconds: float, what: str) -> Iterator[None]:
    def expire(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"{what} took longer than {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.fixture(autouse=True)
def _settled(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves child processes or, on its loop, tasks, or in which a callback of the loop failed."""
    if request.node.get_closest_marker("real"):
        request.getfixturevalue("real_possible")
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_tasks_end")
    before = _children()
    yield
    left = {number: words for number, words in _children().items() if number not in before}
    assert not left, f"the test left child processes: {left}"


@pytest.fixture
async def _tasks_end() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    untold: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: untold.append(_described(told)))
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=ENDING_SECONDS)
    assert not left, f"the test left tasks: {sorted(task.get_name() for task in left)}"
    assert not untold, f"the loop was told what nobody else was: {untold}"


def _described(told: dict[str, Any]) -> str:
    error = told.get("exception")
    trace = "".join(traceback.format_exception(error)) if error is not None else ""
    return f"{told.get('message')} {told.get('handle', '')} {trace}"


def _children() -> dict[int, str]:
    """Our child processes, without the supervisors of shared guests (they come and go) and Python's own helpers."""
    found = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        try:
            numbers = listing.read_text().split()
        except OSError:  # the thread has ended
            continue
        for number in numbers:
            try:
                words = Path("/proc", number, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if words and not words.startswith("unshare ") and "multiprocessing" not in words:
                found[int(number)] = words
    return found


@cache
def _blocking_calls() -> blockbuster.BlockBuster:
    detector = blockbuster.BlockBuster("roadstead")
    # Asking for the attributes of a local file is not what keeps a loop waiting.
    for name in ("os.stat", "os.getcwd", "os.access"):
        detector.functions.pop(name)
    for function in detector.functions.values():
        # Log lines go to the process's own standard error.
        function.can_block_in("logging/__init__.py", "emit")
        function.can_block_in("structlog/_output.py", {"msg", "__call__"})
    return detector


@pytest.fixture(autouse=True)
def _never_blocking(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an async unit test in which code of ours blocks the loop."""
    is_async = inspect.iscoroutinefunction(getattr(request, "function", None))
    exempt = request.node.get_closest_marker("real") or request.node.get_closest_marker("blocking")
    if not is_async or exempt:
        yield
        return
    detector = _blocking_calls()
    detector.activate()
    try:
        yield
    finally:
        detector.deactivate()
