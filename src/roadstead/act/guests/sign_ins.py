"""When each guest was signed in to last, whoever did it: to one guest no more than one sign-in in a while is polite.

OpenSSH 9.8 and newer penalises addresses that fail (PerSourcePenalties), and that would hit our neighbours behind a NAT
too. So a guest's keeper, a check of its path, and whoever tries a key in it share one account.
"""

import asyncio

from roadstead.kit.turns import Turns
from roadstead.model import VmId

NEVER = float("-inf")


class SignIns:
    """The last sign-ins; ``shortest`` are the seconds between two to the same guest. In the loop's time."""

    def __init__(self, shortest: float) -> None:
        self._shortest = shortest
        self._last: dict[VmId, float] = {}
        self._before: dict[VmId, float] = {}
        self._queues: Turns[VmId] = Turns()

    def ago(self, vm: VmId) -> float:
        """Seconds since the last one began; infinite when there was none."""
        return _monotonic() - self._last.get(vm, NEVER)

    async def turn(self, vm: VmId) -> None:
        """Wait until the next one is polite, after all who wait already; it begins then."""
        async with self._queues.of(vm):
            await asyncio.sleep(max(0.0, self._shortest - self.ago(vm)))
            self.begins(vm)

    def begins(self, vm: VmId) -> None:
        """One begins now."""
        self._before[vm], self._last[vm] = self._last.get(vm, NEVER), _monotonic()

    def called_off(self, vm: VmId) -> None:
        """What began was none: nobody was called."""
        self._last[vm] = self._before.get(vm, NEVER)

    def forget(self, vm: VmId) -> None:
        """``vm`` is gone."""
        self._last.pop(vm, None)
        self._before.pop(vm, None)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
