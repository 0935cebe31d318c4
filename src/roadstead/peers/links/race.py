"""Happy eyeballs: several addresses tried in a staggered race, so that a dead first one costs a moment, not a limit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from roadstead.errors import LinkError
from roadstead.kit import tasks
from roadstead.peers.links.faults import unreachable, verdict
from roadstead.peers.links.witness import NOBODY, Witness

T = TypeVar("T")


class Race(Generic[T]):
    """One race over ``addresses``: `run` gives the first ``attempt`` that works, and undoes any other with ``undo``.

    A failure that ``is_final`` says something about the goal itself, so the race is over. Each is told to ``witness``.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        attempt: Callable[[str], Awaitable[T]],
        undo: Callable[[T], None],
        is_final: Callable[[LinkError], bool],
        witness: Witness = NOBODY,
    ) -> None:
        self._addresses = addresses
        self._attempt = attempt
        self._undo = undo
        self._is_final = is_final
        self._witness = witness
        self._won: list[T] = []
        self._failures: list[tuple[str, LinkError]] = []
        self._decided = asyncio.Event()

    async def run(self, stagger_seconds: float) -> T:
        """Start an attempt every ``stagger_seconds``, or as soon as the one before failed.

        Raises the `LinkError` that tells most, when all failed or one failure is final.
        """
        try:
            async with asyncio.TaskGroup() as group:
                await self._start(group, stagger_seconds)
        except BaseException:
            self._close(self._won)
            raise
        self._close(self._won[1:])
        if self._won:
            return self._won[0]
        raise verdict(self._failures)

    async def _start(self, group: asyncio.TaskGroup, stagger_seconds: float) -> None:
        running: set[asyncio.Task[None]] = set()
        for address in self._addresses:
            running.add(tasks.spawn(group, self._one(address), f"reach {address}"))
            _, running = await asyncio.wait(running, timeout=stagger_seconds, return_when=asyncio.FIRST_COMPLETED)
            if self._decided.is_set():
                break
        while running and not self._decided.is_set():
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        await tasks.stop(*running)

    async def _one(self, address: str) -> None:
        try:
            self._won.append(await self._attempt(address))
        except LinkError as error:
            self._fail(address, error)
            if not self._is_final(error):
                return
        except OSError as error:  # this machine's trouble with one address; the others may do
            failure = unreachable(error, address)
            failure.__cause__ = error
            self._fail(address, failure)
            return
        self._decided.set()

    def _fail(self, address: str, error: LinkError) -> None:
        self._failures.append((address, error))
        self._witness.missed(address, error)

    def _close(self, losers: Sequence[T]) -> None:
        for loser in losers:
            self._undo(loser)
