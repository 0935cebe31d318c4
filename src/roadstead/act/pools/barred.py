"""Which addresses of a pool's guests may be used, once it is known which are its hosts' and which are this machine's.

Links, checks and firewall rules ask here, so that none of them takes for a guest's what another one bars.
"""

from collections.abc import Iterable
from dataclasses import replace

from roadstead.act.pools.pool import PoolKeeper
from roadstead.kit import net
from roadstead.model import Vm, canonical
from roadstead.plan.addresses import Rules, texts_of


def barring(allowed: Rules, keeper: PoolKeeper, vms: Iterable[Vm], limit: int) -> Rules:
    """Return what the operator ``allowed`` for ``vms`` of the keeper's pool, at most ``limit`` addresses of each, with
    those barred that are never a guest's.
    """
    named = {address for vm in vms for text in texts_of(vm) if (address := canonical(text))}
    own = {address for address in named if net.is_own(address)}
    return replace(allowed, barred=frozenset(keeper.host_addresses | own), limit=limit)
