"""The account that Roadstead is given: it must be able to do the work, and is told so when it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadstead.act.trials import PoolChange
from roadstead.errors import PoolError
from roadstead.lab.pool.server import LabPool
from roadstead.peers.database.client import Database
from tests.contract.world import QUICK, running


@pytest.mark.parametrize(("user", "code"), [("read-only", "pool-not-permitted"), ("pool-operator", None)])
async def test_an_account_needs_the_role_pool_operator(tmp_path: Path, user: str, code: str | None) -> None:
    """An account that may not read secrets could open no guest: it is refused at once, and nothing is kept of it."""
    database = await Database.open(tmp_path / "roadstead.db", tmp_path / "secret.key")
    try:
        async with LabPool(tmp_path / "pool", hosts=1, port=0) as pool, running(QUICK, database) as core:
            change = PoolChange(url=pool.url, user=user, password=pool.password, fingerprint=pool.fingerprint)
            if code is None:
                assert (await core.commands.pools.add(change)).live
            else:
                with pytest.raises(PoolError) as caught:
                    await core.commands.pools.add(change)
                assert caught.value.code == code
            assert len(await database.pools()) == (code is None)
    finally:
        await database.close()
