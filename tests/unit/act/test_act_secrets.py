"""Secrets that a pool's ``other_config`` names: marked as the pool's, and none left behind by those who were second."""

import asyncio
from typing import cast

import pytest

from roadstead.act.secrets import PoolSecrets
from roadstead.errors import PoolError
from roadstead.model.config_keys import POOL_MARK
from roadstead.peers.xapi.client import XapiClient
from tests.unit.fakes import records
from tests.unit.fakes.xapi import FakeXapi, small_pool

KEY = "some-secret-uuid"


def _secrets(xapi: FakeXapi) -> PoolSecrets:
    return PoolSecrets(cast("XapiClient", xapi), records.POOL)


async def test_what_is_offered_is_named_marked_and_read() -> None:
    """Any instance finds it by its name, and knows whose it is."""
    xapi = small_pool()
    assert await _secrets(xapi).offer(KEY, "open sesame")
    uuid = (await _secrets(xapi).names())[KEY]
    assert await _secrets(xapi).value(uuid) == "open sesame"
    assert xapi.secrets[uuid].marks == {POOL_MARK: records.POOL}


async def test_of_those_who_offer_one_wins() -> None:
    """Nobody's is replaced, and one secret is left."""
    xapi = small_pool()
    won = await asyncio.gather(*(_secrets(xapi).offer(KEY, f"from {number}") for number in range(5)))
    assert sorted(won) == [False, False, False, False, True]
    assert list(xapi.secrets) == [(await _secrets(xapi).names())[KEY]]


async def test_put_replaces_what_is_named() -> None:
    """The name leads to the new value; other names are left alone."""
    xapi = small_pool()
    secrets = _secrets(xapi)
    await secrets.offer("another", "stays")
    for value in ("old", "new"):
        await secrets.put(KEY, value)
    named = await secrets.names()
    assert (await secrets.value(named[KEY]), await secrets.value(named["another"])) == ("new", "stays")


async def test_a_name_is_cleared_and_a_secret_that_is_gone_has_no_value() -> None:
    """Neither is an error."""
    xapi = small_pool()
    secrets = _secrets(xapi)
    await secrets.put(KEY, "value")
    await secrets.clear(KEY)
    assert KEY not in await secrets.names()
    assert await secrets.value("nowhere") is None


async def test_a_pool_that_refuses_is_said() -> None:
    """And nothing is named that is not there."""
    xapi = small_pool()
    xapi.fail("create_secret", "pool-not-permitted")
    with pytest.raises(PoolError):
        await _secrets(xapi).offer(KEY, "value")
    assert KEY not in await _secrets(xapi).names()


async def test_replace_destroys_only_what_it_made_for_the_key() -> None:
    """The former secret goes after the new one is named; one that the key was edited to name stays."""
    xapi = small_pool()
    secrets = _secrets(xapi)
    await secrets.put("another", "precious")
    precious = (await secrets.names())["another"]
    await secrets.replace(KEY, "old")
    await secrets.replace(KEY, "new")
    assert sorted(secret.value for secret in xapi.secrets.values()) == ["new", "precious"]
    await xapi.set_pool_key(KEY, precious)
    await secrets.replace(KEY, None)
    assert precious in xapi.secrets
    assert KEY not in await secrets.names()


async def test_replace_leaves_nothing_behind_when_naming_fails() -> None:
    """What was named stays named."""
    xapi = small_pool()
    secrets = _secrets(xapi)
    await secrets.replace(KEY, "old")
    xapi.fail("set_pool_key", "pool-timed-out")
    with pytest.raises(PoolError):
        await secrets.replace(KEY, "new")
    assert [secret.value for secret in xapi.secrets.values()] == ["old"]
