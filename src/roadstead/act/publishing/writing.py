"""How writing into a pool for its other clients goes on after failures: slower and slower, and all keys together where
it is the pool, or our account's role, that fails.

What one VM's failure is, the pool says (``pool-call-failed``); everything else would be the same for every VM. That it
is told, and that it is over, is the concern of who keeps the pool.
"""

from dataclasses import dataclass

from roadstead.errors import PeerError
from roadstead.kit.backoff import Backoff
from roadstead.kit.workers import Common

VM_FIRST_SECONDS, VM_LIMIT_SECONDS = 15.0, 600.0
POOL_FIRST_SECONDS, POOL_LIMIT_SECONDS = 2.0, 300.0
DENIED_SECONDS = 600.0
"""How long nothing is tried after the pool said that our account may not; a new sign-in, which brings another role,
ends that at once.
"""


@dataclass
class PoolPace(Backoff):
    """The delays after failures of the pool itself."""

    def after(self, error: Exception | None) -> float:
        """Return the delay; long when it is our role that does not suffice."""
        is_denial = isinstance(error, PeerError) and error.code == "pool-not-permitted"
        return DENIED_SECONDS if is_denial else super().after(error)


def of_vm() -> Backoff:
    """Return the delays after failures of one VM."""
    return Backoff(VM_FIRST_SECONDS, VM_LIMIT_SECONDS)


def of_pool() -> Common:
    """Return what is done about failures of the pool."""
    pace = PoolPace(POOL_FIRST_SECONDS, POOL_LIMIT_SECONDS)
    return Common(lambda error: error.code != "pool-call-failed", pace)
