"""Calls to the server side by side, which a command that is interrupted leaves behind.

The threads of ``concurrent.futures`` are waited for when a program ends; what a server works on may take minutes, and
whoever presses Ctrl-C a second time wants to be gone.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")
_Work = SimpleQueue[tuple[Future[T], Callable[[], T]]]


def begin(calls: Sequence[Callable[[], T]], at_once: int) -> list[Future[T]]:
    """Begin ``calls``, so many ``at_once``; one that has not begun yet can be cancelled."""
    work: _Work[T] = SimpleQueue()
    futures: list[Future[T]] = []
    for call in calls:
        futures.append(Future())
        work.put((futures[-1], call))
    for number in range(min(at_once, len(futures))):
        threading.Thread(target=_work_off, args=(work,), name=f"call {number}", daemon=True).start()
    return futures


def _work_off(work: "_Work[T]") -> None:
    while True:
        try:
            future, call = work.get_nowait()
        except Empty:
            return
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result is told
            future.set_exception(error)
