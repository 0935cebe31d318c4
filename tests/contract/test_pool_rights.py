"""The account that Roadstead is given: it must be able to do the work, and is told so when it is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from roadstead.act.pools.trials import PoolChange
from roadstead.errors import PoolError
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.server import LabPool
from roadstead.lab.pool.subjects import role_ref
from roadstead.model.config_keys import DOCKER_PS, HOST_KEY
from roadstead.peers.database.client import Database
from tests.contract.world import ADMITTED, QUICK, World, kept, lab, running


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


def _give(pool: LabPool, role: Role) -> None:
    """The account pool-operator gets another role, which counts from its next sign-in on."""
    database = pool.core.database
    ref = next(ref for ref, one in database.all("subject") if one["other_config"]["subject-name"] == "pool-operator")
    database.write("subject", ref, "roles", (role_ref(role),))
    pool.end_sessions()


def _config(one: World, name: str) -> dict[str, str]:
    config: dict[str, str] = one.pool.core.vm(one.pool.find(name))["other_config"]
    return config


@pytest.mark.limit(40)
@pytest.mark.parametrize("role", [Role.READ_ONLY, Role.VM_OPERATOR], ids=lambda role: role.label)
async def test_a_role_that_is_taken_away_is_the_pools_problem_until_it_is_back(tmp_path: Path, role: Role) -> None:
    """What can be seen stays current, what was not allowed is said, and is made up for without a hand laid on."""
    async with (
        lab(tmp_path, ["vm-1", "vm-2"]) as (pool, maker),
        kept(tmp_path) as database,
        running(QUICK, database) as core,
    ):
        one = World(pool, maker, core, database)
        change = PoolChange(url=pool.url, user="pool-operator", password=pool.password, fingerprint=pool.fingerprint)
        await core.commands.pools.add(replace(change, admit=ADMITTED))
        await one.until_live("vm-1", "vm-2")
        await one.until(lambda: DOCKER_PS in _config(one, "vm-1"), "published")
        _give(pool, role)
        one.change("vm-1")
        await one.until(lambda: _problem(one) == "pool-not-permitted", "said")
        await one.until(lambda: one.seen_pool().live and one.agrees("vm-1"), "current all the same")
        assert "renamed" not in _config(one, "vm-1")[DOCKER_PS]
        unpinned = {key: value for key, value in _config(one, "vm-2").items() if key not in {HOST_KEY, DOCKER_PS}}
        pool.core.database.write("VM", pool.find("vm-2"), "other_config", unpinned)
        await one.until(lambda: HOST_KEY not in one.vm("vm-2").settings, "what cannot be put back is missed")
        _give(pool, Role.POOL_OPERATOR)
        await one.until(lambda: _problem(one) == "", "over")
        await one.until(lambda: "renamed" in _config(one, "vm-1").get(DOCKER_PS, ""), "made up for")
        await one.until_live("vm-1", "vm-2")
        await one.until(lambda: {DOCKER_PS, HOST_KEY} <= _config(one, "vm-2").keys(), "the other one, too")


def _problem(one: World) -> str:
    problem = one.seen_pool().problem
    return problem.code if problem is not None else ""
