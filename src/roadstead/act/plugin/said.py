"""Which failures a pool was told of lately: a client that asks again and again must not fill the pool with messages."""

from roadstead.model import PoolId, VmId

AGAIN_SECONDS = 300.0
"""How long the same failure of the same VM is not said again."""
POOL_MESSAGES = 30
"""How many messages one pool gets in that time, whatever fails."""


class Said:
    """What was said, for `AGAIN_SECONDS`; at most `POOL_MESSAGES` of each pool are remembered."""

    def __init__(self) -> None:
        self._pools: dict[PoolId, dict[tuple[VmId, str], float]] = {}

    def is_due(self, pool: PoolId, vm: VmId, failure: str, now: float) -> bool:
        """Whether a failure, in its words, is to be said at the time ``now`` (seconds); it then counts as said."""
        lately = {key: at for key, at in self._pools.get(pool, {}).items() if now < at + AGAIN_SECONDS}
        self._pools[pool] = lately
        if (vm, failure) in lately or len(lately) >= POOL_MESSAGES:
            return False
        lately[vm, failure] = now
        return True
