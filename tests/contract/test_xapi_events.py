"""What a reader of a pool's events sees, and how it finds out what it did not see."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from roadstead.errors import PoolError
from roadstead.lab.pool.server import LabPool
from roadstead.model import PoolId
from roadstead.peers.xapi import messages
from roadstead.peers.xapi.client import XapiClient
from tests.contract.xapi_pools import CLASSES, PATIENT, address, names, signed_in


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of one host."""
    async with LabPool(tmp_path / "lab", hosts=1) as running:
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[XapiClient]:
    """A client that is signed in."""
    async with signed_in(address(pool)) as opened:
        yield opened


async def test_changes_come_as_events(pool: LabPool, client: XapiClient) -> None:
    """A VM that comes, is renamed and goes: add with its record, mod with the new one, del without."""
    token = (await client.events(CLASSES, "")).token

    uuid = await pool.create_vm("quay", addresses=())
    batch = await client.events(CLASSES, token)
    assert names(batch) == {"quay": "add"}
    pool.rename_vm("quay", "berth")
    batch = await client.events(CLASSES, batch.token)
    assert names(batch) == {"berth": "mod"}
    ref = pool.find(uuid)
    await pool.destroy_vm("berth")
    batch = await client.events(CLASSES, batch.token)
    assert [(event.op, event.snapshot) for event in batch.events if event.ref == ref] == [("del", None)]


async def test_nothing_new_is_an_empty_batch(client: XapiClient) -> None:
    """When nothing happens for a while, the batch is empty and its token good."""
    token = (await client.events(CLASSES, "")).token
    batch = await client.events(CLASSES, token, seconds=0.1)
    assert batch.events == []
    assert (await client.events(CLASSES, batch.token, seconds=0)).events == []


async def test_lost_deletions_show_in_the_counts(pool: LabPool, client: XapiClient) -> None:
    """Rule 2: deletions that the pool forgot come as no event, but as a difference; a new listing tells the truth."""
    for number in range(5):
        await pool.create_vm(f"quay-{number}", addresses=(), running=False)
    batch = await client.events(CLASSES, "")
    held = {event.ref for event in batch.events if event.cls == "vm"}
    assert batch.counts["vm"] == len(held)

    for number in range(4):
        await pool.destroy_vm(f"quay-{number}")
    pool.lose_deletions()
    pool.rename_vm("quay-4", "last")
    batch = await client.events(CLASSES, batch.token)
    assert "del" not in {event.op for event in batch.events}
    assert batch.counts["vm"] == len(held) - 4

    listed = await client.list_all("vm")
    assert len(listed) == batch.counts["vm"]
    assert listed.keys() < held


async def test_events_hold_every_class_that_we_read(client: XapiClient) -> None:
    """Each class can be listed, by the name that events give it; there is one pool."""
    batch = await client.events(tuple(messages.CLASSES), "")

    for cls in messages.CLASSES:
        listed = await client.list_all(cls)
        assert listed.keys() == {event.ref for event in batch.events if event.cls == cls}
        assert len(listed) == batch.counts[cls]
    ref, snapshot = await client.pool()
    assert (await client.list_all("pool")) == {ref: snapshot}


async def test_bad_token_is_told(client: XapiClient) -> None:
    """A token that is none is XAPI's own error."""
    await client.events(CLASSES, "")
    with pytest.raises(PoolError) as caught:
        await client.events(CLASSES, "nonsense")
    assert caught.value.fields["xapi"] == "EVENT_FROM_TOKEN_PARSE_FAILURE"


async def test_addresses_go_with_the_power(pool: LabPool, client: XapiClient) -> None:
    """Rule 9: after a stop the pool still shows the addresses, beside the power that tells what they mean. After a
    start there is another object.
    """
    uuid = await pool.create_vm("quay", addresses=("10.1.0.5", "fd00::5"))
    seen = []
    for act in (None, pool.stop_vm, pool.start_vm):
        if act is not None:
            await act("quay")
        (snapshot,) = [vm for vm in (await client.list_all("vm")).values() if vm["uuid"] == uuid]
        ref = messages.reference(snapshot, "guest_metrics")
        metrics = (await client.list_all("vm_guest_metrics"))[ref or ""]
        vm = messages.vm_record(snapshot, pool=PoolId("p"), as_of=datetime.now(UTC))
        seen.append((ref, messages.addresses(metrics), vm.running))

    addresses = ("10.1.0.5", "fd00::5")
    assert [shown for _, *shown in seen] == [[addresses, True], [addresses, False], [addresses, True]]
    assert seen[0][0] == seen[1][0] != seen[2][0]


async def test_records_of_a_whole_pool(pool: LabPool, client: XapiClient) -> None:
    """Pool, host and VM as our records; templates, snapshots and control domains are told apart."""
    uuid = await pool.create_vm("quay", addresses=("10.1.0.5",), user="harbourmaster")
    pool.decorate()
    pool_id = PoolId(messages.string((await client.pool())[1], "uuid"))
    now = datetime.now(UTC)

    hosts = {
        ref: messages.host_record(snapshot, pool=pool_id, as_of=now)
        for ref, snapshot in (await client.list_all("host")).items()
    }
    vms = [
        messages.vm_record(snapshot, pool=pool_id, as_of=now)
        for snapshot in (await client.list_all("vm")).values()
        if messages.is_real_vm(snapshot)
    ]

    assert [(host.address, host.enabled) for host in hosts.values()] == [("127.88.0.1", True)]
    assert [(vm.id, vm.name, vm.enabled, vm.running) for vm in vms] == [(uuid, "quay", True, True)]
    assert vms[0].settings["xscontainer-username"] == "harbourmaster"


async def test_read_only_account_may_watch(pool: LabPool) -> None:
    """Rule 10: watching needs no more than the right to read."""
    async with signed_in(address(pool, user="read-only"), PATIENT) as reader:
        assert (await reader.events(CLASSES, "")).events
        assert await reader.list_all("vm")
