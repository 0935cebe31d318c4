"""Secrets that a pool's ``other_config`` names: marked as the pool's, and none left behind by those who were second."""

import asyncio
from typing import cast

import pytest

from roadstead.act.pool_database.secrets import PoolSecrets, make_vm_secret, vm_secrets
from roadstead.errors import LinkError, PoolError
from roadstead.model import Vm
from roadstead.model.config_keys import MODE, NAMED_MARK, POOL_MARK, TLS, TLS_CA_CERT, VM_MARK
from roadstead.peers.xapi.client import Secret, XapiClient
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
    assert xapi.secrets[uuid].marks == {POOL_MARK: records.POOL, NAMED_MARK: KEY}


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


REFUSAL = PoolError("pool-call-failed", call="add_to_other_config", reason="X", xapi="INTERNAL_ERROR")
NAMING = [("offer", "add_pool_key"), ("put", "set_pool_key"), ("replace", "set_pool_key")]


@pytest.mark.parametrize(("verb", "call"), NAMING)
async def test_nothing_is_left_behind_when_naming_is_refused(verb: str, call: str) -> None:
    """What was named stays named; a secret that nothing names would never be found again."""
    xapi = small_pool()
    secrets = _secrets(xapi)
    await secrets.replace("another", "stays")
    xapi.failing[call] = REFUSAL
    with pytest.raises(PoolError):
        await getattr(secrets, verb)(KEY, "new")
    assert [secret.value for secret in xapi.secrets.values()] == ["stays"]
    assert KEY not in await secrets.names()


class Silent(FakeXapi):
    """A pool that names what it was asked to, and of which no answer comes."""

    async def set_pool_key(self, key: str, value: str | None) -> None:
        await super().set_pool_key(key, value)
        raise PoolError("pool-timed-out")

    async def add_pool_key(self, key: str, value: str) -> bool:
        await super().add_pool_key(key, value)
        raise PoolError("pool-timed-out")


@pytest.mark.parametrize(("verb", "call"), NAMING)
async def test_what_is_named_stays_when_only_the_answer_was_lost(verb: str, call: str) -> None:
    """The pool must not come to name a secret that is gone."""
    del call
    xapi = Silent(objects=small_pool().objects)
    secrets = _secrets(xapi)
    await getattr(secrets, verb)(KEY, "new")
    assert await secrets.value((await secrets.names())[KEY]) == "new"


@pytest.mark.parametrize(("verb", "call"), NAMING)
async def test_what_may_still_be_named_is_left_to_be_collected(verb: str, call: str) -> None:
    """Nobody knows whether the pool carries out a call that it did not answer; the mark says whose the secret is."""
    xapi = small_pool()
    secrets = _secrets(xapi)
    xapi.fail(call, "pool-timed-out")
    with pytest.raises(PoolError) as caught:
        await getattr(secrets, verb)(KEY, "new")
    assert caught.value.code == "pool-timed-out"
    assert [secret.marks for secret in xapi.secrets.values()] == [{POOL_MARK: records.POOL, NAMED_MARK: KEY}]


async def test_what_another_key_names_too_stays() -> None:
    """Whichever of the two is replaced or emptied."""
    xapi = small_pool()
    secrets = _secrets(xapi)
    await secrets.replace(KEY, "shared")
    await secrets.claim("another", (await secrets.names())[KEY])
    await secrets.replace(KEY, "new")
    await secrets.destroy("another")
    assert sorted(secret.value for secret in xapi.secrets.values()) == ["new", "shared"]


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
UUID = "00000000-0000-4000-8000-00000000000a"


def _naming(uuid: str) -> Vm:
    return records.vm(settings=records.MANAGED | {TLS_CA_CERT: uuid})


async def test_what_is_made_for_a_vm_is_read_for_it_alone() -> None:
    """A copy of the VM, whose keys name the same secret, is told so, and the value is not even read."""
    xapi = small_pool()
    made = await make_vm_secret(cast("XapiClient", xapi), records.vm(), CERTIFICATE)
    xapi.secrets[UUID] = Secret(uuid=UUID, value=CERTIFICATE, marks=xapi.secrets.pop(made).marks)
    assert xapi.secrets[UUID].marks == {VM_MARK: records.VM}
    assert await vm_secrets(cast("XapiClient", xapi), _naming(UUID), (TLS_CA_CERT,)) == [CERTIFICATE.encode()]
    copy = records.vm("vm-2", settings=_naming(UUID).settings)
    xapi.calls.clear()
    with pytest.raises(LinkError) as caught:
        await vm_secrets(cast("XapiClient", xapi), copy, (TLS_CA_CERT,))
    assert (caught.value.code, caught.value.fields["owner"]) == ("secret-of-another", records.VM)
    assert "read_secret" not in xapi.calls


async def test_an_unmarked_secret_is_read_for_one_vm() -> None:
    """Of two that name it the later one is told so, and the value is not read for it; with a mark it is no question."""
    xapi = small_pool()
    xapi.secrets[UUID] = Secret(uuid=UUID, value=CERTIFICATE, marks={})
    settings = _naming(UUID).settings | {MODE: TLS}
    one, copy = records.vm(settings=settings), records.vm("vm-2", settings=settings)
    assert await vm_secrets(cast("XapiClient", xapi), one, (TLS_CA_CERT,), [one, copy])
    xapi.calls.clear()
    with pytest.raises(LinkError) as caught:
        await vm_secrets(cast("XapiClient", xapi), copy, (TLS_CA_CERT,), [one, copy])
    assert (caught.value.code, caught.value.fields["owner"]) == ("secret-shared", records.VM)
    assert "read_secret" not in xapi.calls
    xapi.secrets[UUID] = Secret(uuid=UUID, value=CERTIFICATE, marks={VM_MARK: "vm-2"})
    assert await vm_secrets(cast("XapiClient", xapi), copy, (TLS_CA_CERT,), [one, copy])


async def test_the_pools_own_key_is_read_for_no_vm() -> None:
    """Whoever writes a VM's keys must not make us use it there."""
    xapi = small_pool()
    xapi.secrets[UUID] = Secret(uuid=UUID, value=CERTIFICATE, marks={})
    assert await vm_secrets(cast("XapiClient", xapi), _naming(UUID), (TLS_CA_CERT,))
    await xapi.set_pool_key("xscontainer-private-secret-uuid", UUID)
    with pytest.raises(LinkError) as caught:
        await vm_secrets(cast("XapiClient", xapi), _naming(UUID), (TLS_CA_CERT,))
    assert caught.value.code == "secret-unusable"


async def test_a_pool_whose_secrets_may_not_be_read_says_so() -> None:
    """It is the account that lacks something, and not the VM."""
    xapi = small_pool()
    xapi.fail("secret_marks", "pool-not-permitted")
    with pytest.raises(PoolError) as caught:
        await vm_secrets(cast("XapiClient", xapi), _naming(UUID), (TLS_CA_CERT,))
    assert caught.value.code == "pool-not-permitted"
