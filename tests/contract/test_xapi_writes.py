"""Keys of other_config, secrets and durability: what is written is written once, cleanly, and undoes nobody's work."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roadstead.errors import InputError, NotFoundError, PoolError
from roadstead.kit import tasks
from roadstead.lab.pool.server import LabPool
from roadstead.model.config_keys import HOST_KEY, POOL_MARK, PRIVATE_KEY_SECRET
from roadstead.peers.xapi.client import XapiClient
from tests.contract.xapi_pools import address, signed_in

USER = "xscontainer-username"


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of one host with the VM ``quay``, which is off."""
    async with LabPool(tmp_path / "lab", hosts=1) as running:
        await running.create_vm("quay", addresses=(), enabled=False, running=False)
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[XapiClient]:
    """A client signed in as pool-operator: that must suffice for everything."""
    async with signed_in(address(pool, user="pool-operator")) as opened:
        yield opened


def config(pool: LabPool) -> dict[str, str]:
    """The VM's other_config, as the pool holds it."""
    return dict(pool.core.vm(pool.find("quay"))["other_config"])


async def test_one_key_is_written_and_no_other(pool: LabPool, client: XapiClient) -> None:
    """Setting, changing and removing a key leaves those of others as they are."""
    uuid = pool.uuid_of("quay")
    others = config(pool)

    for value in ("core", "harbourmaster", "harbourmaster"):
        await client.set_vm_key(uuid, USER, value)
        assert config(pool) == {**others, USER: value}
    for _ in range(2):
        await client.set_vm_key(uuid, USER, None)
        assert config(pool) == others


async def test_first_value_is_one_addition(pool: LabPool, client: XapiClient) -> None:
    """A first pin is one change of the database; the same value again is none; another one is removal and addition."""
    uuid = pool.uuid_of("quay")
    changes = []
    for value in ("AAAA", "AAAA", "BBBB"):
        before = pool.core.database.generation
        await client.set_vm_key(uuid, HOST_KEY, value)
        changes.append(pool.core.database.generation - before)

    assert changes == [1, 0, 2]


async def test_addition_never_replaces(pool: LabPool, client: XapiClient) -> None:
    """Of two who pin a VM at the same time the first wins, and the second is told."""
    uuid = pool.uuid_of("quay")

    assert await client.add_vm_key(uuid, HOST_KEY, "AAAA") is True
    assert await client.add_vm_key(uuid, HOST_KEY, "BBBB") is False
    assert config(pool)[HOST_KEY] == "AAAA"


async def test_concurrent_writers_lose_nothing(pool: LabPool, client: XapiClient) -> None:
    """Two clients that write 40 keys of one VM at the same time, each twice: all of them are there afterwards."""
    uuid = pool.uuid_of("quay")
    async with signed_in(address(pool)) as other:
        for value in ("1", "2"):
            await asyncio.gather(
                *(client.set_vm_key(uuid, f"a{n}", value) for n in range(20)),
                *(other.set_vm_key(uuid, f"b{n}", value) for n in range(20)),
            )

    written = config(pool)
    assert {key: written[key] for key in written if key[0] in "ab"} == {
        f"{name}{n}": "2" for name in "ab" for n in range(20)
    }


async def test_concurrent_writers_of_one_key_agree(pool: LabPool, client: XapiClient) -> None:
    """MAP_DUPLICATE_KEY between two writers of one key: both end well, and one of the two values stays."""
    uuid = pool.uuid_of("quay")
    async with signed_in(address(pool)) as other:
        for turn in range(20):
            await asyncio.gather(
                client.set_vm_key(uuid, USER, f"a{turn}"),
                other.set_vm_key(uuid, USER, f"b{turn}"),
            )
            assert config(pool)[USER] in {f"a{turn}", f"b{turn}"}


async def test_strings_are_cleaned(pool: LabPool, client: XapiClient) -> None:
    """Rule 3: what would make the pool's database unreadable never gets there."""
    uuid = pool.uuid_of("quay")
    await client.set_vm_key(uuid, USER, "a\ufffe\uffff\x01b\tc\nü")
    await client.call("VM.set_name_description", pool.find("quay"), "x\x00y")

    assert config(pool)[USER] == "a\ufffd\ufffd\ufffdb\tc\nü"
    assert pool.core.vm(pool.find("quay"))["name_description"] == "x\ufffdy"


async def test_vm_that_is_gone(client: XapiClient) -> None:
    """A VM that nobody knows is named."""
    for asking in (
        client.set_vm_key("nowhere", USER, "x"),
        client.add_vm_key("nowhere", USER, "x"),
    ):
        with pytest.raises(NotFoundError, match="nowhere"):
            await asking


async def test_xapis_own_code_can_be_asked(client: XapiClient) -> None:
    """A refusal has our code, XAPI's, and its reason."""
    with pytest.raises(PoolError) as caught:
        await client.call("VM.get_record", "OpaqueRef:nothing")

    error = caught.value
    assert (error.code, error.fields["xapi"]) == ("pool-call-failed", "HANDLE_INVALID")
    assert error.fields["reason"] == "HANDLE_INVALID VM OpaqueRef:nothing"


async def test_large_value(pool: LabPool, client: XapiClient) -> None:
    """Rule 7: what XAPI takes is sent; what it would answer with a page is refused beforehand, and nothing changed."""
    uuid = pool.uuid_of("quay")
    await client.set_vm_key(uuid, USER, "x" * 306_000)
    assert len(config(pool)[USER]) == 306_000

    before = pool.core.database.generation
    with pytest.raises(InputError) as caught:
        await client.add_vm_key(uuid, HOST_KEY, "x" * 307_200)
    assert (caught.value.code, pool.core.database.generation) == ("field-invalid", before)


async def test_pool_keys(pool: LabPool, client: XapiClient) -> None:
    """The pool's own other_config is written in the same way."""
    assert await client.add_pool_key(PRIVATE_KEY_SECRET, "1") is True
    assert await client.add_pool_key(PRIVATE_KEY_SECRET, "2") is False
    await client.set_pool_key(PRIVATE_KEY_SECRET, "3")
    assert pool.core.database.get("pool", pool.core.pool)["other_config"][PRIVATE_KEY_SECRET] == "3"
    await client.set_pool_key(PRIVATE_KEY_SECRET, None)
    assert PRIVATE_KEY_SECRET not in pool.core.database.get("pool", pool.core.pool)["other_config"]


async def test_secrets(client: XapiClient) -> None:
    """A secret keeps its value and its mark, shows neither value nor traces in a repr, and goes when told."""
    uuid = await client.create_secret("line one\nline two", {POOL_MARK: "pool-1"})

    secret = await client.read_secret(uuid)
    assert secret is not None
    assert (secret.uuid, secret.value, secret.marks) == (uuid, "line one\nline two", {POOL_MARK: "pool-1"})
    assert "line" not in repr(secret)

    for _ in range(2):
        await client.destroy_secret(uuid)
    assert await client.read_secret(uuid) is None


@pytest.mark.parametrize("role", ["read-only", "vm-admin"])
async def test_missing_rights_are_told_without_the_value(pool: LabPool, role: str) -> None:
    """Rule 10: an account that may not is told which call, and no secret becomes part of an error."""
    async with signed_in(address(pool, user=role)) as poor:
        with pytest.raises(PoolError) as caught:
            await poor.create_secret("open sesame", {POOL_MARK: "p"})

    error = caught.value
    assert (error.code, error.fields["call"]) == ("pool-not-permitted", "secret.create")
    assert "sesame" not in str(error) + repr(error.fields) + repr(error.__cause__)


async def test_only_what_was_synchronised_survives_a_crash(pool: LabPool, client: XapiClient) -> None:
    """Rule 4: an acknowledged write is not durable before `sync_database`."""
    uuid = pool.uuid_of("quay")
    await client.set_vm_key(uuid, HOST_KEY, "AAAA")
    await client.sync_database()
    await client.set_vm_key(uuid, USER, "core")

    await pool.restart(crash=True)

    assert (config(pool).get(HOST_KEY), config(pool).get(USER)) == ("AAAA", None)


async def test_a_batch_is_synchronised_once(pool: LabPool, client: XapiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: many who ask at the same time share one copy of the database, at most one more for late ones."""
    copies = 0
    save = pool.save

    async def counting() -> None:
        nonlocal copies
        copies += 1
        await save()

    monkeypatch.setattr(pool, "save", counting)
    await asyncio.gather(*(client.sync_database() for _ in range(30)))
    assert 1 <= copies <= 2
    await client.sync_database()
    assert copies <= 3


async def test_failed_synchronisation_is_everybodys(pool: LabPool) -> None:
    """Whoever shares a synchronisation that failed is not told that it worked."""
    async with signed_in(address(pool, user="read-only")) as poor:
        outcomes = await asyncio.gather(*(poor.sync_database() for _ in range(3)), return_exceptions=True)

    assert [getattr(outcome, "code", None) for outcome in outcomes] == ["pool-not-permitted"] * 3


@pytest.mark.parametrize("half", ["remove_from_other_config", "add_to_other_config"])
async def test_replacement_is_finished_when_we_are_stopped(
    pool: LabPool, client: XapiClient, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    """A stop in the removal, or between removal and addition, does not lose the key."""
    uuid = pool.uuid_of("quay")
    await client.set_vm_key(uuid, HOST_KEY, "AAAA")
    stuck, go, call, removals = asyncio.Event(), asyncio.Event(), client.call, 0

    async def sticking(method: str, *params: Any, seconds: float | None = None) -> Any:
        nonlocal removals
        removals += "remove_from" in method
        if removals == 1 and method.endswith(half) and not stuck.is_set():
            stuck.set()
            await go.wait()
        return await call(method, *params, seconds=seconds)

    monkeypatch.setattr(client, "call", sticking)
    async with asyncio.TaskGroup() as group:
        replacing = tasks.spawn(group, client.set_vm_key(uuid, HOST_KEY, "BBBB"), "replacement")
        await stuck.wait()
        replacing.cancel()
        go.set()

    assert replacing.cancelled()
    assert config(pool)[HOST_KEY] == "BBBB"
