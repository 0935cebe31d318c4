"""Messages of the pool: found by object and time, bounded, kept through a crash, told in events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roadstead.lab.pool import messages
from roadstead.lab.pool.server import LabPool
from tests.unit.lab.pool_support import Client, Refusal, signed_in

LONG_AGO = "20200101T00:00:00Z"
FAR_OFF = "20990101T00:00:00Z"


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool with a VM."""
    async with LabPool(tmp_path / "lab", hosts=1) as running:
        await running.create_vm("web-1", addresses=())
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[Client]:
    """A signed-in client."""
    async with signed_in(pool) as made:
        yield made


async def _about(client: Client, pool: LabPool, name: str = "G", body: str = "") -> Any:
    return await client.call("message.create", name, 3, "VM", pool.uuid_of("web-1"), body)


async def test_messages_are_found_by_object_and_time(client: Client, pool: LabPool) -> None:
    """`get` asks for an object's messages, `get_since` for all of a time, both the newest first."""
    uuid = pool.uuid_of("web-1")
    first, second = await _about(client, pool, "first"), await _about(client, pool, "second")
    other = await client.call("message.create", "other", 5, "Pool", (await _pool_record(client))["uuid"], "")

    assert list(await client.call("message.get", "VM", uuid, LONG_AGO)) == [second, first]
    assert await client.call("message.get", "VM", uuid, FAR_OFF) == {}
    assert list(await client.call("message.get_since", "2020-01-01T00:00:00Z")) == [other, second, first]
    assert await client.call("message.get_since", FAR_OFF) == {}
    assert list(await client.call("message.get_all_records")) == [other, second, first]
    assert set(await client.call("message.get_all")) == {first, second, other}
    record = await client.call("message.get_record", first)
    assert await client.call("message.get_by_uuid", record["uuid"]) == first
    assert (record["name"], record["cls"], record["obj_uuid"], record["priority"]) == ("first", "VM", uuid, 3)


async def _pool_record(client: Client) -> Any:
    return next(iter((await client.call("pool.get_all_records")).values()))


async def test_expression_is_not_read(client: Client, pool: LabPool) -> None:
    """`get_all_records_where` gives all messages, whatever the expression says."""
    made = await _about(client, pool)

    assert list(await client.call("message.get_all_records_where", "nonsense")) == [made]


async def test_wrong_objects_and_classes_are_refused(client: Client) -> None:
    """An unknown object, a class of which there is none, and a class that does not exist."""
    assert await client.refused("message.create", "G", 3, "VM", "zz", "") == ["UUID_INVALID", "VM", "zz"]
    assert await client.refused("message.create", "G", 3, "VMPP", "zz", "") == ["UUID_INVALID", "VMPP", "zz"]
    assert await client.refused("message.create", "G", 3, "VM", "zz", "a\x01b") == ["INVALID_VALUE", "UTF8 expected"]
    assert await client.refused("message.get", "VM", "zz", LONG_AGO) == ["UUID_INVALID"]
    assert await client.refused("message.get", "Nope", "zz", LONG_AGO) == [
        "INTERNAL_ERROR",
        'Failure("Unknown tag/contents")',
    ]
    assert await client.refused("message.get_name", "OpaqueRef:x") == ["MESSAGE_METHOD_UNKNOWN", "message.get_name"]


async def test_oldest_message_goes(client: Client, pool: LabPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message more than are kept, and the oldest is gone, with an event."""
    monkeypatch.setattr(messages, "MESSAGES_KEPT", 2)
    first = await _about(client, pool)
    token = (await client.events(["message"]))["token"]
    others = [await _about(client, pool) for _ in range(2)]

    assert await client.call("message.get_all") == others
    batch = await client.events(["message"], token)
    assert [(event["operation"], event["ref"]) for event in batch["events"]] == [
        ("del", first),
        *(("add", ref) for ref in others),
    ]


async def test_many_messages_go_at_once(client: Client, pool: LabPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """`destroy_many` removes each; of many deletions only the newest half is remembered."""
    monkeypatch.setattr(messages, "DELETIONS_KEPT", 4)
    monkeypatch.setattr(messages, "DELETIONS_LEFT", 2)
    made = [await _about(client, pool) for _ in range(5)]
    await client.call("message.destroy_many", made)

    events = (await client.events(["message"]))["events"]
    assert [(event["operation"], event["ref"]) for event in events] == [("del", ref) for ref in made[-2:]]


async def test_messages_outlive_a_crash(pool: LabPool) -> None:
    """Messages are files: a crash that loses the newest writes of the database loses no message."""
    await pool.save()
    async with signed_in(pool) as client:
        made = await _about(client, pool, "kept", "é <b>&")
        vm = pool.find("web-1")
        await client.call("VM.set_name_label", vm, "lost")
    await pool.restart(crash=True)
    async with signed_in(pool) as client:
        assert (await client.call("message.get_record", made))["body"] == "é <b>&"
        assert await client.call("VM.get_name_label", vm) == "web-1"
        batch = await client.events(["message"])
    assert [(event["ref"], event["operation"]) for event in batch["events"]] == [(made, "add")]
    kept = await asyncio.to_thread(pool.folder.load)
    assert kept is not None
    assert made in kept.database.tables["message"]


async def test_messages_need_a_pool_operator(pool: LabPool) -> None:
    """Everybody reads messages; making and removing them takes a pool-operator."""
    async with signed_in(pool, "vm-power-admin") as client:
        assert await client.call("message.get_all") == []
        with pytest.raises(Refusal) as refused:
            await _about(client, pool)
    assert refused.value.reason[:2] == ["RBAC_PERMISSION_DENIED", "message.create"]
