"""The one supervisor: runs a peer's loop for ever, and says an outage once when it begins and once when it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from roadstead.errors import PeerError


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
    pace: Pace,
    report: Report,
    wake: asyncio.Event | None = None,
    settle_seconds: float = 0.0,
) -> None:
    """Call ``run`` again and again until cancelled.

    A `PeerError` is an expected outage: it is reported (again only when it says something else) and followed by a
    delay that ``pace`` gives, cut short when ``wake`` is set. Any other exception is a bug and leaves `keep`. A
    ``run`` that returns is called again after a delay, too.

    The delays begin anew after a ``run`` that worked for ``settle_seconds``: a peer that works for a moment each time
    is tried as rarely as one that does not work at all.
    """
    outage = _Outage(report)
    while True:
        failure: PeerError | None = None
        outage.starts()
        try:
            await run(outage.over)
        except PeerError as error:
            outage.begins(error)
            failure = error
        if outage.worked_since is not None and _now() - outage.worked_since >= settle_seconds:
            pace.reset()
        await pause(pace.after(failure), wake)


async def pause(seconds: float, wake: asyncio.Event | None = None) -> None:
    """Wait ``seconds``, or until ``wake`` is set (and clear it)."""
    if wake is None:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return
    wake.clear()


class _Outage:
    """Whether the peer is out, and for which reason, so that each is told once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told: tuple[str, dict[str, str]] | None = ("", {})
        self.worked_since: float | None = None
        """Since when this try works; None as long as it does not."""

    def starts(self) -> None:
        self.worked_since = None

    def begins(self, error: PeerError) -> None:
        if (error.code, error.fields) != self._told:
            self._told = error.code, error.fields
            self._report.began(error)

    def over(self) -> None:
        if self.worked_since is None:
            self.worked_since = _now()
        if self._told is not None:
            self._told = None
            self._report.ended()


def _now() -> float:
    return asyncio.get_running_loop().time()
