"""Whose record of a VM or host is shown when several pools have one of the same id.

Ids are unique by custom only. While a VM migrates to another pool both list it; a restored backup, or a pool that
lies, may list for good what another one has. So a record that is not shown is kept, and comes to be shown when the one
that is goes. Which one is shown depends on nothing but what the pools say now: before all counts that the pool is live,
then that the VM runs there, then that the pool is known for longer.
"""

from collections.abc import Callable, Mapping, Set
from typing import Generic, TypeVar

from roadstead.model import Host, Pool, PoolId, Vm

R = TypeVar("R", bound=Vm | Host)


class Claims(Generic[R]):
    """The records of one kind. ``shown`` are those that are shown, ``show`` and ``drop`` change which these are, and
    ``pools`` are all pools in the order in which they were added.
    """

    def __init__(
        self,
        pools: Mapping[PoolId, Pool],
        shown: Callable[[str], R | None],
        show: Callable[[R], None],
        drop: Callable[[str], None],
    ) -> None:
        self._pools = pools
        self._shown = shown
        self._show = show
        self._drop = drop
        self._waiting: dict[str, dict[PoolId, R]] = {}
        """Records that are not shown, because another pool's record of the same id is."""

    def seen(self, record: R) -> None:
        """A pool has this record."""
        self._choose({**self._all(record.id), record.pool: record})

    def gone(self, id: str, pool: PoolId | None) -> None:
        """``pool`` (None: the one whose record is shown) has no such record any more."""
        claims, shown = self._all(id), self._shown(id)
        if shown is None or claims.pop(pool or shown.pool, None) is None:
            return
        if claims:
            self._choose(claims)
        else:
            self._drop(id)

    def listed(self, pool: PoolId, shown: list[str], ids: Set[str]) -> None:
        """``pool``, of which the records ``shown`` are, has exactly the records ``ids``."""
        waiting = [id for id, records in self._waiting.items() if pool in records]
        for id in [*waiting, *shown]:
            if id not in ids:
                self.gone(id, pool)

    def settle(self) -> None:
        """Pools are live that were not, or the other way round."""
        for id in list(self._waiting):
            self._choose(self._all(id))

    def _all(self, id: str) -> dict[PoolId, R]:
        """Return the records of this id by pool."""
        shown = self._shown(id)
        return {**self._waiting.get(id, {}), **({shown.pool: shown} if shown is not None else {})}

    def _choose(self, claims: dict[PoolId, R]) -> None:
        """Show the best of ``claims``, which have one id; the others wait."""
        best = min(claims.values(), key=self._rank) if len(claims) > 1 else next(iter(claims.values()))
        rest = {pool: record for pool, record in claims.items() if record is not best}
        if rest:
            self._waiting[best.id] = rest
        else:
            self._waiting.pop(best.id, None)
        self._show(best)

    def _rank(self, record: R) -> tuple[bool, bool, int, str]:
        pool = self._pools.get(record.pool)
        place = list(self._pools).index(record.pool) if pool is not None else len(self._pools)
        is_running = isinstance(record, Vm) and record.running
        return pool is None or not pool.live, not is_running, place, record.pool
