"""A guest is prepared from a host's control domain: the conversation of `preparing`, for the VMs of that one pool.

Whoever calls has the pool's token, which only root of its hosts and administrators of the pool can read. With it
passwords could be tried on guests from here, so wrong ones are counted for each VM; and no pool holds all places.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from roadstead.act.audit import Audit
from roadstead.act.preparing.conversation import Answers, GuestPreparation
from roadstead.act.preparing.preparing import Preparing
from roadstead.errors import ConflictError, NotFoundError, RoadsteadError
from roadstead.model import HostId, PoolId, Snapshot, VmId

IN_FLIGHT = 4
"""How many calls of one pool are worked on at once: half of the places that `preparing` has for all."""
GUESSES = 6
"""How many wrong passwords one VM is shown within `GUESSES_SECONDS`: a person types two rounds of three."""
GUESSES_SECONDS = 60.0
_WRONG = "guest-sign-in-failed"


class Dom0Preparing:
    """Leads the conversations of all pools' control domains."""

    def __init__(self, snapshot: Snapshot, preparing: Preparing, audit: Audit) -> None:
        self._snapshot = snapshot
        self._preparing = preparing
        self._audit = audit
        self._in_flight: Counter[PoolId] = Counter()
        self._guesses: dict[VmId, list[float]] = {}

    def who(self, pool: PoolId, pool_name: str, host: str) -> str:
        """Who asks, as far as the token tells: that it is this very host of the pool, the call itself says."""
        known = self._snapshot.hosts.get(HostId(host))
        name = known.name if known is not None and known.pool == pool else "a host that is not known"
        return f"root in the control domain of {name} ({pool_name}, {pool})"

    async def step(self, pool: PoolId, vm: str, answers: Answers) -> GuestPreparation:
        """Go as far as ``answers`` lead, and return the next question or the result.

        Raises what `Preparing.step` does; `NotFoundError` ``no-such-vm`` also for a VM of another pool, of which the
        caller learns nothing; `ConflictError` ``too-many-preparations`` and ``guest-guesses-spent``.
        """
        found = self._snapshot.vms.get(VmId(vm))
        if found is None or found.pool != pool:
            self._audit.note(answers.action, vm, "no-such-vm")
            raise NotFoundError("no-such-vm", name=vm)
        with self._place(pool):
            if not answers.signs_in:
                return await self._preparing.step(found.id, answers)
            with self._guess(found.id, found.name, answers.action):
                return await self._preparing.step(found.id, answers)

    @contextmanager
    def _place(self, pool: PoolId) -> Iterator[None]:
        if self._in_flight[pool] >= IN_FLIGHT:
            raise ConflictError("too-many-preparations", limit=IN_FLIGHT)
        self._in_flight[pool] += 1
        try:
            yield
        finally:
            self._in_flight[pool] -= 1

    @contextmanager
    def _guess(self, vm: VmId, name: str, action: str) -> Iterator[None]:
        """Count a sign-in as a wrong one until it is known not to be: so several at once are no way around."""
        now = asyncio.get_running_loop().time()
        self._guesses = {one: kept for one, at in self._guesses.items() if (kept := _lately(at, now))}
        lately = self._guesses.setdefault(vm, [])
        if len(lately) >= GUESSES:
            self._audit.note(action, vm, "guest-guesses-spent")
            seconds = int(lately[0] + GUESSES_SECONDS - now) + 1
            raise ConflictError("guest-guesses-spent", vm=name, count=GUESSES, seconds=seconds)
        lately.append(now)
        is_wrong = False
        try:
            yield
        except RoadsteadError as error:
            is_wrong = error.code == _WRONG
            raise
        finally:
            kept = self._guesses.get(vm, [])
            if not is_wrong and now in kept:
                kept.remove(now)


def _lately(times: list[float], now: float) -> list[float]:
    return [at for at in times if now < at + GUESSES_SECONDS]
