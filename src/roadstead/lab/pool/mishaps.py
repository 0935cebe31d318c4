"""What goes wrong with single calls, on request: a client must cope with each of them at every step of its work."""

from __future__ import annotations

import asyncio
import enum
from collections import defaultdict, deque


class Mishap(enum.Enum):
    """What becomes of one call."""

    REFUSED = "refused"
    """It fails and changes nothing."""
    LOST = "lost"
    """It is done, and the connection ends in the place of the answer."""
    SILENT = "silent"
    """It is done, and nothing more is heard of it."""


SILENT_S = 3600.0


class Mishaps:
    """The mishaps that the next calls will have, by the names of the calls."""

    def __init__(self) -> None:
        self._coming: defaultdict[str, deque[Mishap]] = defaultdict(deque)

    def prepare(self, call: str, mishap: Mishap) -> None:
        """Let this happen to the next call of that name which has no mishap yet."""
        self._coming[call].append(mishap)

    def take(self, call: str) -> Mishap | None:
        """What happens to a call that begins now."""
        coming = self._coming.get(call)
        return coming.popleft() if coming else None

    @staticmethod
    async def keep_silent() -> None:
        """Wait until the client goes."""
        await asyncio.sleep(SILENT_S)

    @property
    def outstanding(self) -> list[str]:
        """The calls whose mishap did not come yet: nobody made them."""
        return [call for call, coming in self._coming.items() if coming]
