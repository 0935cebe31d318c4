"""Which addresses of a pool's guests may be used is the operator's to change while everything runs."""

from __future__ import annotations

from pathlib import Path

from roadstead.act.pools.trials import PoolChange
from tests.contract.world import ADMITTED, world


async def test_a_network_that_is_barred_loses_its_links_and_gets_them_back(tmp_path: Path) -> None:
    """Holding a pool to other networks ends the links to guests outside; lifting that brings them back by itself."""
    async with world(tmp_path, vms=1) as one:
        pools = one.core.commands.pools
        await pools.change(one.pool_id, PoolChange(only=("192.0.2.0/24",)))
        await one.until_problem("vm-1", "address-not-allowed")
        await pools.change(one.pool_id, PoolChange(only=(), admit=ADMITTED))
        await one.until_live("vm-1")
