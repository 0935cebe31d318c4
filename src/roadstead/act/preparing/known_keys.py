"""The keys of all pools that are known here, by which a line that another pool left in a guest is recognised and named.

A VM moves with what stands in it: the line of its former pool's key, which goes on to open it. Such a line may have
lost its comment, and no guest can tell whose key it is.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from roadstead.act.guests.grounds import Grounds
from roadstead.act.pools.pool import PoolKeeper
from roadstead.errors import PoolError
from roadstead.model import Vm
from roadstead.peers.links import messages

TELL_SECONDS = 5.0
"""How long is waited for a pool that is to tell its key: it may be in an outage that nobody has noticed yet."""


class KnownKeys(NamedTuple):
    """Public keys (``type blob``) of other pools, and what all pools are called whose keys can be told apart."""

    lines: Sequence[str]
    pools: Mapping[str, str]
    """The pool of a key, by the key's fingerprint."""

    def told(self, key: str) -> str:
        """Return for people whose ``key`` (``type blob``) this is."""
        fingerprint = messages.fingerprint(key.split()[1])
        pool = self.pools.get(fingerprint)
        return f"{fingerprint} ({f'pool {pool}' if pool is not None else 'of no pool that is known here'})"


@dataclass(frozen=True, slots=True)
class PoolsKeys:
    """Asks the pools of ``grounds`` for their keys, and knows what opened a VM before."""

    grounds: Grounds

    async def of(self, vm: Vm) -> KnownKeys:
        """Return what may stand in ``vm``. Of a pool that cannot be asked now nothing is known but what was seen."""
        others = [keeper for pool, keeper in self.grounds.pools.items() if pool != vm.pool and keeper.record.live]
        found = await asyncio.gather(*map(_told, others))
        seen = {opening.key: self.grounds.pool_name(opening.pool) for opening in self.grounds.memories.keyed.of(vm.id)}
        named = dict(_named(zip(others, found, strict=True)))
        return KnownKeys(tuple(named), seen | {_fingerprint(key): pool for key, pool in named.items()})


async def _told(keeper: PoolKeeper) -> tuple[str, ...]:
    try:
        async with asyncio.timeout(TELL_SECONDS):
            return await keeper.keys.public_lines()
    except (PoolError, TimeoutError):
        return ()


def _named(told: Iterable[tuple[PoolKeeper, Sequence[str]]]) -> Iterable[tuple[str, str]]:
    for keeper, lines in told:
        for line in lines:
            yield " ".join(line.split()[:2]), keeper.record.name


def _fingerprint(key: str) -> str:
    return messages.fingerprint(key.split()[1])
