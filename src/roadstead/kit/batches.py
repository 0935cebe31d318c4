"""Work that may be done a little later, all at once: one run for all that came meanwhile, and again when it failed."""

import asyncio
from collections.abc import Awaitable, Callable

from roadstead.errors import PeerError
from roadstead.kit.keep import Report
from roadstead.kit.mistakes import Mistakes


class Batches:
    """Calls ``flush`` for what was added, ``delay`` seconds after it; when that raises (`PeerError`, or a mistake of
    ours), again ``retry`` seconds later. What is to be done ``flush`` knows: like a queue this holds no payload.
    """

    def __init__(
        self, flush: Callable[[], Awaitable[None]], *, delay: float, retry: float, report: Report | None = None
    ) -> None:
        self._flush = flush
        self._delay = delay
        self._retry = retry
        self._report = report
        self._mistakes = Mistakes()
        self._news = asyncio.Event()
        self._fails = False

    def add(self) -> None:
        """There is something to do; never waits."""
        self._news.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(self._delay)
            self._news.clear()
            try:
                with self._mistakes.told("a batch"):
                    await self._flush()
            except PeerError as error:
                self._failed(error)
                await asyncio.sleep(self._retry)
            else:
                self._worked()

    def _failed(self, error: PeerError) -> None:
        self._news.set()
        if self._report is not None and not self._fails:
            self._report.began(error)
        self._fails = True

    def _worked(self) -> None:
        if self._report is not None and self._fails:
            self._report.ended()
        self._fails = False
