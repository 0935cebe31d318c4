"""The two key pairs that a pool names during a rotation: whatever breaks off where, the next try ends the same."""

from __future__ import annotations

from functools import cache
from typing import cast

import asyncssh
import pytest

from roadstead.act.keys.change import KeyChange
from roadstead.act.keys.pair import PoolKeys
from roadstead.errors import PoolError
from roadstead.model.config_keys import (
    FORMER_PRIVATE_KEY_SECRET,
    FORMER_PUBLIC_KEY_SECRET,
    POOL_MARK,
    PRIVATE_KEY_SECRET,
    PUBLIC_KEY_SECRET,
)
from roadstead.peers.links import keys
from roadstead.peers.xapi.client import Secret, XapiClient
from tests.unit.fakes import records
from tests.unit.fakes.xapi import POOL_REF, FakeXapi, small_pool

pytestmark = pytest.mark.looptime
WRITES = ("create_secret", "set_pool_key", "add_pool_key", "destroy_secret", "sync_database")
STEPS = 14
"""More writes than a rotation takes."""


@cache
def _pem(number: int) -> str:
    del number
    return asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_private_key().decode()


def _public(pem: str) -> str:
    return asyncssh.import_private_key(pem).export_public_key().decode().strip()


class Interrupted(FakeXapi):
    """A pool that fails once, at the write of this number."""

    left = -1

    def _called(self, method: str) -> None:
        super()._called(method)
        if method.partition(" ")[0] in WRITES:
            self.left -= 1
            if self.left == -1:
                raise PoolError("pool-unreachable")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each new pair is another one, made at once."""
    made: list[str] = []

    async def generate() -> tuple[str, str]:
        made.append(_pem(len(made) + 2))
        return made[-1], _public(made[-1])

    monkeypatch.setattr(keys, "generate_pool_key", generate)


def _pool() -> Interrupted:
    """A pool whose pair the old pack made."""
    xapi = Interrupted(objects=small_pool().objects)
    for key, value in (("private", _pem(1)), ("public", f"{_public(_pem(1))} dom0")):
        xapi.secrets[key] = Secret(uuid=key, value=value, marks={})
    xapi.change("pool", POOL_REF, other_config={PRIVATE_KEY_SECRET: "private", PUBLIC_KEY_SECRET: "public"})
    return xapi


def _change(xapi: FakeXapi) -> KeyChange:
    """As a server sees it that has just started."""
    client = cast("XapiClient", xapi)
    return KeyChange(client, records.POOL, PoolKeys(client, records.POOL))


def _named(xapi: FakeXapi, key: str) -> str:
    return xapi.secrets[xapi.objects["pool"][POOL_REF]["other_config"][key]].value


def _is_whole(xapi: FakeXapi) -> None:
    """The old pair is named as the old one, and a new one that fits together as the pool's."""
    assert _named(xapi, FORMER_PRIVATE_KEY_SECRET) == _pem(1)
    assert _named(xapi, FORMER_PUBLIC_KEY_SECRET).split()[1] == _public(_pem(1)).split()[1]
    assert _named(xapi, PRIVATE_KEY_SECRET) != _pem(1)
    assert _named(xapi, PUBLIC_KEY_SECRET).split()[1] == _public(_named(xapi, PRIVATE_KEY_SECRET)).split()[1]


async def test_both_pairs_are_offered_the_new_one_first() -> None:
    """The links learn of it at once, and beginning again changes nothing."""
    xapi = _pool()
    client = cast("XapiClient", xapi)
    pool_keys = PoolKeys(client, records.POOL)
    change = KeyChange(client, records.POOL, pool_keys)
    old = await pool_keys.pair()
    for _ in range(2):
        await change.begin()
        _is_whole(xapi)
        pair = await pool_keys.pair()
        assert len(pair.private) == 2
        assert (pair.former_fingerprint, pair.fingerprint == old.fingerprint) == (old.fingerprint, False)
        assert pair.refused(pair.former_fingerprint) == (pair.fingerprint,)
        assert pair.refused(pair.fingerprint) == ()
    new = xapi.secrets[xapi.objects["pool"][POOL_REF]["other_config"][PRIVATE_KEY_SECRET]]
    assert new.marks[POOL_MARK] == records.POOL


@pytest.mark.parametrize("step", range(STEPS))
async def test_a_beginning_that_breaks_off_anywhere_is_gone_on_with(step: int) -> None:
    """By another server that knows nothing but the pool; until then the links open with the old key."""
    xapi = _pool()
    xapi.left = step
    try:
        await _change(xapi).begin()
    except PoolError:
        pair = await PoolKeys(cast("XapiClient", xapi), records.POOL).pair()
        assert _public(_pem(1)).split()[1] in {each.export_public_key().decode().split()[1] for each in pair.private}
        other = _change(xapi)
        if await other.is_begun():
            await other.resume()
        else:
            await other.begin()
    _is_whole(xapi)
    assert not await _change(xapi).is_broken_off()


@pytest.mark.parametrize("step", range(6))
async def test_an_end_that_breaks_off_anywhere_is_gone_on_with(step: int) -> None:
    """No private key is left that nothing names, and what the pool is opened with stays."""
    xapi = _pool()
    await _change(xapi).begin()
    new = _named(xapi, PRIVATE_KEY_SECRET)
    xapi.left = step
    try:
        await _change(xapi).retire()
    except PoolError:
        other = _change(xapi)
        await (other.resume() if await other.is_broken_off() else other.retire())
        await other.retire()
    config = xapi.objects["pool"][POOL_REF]["other_config"]
    assert {FORMER_PRIVATE_KEY_SECRET, FORMER_PUBLIC_KEY_SECRET}.isdisjoint(config)
    assert set(xapi.secrets) == {config[PRIVATE_KEY_SECRET], config[PUBLIC_KEY_SECRET]}
    assert _named(xapi, PRIVATE_KEY_SECRET) == new


@pytest.mark.parametrize("named", ["other", "same"])
async def test_no_other_secret_is_destroyed(named: str) -> None:
    """Whoever edits the pool's keys makes us destroy neither a foreign secret nor the key that is in use."""
    xapi = _pool()
    await _change(xapi).begin()
    xapi.secrets["other"] = Secret(uuid="other", value="password of a disk", marks={})
    config = dict(xapi.objects["pool"][POOL_REF]["other_config"])
    target = "other" if named == "other" else config[PRIVATE_KEY_SECRET]
    xapi.change("pool", POOL_REF, other_config={**config, FORMER_PRIVATE_KEY_SECRET: target})
    await _change(xapi).retire()
    assert {"other", config[PRIVATE_KEY_SECRET]} <= set(xapi.secrets)


async def test_the_gap_in_an_update_makes_no_third_pair() -> None:
    """While the historic key is absent the old pair opens, and nobody takes the pool for one without a key."""
    xapi = _pool()
    config = {FORMER_PRIVATE_KEY_SECRET: "private", FORMER_PUBLIC_KEY_SECRET: "public", PUBLIC_KEY_SECRET: "public"}
    xapi.change("pool", POOL_REF, other_config=config)
    pair = await PoolKeys(cast("XapiClient", xapi), records.POOL).pair()
    assert pair.public.split()[1] == _public(_pem(1)).split()[1]
    assert not {call for call in xapi.calls if call.partition(" ")[0] in WRITES}
    assert await _change(xapi).is_broken_off()
    await _change(xapi).resume()
    _is_whole(xapi)
