"""The one supervisor: runs a peer's loop for ever, and says an outage once when it begins and once when it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from roadstead.errors import PeerError
from roadstead.kit.mistakes import Mistakes
from roadstead.kit.waiter import Alarm


class Report(Protocol):
    """Where `keep` says what happens to its peer."""

    def began(self, error: PeerError) -> None:
        """The peer stopped working, or more is known than when it was said last: another reason, other particulars."""

    def ended(self) -> None:
        """The peer works (again)."""


class Pace(Protocol):
    """How long to wait between two tries; `kit.backoff.Backoff` is one."""

    def after(self, error: PeerError | None) -> float:
        """Return the seconds to wait after a try that ended with ``error``, or without one."""

    def reset(self) -> None:
        """The peer worked: begin with short delays again."""


Healthy = Callable[[], None]
"""What a loop calls once it works: the outage is over."""


async def keep(
    run: Callable[[Healthy], Awaitable[None]],
    *,
    whose: str,
    pace: Pace,
    report: Report,
    mistakes: Mistakes | None = None,
    wake: Alarm | None = None,
    steady_seconds: float = 0.0,
) -> None:
    """Call ``run`` again and again until cancelled.

    A `PeerError` is an expected outage: it is reported (again only when it says something else) and followed by a
    delay that ``pace`` gives, cut short when ``wake`` is set. Any other exception is a mistake of ours, an outage of
    ``whose`` (as in "guest web-1") called ``internal``. A ``run`` that returns is called again after a delay, too.

    The delays begin anew after a ``run`` that worked for ``steady_seconds``: a peer that works for a moment each time
    is tried as rarely as one that does not work at all.
    """
    outage, mistakes = _Outage(report), mistakes or Mistakes()
    while True:
        failure: PeerError | None = None
        outage.tries()
        try:
            with mistakes.told(whose):
                await run(outage.over)
        except PeerError as error:
            outage.begins(error)
            failure = error
        if outage.worked_for() >= steady_seconds:
            pace.reset()
        await pause(pace.after(failure), wake)


async def pause(seconds: float, wake: Alarm | None = None) -> None:
    """Wait ``seconds``, or until ``wake`` is set (and clear it)."""
    if wake is None:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return


class _Outage:
    """Whether the peer is out, and for which reason, so that each is told once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told: tuple[str, dict[str, str]] | None = ("", {})
        self._works_since = float("inf")

    def tries(self) -> None:
        self._works_since = float("inf")

    def worked_for(self) -> float:
        """How long the last try worked, in seconds; below zero when it did not."""
        return _now() - self._works_since

    def begins(self, error: PeerError) -> None:
        if (error.code, error.fields) != self._told:
            self._told = error.code, error.fields
            self._report.began(error)

    def over(self) -> None:
        self._works_since = min(self._works_since, _now())
        if self._told is not None:
            self._told = None
            self._report.ended()


def _now() -> float:
    return asyncio.get_running_loop().time()
