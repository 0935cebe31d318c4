"""What event.from tells, and what it keeps quiet about: every surprise of a real pool, one test each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roadstead.lab.pool.database import DELETIONS_KEPT, DELETIONS_LEFT
from roadstead.lab.pool.server import LabPool
from roadstead.lab.pool.sessions import SESSIONS_PER_ORIGINATOR
from tests.unit.lab.pool_support import Client, Refusal, signed_in

LONG = 15.0
"""A timeout that no test waits for."""


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of one host."""
    async with LabPool(tmp_path / "lab", hosts=1) as running:
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[Client]:
    """A signed-in client."""
    async with signed_in(pool) as made:
        yield made


def told(batch: dict[str, Any]) -> list[tuple[str, str]]:
    """Class and operation of each event."""
    return [(event["class"], event["operation"]) for event in batch["events"]]


async def networks(client: Client, count: int) -> list[str]:
    """Some new networks."""
    return [await client.call("network.create", {"name_label": f"n{number}"}) for number in range(count)]


async def test_beginning_tells_everything_as_new(client: Client) -> None:
    """An empty token brings every living object as `add`, with its record."""
    batch = await client.events(["host", "sr"])

    assert told(batch) == [("host", "add"), ("sr", "add"), ("sr", "add")]
    assert batch["events"][0]["snapshot"]["address"] == "127.88.0.1"
    assert batch["valid_ref_counts"]["sr"] == 2
    assert batch["valid_ref_counts"]["gpu_group"] == 0


async def test_token_has_two_parts_of_twenty_digits(client: Client) -> None:
    """A token is two numbers of twenty digits; without news it comes back unchanged."""
    first = await client.events(["pool"])
    second = await client.events(["pool"], first["token"])

    assert [len(part) for part in first["token"].split(",")] == [20, 20]
    assert second["token"] == first["token"]
    assert second["events"] == []


@pytest.mark.parametrize("token", ["zzz", "1,2,3", "99999999999999999999,0", ","])
async def test_nonsense_token_is_refused(client: Client, token: str) -> None:
    """What is no token is refused by name."""
    assert await client.refused("event.from", ["vm"], token, 0.0) == ["EVENT_FROM_TOKEN_PARSE_FAILURE", token]


@pytest.mark.parametrize("token", ["-5,-5", "0,0", "1,1"])
async def test_short_and_negative_tokens_are_accepted(client: Client, token: str) -> None:
    """Numbers of any length below 64 bits are tokens, negative ones too."""
    assert (await client.events(["pool"], token))["events"]


async def test_token_of_the_future_is_answered_with_silence(client: Client) -> None:
    """A token that the pool has not reached brings nothing, and no error."""
    future = "00000000009999999999,00000000000000000000"
    await networks(client, 1)

    batch = await client.events(["*"], future)

    assert (batch["events"], batch["token"]) == ([], future)


async def test_many_writes_are_one_event_with_the_last_value(client: Client, pool: LabPool) -> None:
    """Between two calls each object is told once."""
    token = (await client.events(["pool"]))["token"]
    for number in range(20):
        await client.call("pool.set_name_label", pool.core.pool, f"name {number}")

    batch = await client.events(["pool"], token)

    assert told(batch) == [("pool", "mod")]
    assert batch["events"][0]["snapshot"]["name_label"] == "name 19"


async def test_same_value_is_no_event(client: Client, pool: LabPool) -> None:
    """Writing the value that is there, or removing a missing key, changes nothing."""
    await client.call("pool.set_name_label", pool.core.pool, "same")
    token = (await client.events(["pool"]))["token"]
    await client.call("pool.set_name_label", pool.core.pool, "same")
    await client.call("pool.remove_from_other_config", pool.core.pool, "missing")

    assert (await client.events(["pool"], token))["events"] == []


async def test_what_came_and_went_is_never_told(client: Client) -> None:
    """An object that was made and destroyed in one gap is not mentioned."""
    token = (await client.events(["network"]))["token"]
    (made,) = await networks(client, 1)
    await client.call("network.destroy", made)

    assert (await client.events(["network"], token))["events"] == []


async def test_change_before_a_deletion_is_not_told(client: Client) -> None:
    """A changed and then destroyed object brings its deletion only, without a record."""
    (made,) = await networks(client, 1)
    token = (await client.events(["network"]))["token"]
    await client.call("network.set_name_label", made, "other")
    await client.call("network.destroy", made)

    batch = await client.events(["network"], token)

    assert told(batch) == [("network", "del")]
    assert "snapshot" not in batch["events"][0]


async def test_change_of_a_new_object_is_told_as_new(client: Client) -> None:
    """An object that was made and changed in one gap comes as `add`, as it is now."""
    token = (await client.events(["network"]))["token"]
    (made,) = await networks(client, 1)
    await client.call("network.set_name_label", made, "other")

    batch = await client.events(["network"], token)

    assert told(batch) == [("network", "add")]
    assert batch["events"][0]["snapshot"]["name_label"] == "other"


async def test_batch_tells_new_then_changed_then_gone(client: Client) -> None:
    """Within an answer: additions, then changes, then deletions."""
    changed, gone = await networks(client, 2)
    token = (await client.events(["network"]))["token"]
    await client.call("network.destroy", gone)
    await client.call("network.set_name_label", changed, "other")
    await networks(client, 1)

    assert [operation for _, operation in told(await client.events(["network"], token))] == ["add", "mod", "del"]


async def test_deletions_get_lost_without_an_error(client: Client, pool: LabPool) -> None:
    """After more deletions than are kept, only the newest are told; the counts give it away."""
    database = pool.core.database
    made = [database.create("network", {}) for _ in range(DELETIONS_KEPT + 1)]
    token = (await client.events(["network"]))["token"]
    for ref in made:
        database.destroy("network", ref)

    batch = await client.events(["network"], token)

    assert told(batch) == [("network", "del")] * DELETIONS_LEFT
    assert batch["valid_ref_counts"]["network"] == len(database.table("network").rows)


async def test_deletions_can_be_lost_on_request(client: Client, pool: LabPool) -> None:
    """A test can make the pool forget its deletions."""
    (made,) = await networks(client, 1)
    token = (await client.events(["network"]))["token"]
    await client.call("network.destroy", made)
    pool.lose_deletions("network")

    assert (await client.events(["network"], token))["events"] == []


@pytest.mark.parametrize("name", ["VM", "vm", "Vm"])
async def test_classes_are_named_in_any_case(client: Client, name: str) -> None:
    """Case does not matter in a subscription; events say the class in lower case."""
    assert {kind for kind, _ in told(await client.events([name]))} == {"vm"}


async def test_single_objects_can_be_subscribed(client: Client, pool: LabPool) -> None:
    """`class/reference` brings that object only."""
    one, other = await networks(client, 2)
    batch = await client.events([f"network/{one}"])
    await client.call("network.set_name_label", other, "changed")

    assert [event["ref"] for event in batch["events"]] == [one]
    assert (await client.events([f"network/{one}"], batch["token"]))["events"] == []
    assert len(told(await client.events([f"network/{one}", "network"]))) == len(
        pool.core.database.table("network").rows
    )


async def test_everything_is_without_sessions_and_secrets(client: Client) -> None:
    """`*` never speaks of sessions and secrets."""
    await client.call("secret.create", {"value": "hush"})

    kinds = {kind for kind, _ in told(await client.events(["*"]))}

    assert {"vm", "host", "pool", "certificate"} <= kinds
    assert not kinds & {"session", "secret"}


@pytest.mark.parametrize("classes", [["nosuch"], [], ["secret"], ["session"]])
async def test_classes_without_events_bring_silence(client: Client, classes: list[str]) -> None:
    """Unknown classes, none, and those without events are no error: nothing comes."""
    await client.call("secret.create", {"value": "hush"})

    assert (await client.events(classes))["events"] == []


async def test_blocked_call_is_answered_by_a_change(client: Client, pool: LabPool) -> None:
    """A call that waits is answered when something changes."""
    token = (await client.events(["vm"]))["token"]

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(client.events(["vm"], token, LONG))
        await waiters(pool)
        await pool.create_vm("new", addresses=())

    assert ("vm", "add") in told(waiting.result())


async def waiters(pool: LabPool, count: int = 1) -> None:
    """Wait until so many calls wait for changes."""
    async with asyncio.timeout(LONG):
        while pool.core.waiting < count:
            await asyncio.sleep(0.005)


async def test_other_changes_do_not_answer_a_blocked_call(client: Client, pool: LabPool) -> None:
    """A change of a class that nobody asked for lets the call wait on."""
    token = (await client.events(["vm"]))["token"]

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(client.events(["vm"], token, LONG))
        await waiters(pool)
        pool.core.database.create("network", {})
        await waiters(pool)
        assert not waiting.done()
        await pool.create_vm("new", addresses=(), running=False)

    assert told(waiting.result()) == [("vm", "add")]


@pytest.mark.parametrize("timeout", [-1.0, 1e9])
async def test_absurd_timeouts_wait(client: Client, pool: LabPool, timeout: float) -> None:
    """A negative or absurd timeout does not return at once: it means a day."""
    token = (await client.events(["vm"]))["token"]

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(client.events(["vm"], token, timeout))
        await waiters(pool)
        await pool.create_vm("new", addresses=(), running=False)

    assert told(waiting.result()) == [("vm", "add")]


async def test_logout_wakes_a_blocked_call(client: Client, pool: LabPool) -> None:
    """Signing out ends the calls that wait in that session."""
    token = (await client.events(["vm"]))["token"]

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(client.refused("event.from", ["vm"], token, LONG))
        await waiters(pool)
        await client.call("session.logout")

    assert waiting.result() == ["SESSION_INVALID", client.session]


async def test_pushed_out_session_wakes_its_call(client: Client, pool: LabPool) -> None:
    """A session that newer ones of its originator push out ends at once, even while it waits."""
    token = (await client.events(["vm"]))["token"]

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(client.refused("event.from", ["vm"], token, LONG))
        await waiters(pool)
        account = pool.core.sessions.find(client.session).account
        for _ in range(SESSIONS_PER_ORIGINATOR):
            pool.core.sessions.open(account, "test", pool.core.master)

    assert waiting.result() == ["SESSION_INVALID", client.session]


async def test_gone_client_waits_no_longer(pool: LabPool) -> None:
    """When a client hangs up, nobody waits on its behalf."""
    async with signed_in(pool) as client:
        token = (await client.events(["vm"]))["token"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.events(["vm"], token, LONG)

    async with asyncio.timeout(LONG):
        while pool.core.waiting:
            await asyncio.sleep(0.005)


async def test_inject_touches_an_object_and_tells_the_token(client: Client, pool: LabPool) -> None:
    """`event.inject` makes an object count as changed and gives a token for what follows."""
    first = (await client.events(["pool"]))["token"]
    token = await client.call("event.inject", "pool", pool.core.pool)

    assert told(await client.events(["pool"], first)) == [("pool", "mod")]
    assert (await client.events(["pool"], token))["events"] == []
    assert await client.refused("event.inject", "VM", "OpaqueRef:x") == ["HANDLE_INVALID", "VM", "OpaqueRef:x"]


async def test_old_way_of_events_is_not_registered(client: Client) -> None:
    """`event.next` says that nobody registered."""
    with pytest.raises(Refusal) as refused:
        await client.call("event.next")

    assert refused.value.reason[0] == "SESSION_NOT_REGISTERED"


async def test_messages_count_apart(client: Client, pool: LabPool) -> None:
    """Messages have the id 0, come first, and move the second part of the token only."""
    uuid = pool.core.database.get("pool", pool.core.pool)["uuid"]
    made = await client.call("message.create", "ALARM", 3, "Pool", uuid, "text")

    batch = await client.events(["message"])
    everything = await client.events(["*"])

    assert batch["token"].startswith("0" * 20 + ",")
    assert batch["token"] != f"{'0' * 20},{'0' * 20}"
    assert (batch["events"][0]["id"], batch["events"][0]["snapshot"]["body"]) == ("0", "text")
    assert everything["events"][0]["class"] == "message"
    assert batch["valid_ref_counts"]["message"] == 0
    await client.call("message.destroy", made)
    assert told(await client.events(["message"], batch["token"])) == [("message", "del")]


async def test_message_that_came_and_went_leaves_its_deletion(client: Client, pool: LabPool) -> None:
    """Unlike objects, a message made and destroyed in one gap brings a lone deletion."""
    token = (await client.events(["message"]))["token"]
    uuid = pool.core.database.get("pool", pool.core.pool)["uuid"]
    await client.call("message.destroy", await client.call("message.create", "ALARM", 3, "Pool", uuid, "text"))

    assert told(await client.events(["message"], token)) == [("message", "del")]


async def test_guest_metrics_change_without_their_vm(client: Client, pool: LabPool) -> None:
    """A new address changes the guest metrics, not the VM."""
    await pool.create_vm("web", addresses=("10.0.0.1",))
    token = (await client.events(["vm", "vm_guest_metrics"]))["token"]
    pool.set_addresses("web", ("10.0.0.2",))

    batch = await client.events(["vm", "vm_guest_metrics"], token)

    assert told(batch) == [("vm_guest_metrics", "mod")]
    assert batch["events"][0]["snapshot"]["networks"] == {"0/ip": "10.0.0.2", "0/ipv4/0": "10.0.0.2"}


async def test_thousands_of_vms_are_told_in_one_answer(client: Client, pool: LabPool) -> None:
    """The first answer holds every VM of a large pool."""
    for number in range(2000):
        pool.core.database.create("VM", {"name_label": f"vm-{number}"})

    batch = await client.events(["vm"])

    assert len(batch["events"]) == batch["valid_ref_counts"]["vm"] == 2002
