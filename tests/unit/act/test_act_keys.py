"""A pool's key pair: one for all, found or made, and whatever stands in the pool is no reason to fall over."""

import asyncio
from functools import cache
from typing import cast

import asyncssh
import pytest

from roadstead.act.keys.pair import REREAD_SECONDS, PoolKeys
from roadstead.errors import LinkError, PoolError
from roadstead.model.config_keys import (
    FORMER_PRIVATE_KEY_SECRET,
    FORMER_PUBLIC_KEY_SECRET,
    NAMED_MARK,
    POOL_MARK,
    PRIVATE_KEY_SECRET,
    PUBLIC_KEY_SECRET,
)
from roadstead.peers.links import keys
from roadstead.peers.xapi.client import Secret, XapiClient
from tests.unit.fakes import records
from tests.unit.fakes.xapi import POOL_REF, FakeXapi, small_pool

pytestmark = pytest.mark.looptime


@cache
def _pem(number: int = 1) -> str:
    """A small key: nobody measures its strength here."""
    del number
    return asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_private_key().decode()


def _blob(pem: str) -> str:
    return asyncssh.import_private_key(pem).export_public_key().decode().split()[1]


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Making a real key takes seconds; this one is quick, and notes that it was made."""
    made: list[str] = []

    async def generate() -> tuple[str, str]:
        await asyncio.sleep(1)
        made.append(_pem(9))
        return _pem(9), f"ssh-rsa {_blob(_pem(9))} xscontainer"

    monkeypatch.setattr(keys, "generate_pool_key", generate)
    return made


def _keys(xapi: FakeXapi) -> PoolKeys:
    return PoolKeys(cast("XapiClient", xapi), records.POOL)


def _hold(xapi: FakeXapi, **secrets: str) -> None:
    """Let the pool hold these secrets under these keys."""
    for key, value in secrets.items():
        xapi.secrets[key] = Secret(uuid=key, value=value, marks={})
    names = {"private": PRIVATE_KEY_SECRET, "public": PUBLIC_KEY_SECRET, "former": FORMER_PRIVATE_KEY_SECRET}
    names["old"] = FORMER_PUBLIC_KEY_SECRET
    xapi.change("pool", POOL_REF, other_config={names[key]: key for key in secrets})


async def test_a_pair_that_the_pool_holds_is_used(made: list[str]) -> None:
    """As the old pack or another instance made it; nothing is written."""
    xapi = small_pool()
    _hold(xapi, private=_pem(), public=f"ssh-rsa {_blob(_pem())} dom0\n")
    pair = await _keys(xapi).pair()
    assert [key.export_public_key().decode().split()[1] for key in pair.private] == [_blob(_pem())]
    assert pair.public.split()[:2] == ["ssh-rsa", _blob(_pem())]
    assert "\n" not in pair.public
    assert made == []
    assert "create_secret" not in xapi.calls


@pytest.mark.parametrize("public", ["", "nonsense", "ssh-rsa", f"ssh-rsa {'A' * 40} other"])
async def test_the_public_half_fits_the_private_one(public: str) -> None:
    """Whatever its secret holds: what is shown to people opens with what we have."""
    xapi = small_pool()
    _hold(xapi, private=_pem(), public=public)
    assert (await _keys(xapi).pair()).public.split()[1] == _blob(_pem())


async def test_a_private_half_alone_is_enough() -> None:
    """Whoever made it may have been stopped before the public half was written."""
    xapi = small_pool()
    _hold(xapi, private=_pem())
    assert (await _keys(xapi).pair()).public.split()[1] == _blob(_pem())


async def test_the_public_halves_are_told_without_the_private_ones() -> None:
    """As the pool holds them, also during a rotation; what is no key there is passed over, and nothing is made."""
    xapi = small_pool()
    assert await _keys(xapi).public_lines() == ()
    public = [f"ssh-rsa {_blob(_pem(number))} xscontainer" for number in (1, 2)]
    _hold(xapi, public=public[0], old=public[1], private="no key")
    assert await _keys(xapi).public_lines() == tuple(public)
    _hold(xapi, public="rm -rf /", old=public[1])
    assert await _keys(xapi).public_lines() == (public[1],)
    assert "create_secret" not in xapi.calls


async def test_during_a_rotation_both_keys_are_offered() -> None:
    """The new one first; the public half is the new one's."""
    xapi = small_pool()
    _hold(xapi, private=_pem(), former=_pem(2), public="")
    pair = await _keys(xapi).pair()
    assert [key.export_public_key().decode().split()[1] for key in pair.private] == [_blob(_pem()), _blob(_pem(2))]
    assert pair.public.split()[1] == _blob(_pem())


async def test_a_pool_without_a_pair_gets_one(made: list[str]) -> None:
    """Both halves as secrets that are marked as the pool's, under the historic keys, and durable at once."""
    xapi = small_pool()
    pair = await _keys(xapi).pair()
    config = xapi.objects["pool"][POOL_REF]["other_config"]
    private, public = (xapi.secrets[config[key]] for key in (PRIVATE_KEY_SECRET, PUBLIC_KEY_SECRET))
    assert (private.value, public.value) == (_pem(9), pair.public)
    assert private.marks == {POOL_MARK: records.POOL, NAMED_MARK: PRIVATE_KEY_SECRET}
    assert public.marks == {POOL_MARK: records.POOL, NAMED_MARK: PUBLIC_KEY_SECRET}
    assert "sync_database" in xapi.calls
    assert len(made) == 1


async def test_an_account_that_may_not_synchronise_gets_its_pair_at_once(made: list[str]) -> None:
    """The pool flushes by itself: that is no reason to keep the first guests waiting."""
    xapi = small_pool()
    xapi.fail("sync_database", "pool-not-permitted")
    assert (await _keys(xapi).pair()).public.split()[1] == _blob(made[0])


async def test_many_who_need_it_make_it_once(made: list[str]) -> None:
    """The guests of a pool ask at the same time."""
    xapi = small_pool()
    pool_keys = _keys(xapi)
    pairs = await asyncio.gather(*(pool_keys.pair() for _ in range(50)))
    assert len(made) == 1
    assert len({id(pair) for pair in pairs}) == 1


async def test_of_two_makers_the_faster_one_wins(made: list[str]) -> None:
    """Two instances on one pool end with the same pair, and no secret is left over."""
    xapi = small_pool()
    one, other = await asyncio.gather(_keys(xapi).pair(), _keys(xapi).pair())
    assert one.public == other.public
    assert len(made) == 2
    config = xapi.objects["pool"][POOL_REF]["other_config"]
    assert set(xapi.secrets) == {config[PRIVATE_KEY_SECRET], config[PUBLIC_KEY_SECRET]}


@pytest.mark.parametrize(
    "value", ["", "nonsense", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"]
)
async def test_what_is_no_key_is_said(value: str, made: list[str]) -> None:
    """It is neither used nor replaced."""
    xapi = small_pool()
    _hold(xapi, private=value, public="")
    with pytest.raises(LinkError) as caught:
        await _keys(xapi).pair()
    assert caught.value.code == "pool-key-missing"
    assert made == []


async def test_a_secret_that_is_gone_is_said() -> None:
    """The pool names one that it does not have."""
    xapi = small_pool()
    _hold(xapi, private=_pem())
    xapi.secrets.clear()
    with pytest.raises(LinkError, match="no SSH key yet"):
        await _keys(xapi).pair()


async def test_a_pool_that_fails_is_asked_again_next_time() -> None:
    """A failure is not remembered as an answer."""
    xapi = small_pool()
    _hold(xapi, private=_pem())
    pool_keys = _keys(xapi)
    xapi.fail("read_secret", "pool-timed-out")
    with pytest.raises(PoolError):
        await pool_keys.pair()
    xapi.fail("read_secret", None)
    await pool_keys.pair()


async def test_the_pair_is_remembered() -> None:
    """The pool is asked once, not for each guest."""
    xapi = small_pool()
    _hold(xapi, private=_pem())
    pool_keys = _keys(xapi)
    for _ in range(10):
        await pool_keys.pair()
    assert xapi.calls.count("read_secret") == 1


async def test_a_refused_key_is_looked_up_anew() -> None:
    """Another instance may have rotated it; a crowd of guests that refuse it at once costs one look."""
    xapi = small_pool()
    _hold(xapi, private=_pem())
    pool_keys = _keys(xapi)
    await pool_keys.pair()
    _hold(xapi, private=_pem(2))
    await asyncio.sleep(REREAD_SECONDS)
    for _ in range(100):
        pool_keys.forget()
        assert (await pool_keys.pair()).public.split()[1] == _blob(_pem(2))
    assert xapi.calls.count("read_secret") == 2


@pytest.mark.parametrize("failing", ["pool", "read_secret"])
async def test_a_pool_that_fails_does_not_take_the_pair_away(failing: str) -> None:
    """A guest refuses the key while the pool cannot be asked: the others are opened with what is known, and the pool
    is not asked for each of them.
    """
    xapi = small_pool()
    _hold(xapi, private=_pem(), public="")
    pool_keys = _keys(xapi)
    known = await pool_keys.pair()
    xapi.fail(failing, "pool-timed-out")
    await asyncio.sleep(REREAD_SECONDS)
    asked = xapi.calls.count("pool")
    for _ in range(100):
        pool_keys.forget()
        assert await pool_keys.pair() is known
    assert xapi.calls.count("pool") == asked + 1


async def test_after_a_failed_look_the_pool_is_asked_again() -> None:
    """The next refusal finds what another instance put there."""
    xapi = small_pool()
    _hold(xapi, private=_pem(), public="")
    pool_keys = _keys(xapi)
    await pool_keys.pair()
    _hold(xapi, private=_pem(2), public="")
    for problem, shown in (("pool-timed-out", _pem()), (None, _pem(2))):
        xapi.fail("pool", problem)
        await asyncio.sleep(REREAD_SECONDS)
        pool_keys.forget()
        assert (await pool_keys.pair()).public.split()[1] == _blob(shown)


@pytest.mark.parametrize("is_named", [False, True], ids=["no secret", "a secret that is gone"])
async def test_a_missing_public_half_is_given_back(*, is_named: bool) -> None:
    """Clients of old read it from its own secret."""
    xapi = small_pool()
    _hold(xapi, private=_pem(), **({"public": ""} if is_named else {}))
    xapi.secrets.pop("public", None)
    pair = await _keys(xapi).pair()
    config = xapi.objects["pool"][POOL_REF]["other_config"]
    secret = xapi.secrets[config[PUBLIC_KEY_SECRET]]
    assert (secret.value, secret.marks) == (pair.public, {POOL_MARK: records.POOL, NAMED_MARK: PUBLIC_KEY_SECRET})


async def test_two_who_give_it_back_leave_one() -> None:
    """Whoever is second takes its secret away again."""
    xapi = small_pool()
    _hold(xapi, private=_pem())
    await asyncio.gather(_keys(xapi).pair(), _keys(xapi).pair())
    config = xapi.objects["pool"][POOL_REF]["other_config"]
    assert set(xapi.secrets) == {config[PRIVATE_KEY_SECRET], config[PUBLIC_KEY_SECRET]}


async def test_a_public_half_that_cannot_be_given_back_stops_nobody() -> None:
    """An account that may only read still opens guests."""
    xapi = small_pool()
    _hold(xapi, private=_pem())
    xapi.fail("create_secret", "pool-not-permitted")
    assert (await _keys(xapi).pair()).public.split()[1] == _blob(_pem())


async def test_the_fingerprint_is_openssh_s() -> None:
    """It is what `ssh-keygen -l` prints of the public half."""
    xapi = small_pool()
    _hold(xapi, private=_pem(), public="")
    pair = await _keys(xapi).pair()
    assert pair.fingerprint == asyncssh.import_private_key(_pem()).get_fingerprint()


async def test_whoever_only_looks_makes_none(made: list[str]) -> None:
    """Without a pair that is an error; one that is there is read, nothing is written; a doubted one is read anew."""
    xapi = small_pool()
    held = _keys(xapi)
    with pytest.raises(LinkError) as caught:
        await held.existing()
    assert caught.value.code == "pool-key-missing"
    _hold(xapi, private=_pem())
    pair = await held.existing()
    assert pair.public.split()[1] == _blob(_pem())
    assert "create_secret" not in xapi.calls
    assert await held.pair() is await held.existing()
    _hold(xapi, private=_pem(2))
    held.changed()
    assert (await held.existing()).public.split()[1] == _blob(_pem(2))
    assert made == []
