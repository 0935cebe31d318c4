"""The process itself: open files, garbage collection, logging."""

import asyncio
import ctypes
import gc
import logging
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count

import structlog
from structlog.typing import EventDict

from roadstead.kit.text import terminal_clean
from roadstead.settings.schema import RuntimeSettings

FILES_NEEDED = 4096
YOUNG_THRESHOLD = 50_000
QUIET_SECONDS = 20.0
GROWTH = 1.1
TIDY_ROUNDS = 15
"""After so many quiet times what is not set apart is collected: little, so it takes little."""
NEVER = 1_000_000
MINUTE = 60.0
NOTED_SECONDS = 0.0005
"""Shorter pauses are counted, but do not count for the longest of the last minute."""
RECENT_PAUSES = 4096


def raise_file_limit() -> str | None:
    """Raise the soft limit of open files to the hard one; return a warning when that is too low for many guests."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard >= FILES_NEEDED or hard == resource.RLIM_INFINITY:
        return None
    return f"only {hard} files can be open: enough for about {hard // 2} guests; raise the hard limit (ulimit -Hn)"


async def tend_garbage(guests: Callable[[], int]) -> None:
    """Keep the collector from stopping the loop: a full collection takes 0.9 s with 10,000 guests.

    Young objects are collected as always. Old ones only here: whenever the number of live guests has grown and then
    stood still for a while, what has gathered is collected once and set apart (``gc.freeze``), so that later
    collections never walk it again. What has grown old since is collected now and then, so that it does not fill the
    memory of a server that runs for weeks. What many handshakes at once needed goes back to the system at both times.
    """
    gc.set_threshold(YOUNG_THRESHOLD, 50, NEVER)
    settled, last = 0, -1
    for turn in count(1):
        await asyncio.sleep(QUIET_SECONDS)
        live = guests()
        is_grown = live > settled * GROWTH
        if is_grown and live == last:
            gc.collect()
            gc.freeze()
            give_back()
            settled = live
        elif not is_grown and turn % TIDY_ROUNDS == 0:
            gc.collect()
            give_back()
        last = live


def give_back() -> None:
    """Give memory that is free back to the system, where the C library can (glibc's malloc_trim(3)): by itself it does
    so for the end of its heap only, and one small thing that stays keeps all below it.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Pauses:
    """How long collections of garbage stopped the loop; counts from when it is made until `close`."""

    def __init__(self) -> None:
        self._count = 0
        self._longest = 0.0
        self._began = 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT_PAUSES)
        gc.callbacks.append(self._told)

    def close(self) -> None:
        """Count no more."""
        gc.callbacks.remove(self._told)

    def statistics(self) -> Mapping[str, int]:
        """How many collections there were, and the longest of all and of the last minute, in microseconds."""
        since = time.perf_counter() - MINUTE
        recent = max((seconds for ended, seconds in self._recent if ended >= since), default=0.0)
        return {
            "collections": self._count,
            "longest_us": round(self._longest * 1e6),
            "longest_in_a_minute_us": round(recent * 1e6),
        }

    def _told(self, phase: str, _: Mapping[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._began = now
            return
        seconds = now - self._began
        self._count += 1
        self._longest = max(self._longest, seconds)
        if seconds >= NOTED_SECONDS:
            self._recent.append((now, seconds))


def harmless(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Return the entry of a log with nothing in it that could command the terminal of whoever reads it: names of VMs,
    pools' and engines' words may stand in it.
    """
    return {key: _harmless(key, value) if isinstance(value, str) else value for key, value in event.items()}


class HarmlessFormatter(logging.Formatter):
    """The same for what libraries log."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole text of ``record``."""
        return _harmless_lines(super().format(record))


def _harmless(key: str, value: str) -> str:
    return _harmless_lines(value) if key == "exception" else terminal_clean(value)


def _harmless_lines(text: str) -> str:
    return "\n".join(map(terminal_clean, text.split("\n")))


def start_logging(settings: RuntimeSettings) -> None:
    """Log to standard error: lines for people on a terminal, JSON otherwise (or as the settings say)."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            harmless,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HarmlessFormatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
