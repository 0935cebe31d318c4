"""The life of the lab's VMs, through calls and by hand, and what their guests see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from roadstead.errors import AmbiguousError, ConflictError, InputError, NotFoundError
from roadstead.lab.pool.machines import networks
from roadstead.lab.pool.server import LabPool
from tests.unit.lab.pool_support import Client, PlainGuests, signed_in


@pytest.fixture
async def guests() -> PlainGuests:
    """Guests that remember what was done to them."""
    return PlainGuests()


@pytest.fixture
async def pool(tmp_path: Path, guests: PlainGuests) -> AsyncIterator[LabPool]:
    """A pool of two hosts with a running VM."""
    async with LabPool(tmp_path / "lab", hosts=2, guests=guests) as running:
        await running.create_vm("web-1")
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[Client]:
    """A signed-in client."""
    async with signed_in(pool) as made:
        yield made


async def addresses(client: Client, vm: str) -> dict[str, str]:
    """What the VM's guest metrics say of its networks."""
    metrics = await client.call("VM.get_guest_metrics", vm)
    told: dict[str, str] = await client.call("VM_guest_metrics.get_networks", metrics)
    return told


def test_addresses_are_announced_card_by_card() -> None:
    """The first number of a key is the network card; an IPv6 address has no `ip` entry."""
    assert networks(("10.0.0.1", "fd00::1")) == {"0/ip": "10.0.0.1", "0/ipv4/0": "10.0.0.1", "1/ipv6/0": "fd00::1"}


async def test_new_vm_is_prepared_as_an_operator_would(client: Client, pool: LabPool, guests: PlainGuests) -> None:
    """A lab VM is enabled, names its account and port, has a card for each address, and has booted."""
    record = await client.call("VM.get_record", pool.find("web-1"))

    assert record["other_config"] == {
        "xscontainer-monitor": "True",
        "xscontainer-username": "core",
        "roadstead-ssh-port": "2222",
    }
    assert record["power_state"] == "Running"
    assert len(record["VIFs"]) == 2
    assert await addresses(client, pool.find("web-1")) == networks(("10.9.0.1", "fd00::1"))
    assert guests.made[1].done == ["start"]


async def test_port_22_needs_no_key(pool: LabPool, guests: PlainGuests) -> None:
    """Only a guest with another port than 22 gets the key that names it."""
    guests.port = 22
    await pool.create_vm("plain")

    assert "roadstead-ssh-port" not in pool.core.vm(pool.find("plain"))["other_config"]


async def test_keys_are_prepared_once(client: Client, pool: LabPool) -> None:
    """A key that somebody changed is not set again at the next boot."""
    vm = pool.find("web-1")
    await client.call("VM.remove_from_other_config", vm, "xscontainer-username")
    await pool.stop_vm("web-1")
    await pool.start_vm("web-1")

    assert "xscontainer-username" not in pool.core.vm(vm)["other_config"]


async def test_guest_metrics_are_new_at_each_boot(client: Client, pool: LabPool) -> None:
    """The old addresses stay readable while a VM is off; the next start brings another object."""
    vm = pool.find("web-1")
    old = await client.call("VM.get_guest_metrics", vm)
    await client.call("VM.hard_shutdown", vm)
    assert await client.call("VM.get_guest_metrics", vm) == old
    assert await addresses(client, vm)

    await pool.start_vm("web-1")

    assert await client.call("VM.get_guest_metrics", vm) != old
    assert await client.refused("VM_guest_metrics.get_record", old) == ["HANDLE_INVALID", "VM_guest_metrics", old]


async def test_stopped_vm_has_no_host(client: Client, pool: LabPool, guests: PlainGuests) -> None:
    """A VM that was stopped resides nowhere, and its guest is off before the call is answered."""
    vm = pool.find("web-1")
    await client.call("VM.clean_shutdown", vm)
    record = await client.call("VM.get_record", vm)

    assert (record["power_state"], record["resident_on"], record["domid"]) == ("Halted", "OpaqueRef:NULL", -1)
    assert guests.made[1].done[-1] == "stop"


async def test_vm_without_tools_lacks_features(client: Client) -> None:
    """A VM that nobody prepared cannot be shut down cleanly or migrated, and announces nothing."""
    template = (await client.call("VM.get_by_name_label", "Debian 12 (template)"))[0]
    vm = await client.call("VM.clone", template, "bare")
    await client.call("VM.provision", vm)
    await client.call("VM.start", vm, False, False)

    assert await client.refused("VM.clean_shutdown", vm) == ["VM_LACKS_FEATURE", vm]
    assert await addresses(client, vm) == {}
    assert (await client.call("VM.get_other_config", vm))["base_template_name"] == "Debian 12 (template)"


async def test_migration_changes_the_host_only(client: Client, pool: LabPool, guests: PlainGuests) -> None:
    """A migrated VM runs on another host; its guest does not notice, its metrics stay the same object."""
    vm = pool.find("web-1")
    before = await client.call("VM.get_record", vm)
    target = next(ref for ref in await client.call("host.get_all") if ref != before["resident_on"])
    await client.call("VM.pool_migrate", vm, target, {"live": "true"})
    after = await client.call("VM.get_record", vm)

    assert after["resident_on"] == target
    assert after["guest_metrics"] == before["guest_metrics"]
    assert guests.made[1].done == ["start"]
    assert vm in await client.call("host.get_resident_VMs", target)


async def test_second_operation_is_refused(pool: LabPool, guests: PlainGuests, client: Client) -> None:
    """While one operation is under way in a VM, another is refused."""
    vm, stopping = pool.find("web-1"), asyncio.Event()

    async def slow_stop() -> None:
        await stopping.wait()

    guests.made[1].stop = slow_stop  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:
        group.create_task(client.call("VM.hard_shutdown", vm))
        while vm not in pool.core.busy:
            await asyncio.sleep(0.005)
        refused = await client.refused("VM.hard_reboot", vm)
        stopping.set()

    assert refused[:3] == ["OTHER_OPERATION_IN_PROGRESS", "VM", vm]


async def test_blocked_operation_is_refused(client: Client, pool: LabPool) -> None:
    """An operation that the VM's record blocks is refused with its reason."""
    vm = pool.find("web-1")
    await client.call("VM.set_blocked_operations", vm, {"hard_shutdown": "precious"})

    assert await client.refused("VM.hard_shutdown", vm) == ["OPERATION_BLOCKED", vm, "precious"]


async def test_reboot_boots_the_guest_again(client: Client, pool: LabPool, guests: PlainGuests) -> None:
    """A reboot stops and starts the guest on the same host."""
    vm = pool.find("web-1")
    host = await client.call("VM.get_resident_on", vm)
    await client.call("VM.clean_reboot", vm)
    await pool.machines.booted(vm)

    assert guests.made[1].done == ["start", "stop", "start"]
    assert await client.call("VM.get_resident_on", vm) == host


async def test_suspended_vm_resumes(client: Client, pool: LabPool) -> None:
    """A suspended VM has no host and comes back."""
    vm = pool.find("web-1")
    await client.call("VM.suspend", vm)
    assert await client.call("VM.get_resident_on", vm) == "OpaqueRef:NULL"
    assert await client.call("VM.get_power_state", vm) == "Suspended"
    await client.call("VM.resume", vm, False, False)

    assert await client.call("VM.get_power_state", vm) == "Running"


async def test_destroyed_vm_leaves_nothing(client: Client, pool: LabPool, guests: PlainGuests) -> None:
    """With a VM go its cards, its metrics and its guest."""
    vm = pool.find("web-1")
    record = await client.call("VM.get_record", vm)
    await client.call("VM.hard_shutdown", vm)
    await client.call("VM.destroy", vm)

    assert await client.call("VIF.get_all") == []
    assert record["metrics"] not in await client.call("VM_metrics.get_all")
    assert await client.call("VM_guest_metrics.get_all") == []
    assert guests.made[1].done[-1] == "destroy"


async def test_clone_has_all_keys_and_a_guest_of_its_own(client: Client, pool: LabPool, guests: PlainGuests) -> None:
    """A clone keeps every key, the host key's pin too, but is another guest."""
    vm = pool.find("web-1")
    await client.call("VM.add_to_other_config", vm, "xscontainer-sshhostkey", "pin")
    await client.call("VM.hard_shutdown", vm)
    copy = await client.call("VM.clone", vm, "web-2")
    await pool.start_vm("web-2")

    assert (await client.call("VM.get_other_config", copy))["xscontainer-sshhostkey"] == "pin"
    assert guests.made[2].name == "web-2"
    assert (await addresses(client, copy))["0/ip"] == "10.9.0.2"


async def test_reverting_to_a_snapshot_loses_later_keys(client: Client, pool: LabPool) -> None:
    """Keys that were set after a snapshot vanish when the VM goes back to it."""
    vm = pool.find("web-1")
    snapshot = await client.call("VM.snapshot", vm, "before")
    await client.call("VM.add_to_other_config", vm, "xscontainer-sshhostkey", "pin")
    await client.call("VM.revert", snapshot)

    assert "xscontainer-sshhostkey" not in await client.call("VM.get_other_config", vm)
    assert await client.call("VM.get_power_state", vm) == "Halted"
    assert await client.call("VM.get_snapshots", vm) == [snapshot]


async def test_vm_of_somebody_else_is_as_given(client: Client, pool: LabPool) -> None:
    """A VM with given addresses announces them and gets no guest."""
    await pool.create_vm("mine", addresses=("10.1.1.1", "not an address"), user="bob", enabled=False)
    vm = pool.find("mine")

    assert (await addresses(client, vm))["1/ip"] == "not an address"
    assert await client.call("VM.get_other_config", vm) == {"xscontainer-username": "bob"}


async def test_guest_that_does_not_boot_leaves_its_vm_off(client: Client, pool: LabPool, guests: PlainGuests) -> None:
    """A guest that cannot boot is told and disturbs no other; its VM is off and announces nothing."""
    guests.broken = frozenset({2})
    with pytest.raises(ConflictError, match="no such machine"):
        await pool.create_vm("broken")
    await pool.create_vm("fine")

    assert await addresses(client, pool.find("broken")) == {}
    assert pool.core.vm(pool.find("broken"))["power_state"] == "Halted"
    assert list(pool.machines.failures) == [pool.uuid_of("broken")]
    assert (await addresses(client, pool.find("fine")))["0/ip"] == "10.9.0.3"


# By hand.


async def test_vms_are_named_by_name_or_uuid(pool: LabPool) -> None:
    """Name and uuid find a VM; templates and control domains are none."""
    uuid = pool.uuid_of("web-1")

    assert pool.find(uuid) == pool.find("web-1")
    with pytest.raises(NotFoundError):
        pool.find("Debian 12 (template)")


async def test_ambiguous_names_list_their_candidates(pool: LabPool) -> None:
    """A name that two VMs have is refused with the uuids of both."""
    await pool.create_vm("web-1", running=False)

    with pytest.raises(AmbiguousError) as refused:
        pool.find("web-1")
    assert pool.uuid_of(refused.value.fields["candidates"].split(", ")[0])


async def test_life_by_hand(pool: LabPool, guests: PlainGuests) -> None:
    """Stop, start, migrate, rename, announce and destroy work by name."""
    await pool.stop_vm("web-1")
    await pool.start_vm("web-1", host=2)
    assert pool.core.vm(pool.find("web-1"))["resident_on"] == pool.host_ref(2)
    await pool.migrate_vm("web-1")
    assert pool.core.vm(pool.find("web-1"))["resident_on"] == pool.host_ref(1)
    pool.rename_vm("web-1", "new name")
    pool.set_addresses("new name", ("10.0.0.9",))
    assert pool.announced("new name") == ["10.0.0.9"]
    await pool.new_host_key("new name")
    assert (await pool.truth())[pool.uuid_of("new name")]["containers"]
    await pool.destroy_vm("new name")

    assert guests.made[1].done == ["start", "stop", "start", "new_host_key", "stop", "destroy"]
    assert await pool.truth() == {}


async def test_mistakes_by_hand_are_told(pool: LabPool) -> None:
    """What makes no sense is refused by name and changes nothing."""
    await pool.create_vm("mine", addresses=("10.0.0.1",))

    with pytest.raises(ConflictError, match="VM_BAD_POWER_STATE"):
        await pool.start_vm("web-1")
    with pytest.raises(NotFoundError):
        await pool.migrate_vm("web-1", host=9)
    with pytest.raises(InputError):
        pool.rename_vm("web-1", "")
    with pytest.raises(ConflictError):
        await pool.new_host_key("mine")


async def test_template_snapshot_and_control_domains_are_there_to_be_filtered(pool: LabPool) -> None:
    """The pool holds VMs that are none: a template, a snapshot, and a control domain on each host."""
    pool.decorate()
    records = [record for _, record in pool.core.database.all("VM")]

    assert sum(record["is_control_domain"] for record in records) == 2
    assert sum(record["is_a_snapshot"] for record in records) == 1
    assert sum(record["is_a_template"] and not record["is_a_snapshot"] for record in records) == 1


async def _say_key(client: Client, pool: LabPool, public: str) -> None:
    """Let the pool have this public key, as the end of a rotation does."""
    name = "xscontainer-public-secret-uuid"
    secret = await client.call("secret.create", {"value": public})
    await client.call("pool.remove_from_other_config", pool.core.pool, name)
    await client.call("pool.add_to_other_config", pool.core.pool, name, await client.call("secret.get_uuid", secret))


async def test_a_vm_that_is_made_after_a_rotation_lets_the_pool_in(
    client: Client, pool: LabPool, guests: PlainGuests
) -> None:
    """Made anew or as a clone; one that was there keeps the lines that it has."""
    await _say_key(client, pool, "ssh-rsa one c")
    await _say_key(client, pool, "ssh-rsa two c")

    await pool.create_vm("web-2")
    await pool.stop_vm("web-1")
    await client.call("VM.clone", pool.find("web-1"), "web-3")
    await pool.start_vm("web-3")

    assert "admit ssh-rsa two c" not in guests.made[1].done
    assert all("admit ssh-rsa two c" in guests.made[number].done for number in (2, 3))


async def test_a_guest_that_was_changed_over_keeps_its_new_line(tmp_path: Path) -> None:
    """The same folder is the same pool again: what let the pool in lets it in after a restart of the lab."""
    guests = PlainGuests()
    async with LabPool(tmp_path, hosts=1, guests=guests) as pool, signed_in(pool) as client:
        await pool.create_vm("web-1")
        await _say_key(client, pool, "ssh-rsa one c")
        await pool.admit("web-1", "ssh-rsa one c")
        await _say_key(client, pool, "ssh-rsa two c")
    again = PlainGuests()
    async with LabPool(tmp_path, hosts=1, guests=again):
        assert "admit ssh-rsa two c" in again.made[1].done


async def test_a_vm_is_made_raw(client: Client, pool: LabPool, guests: PlainGuests) -> None:
    """Its guest is told, what the pool holds of us goes, and after a restart of the lab it is raw still."""
    await pool.admit("web-1", "ssh-rsa AAAA one")
    await pool.make_raw("web-1")

    assert guests.made[1].done[-1] == "make_raw"
    record = await client.call("VM.get_record", pool.find("web-1"))
    assert record["other_config"] == {"roadstead-ssh-port": "2222"}
    machine = pool.machines.known[pool.uuid_of("web-1")]
    assert (machine.raw, machine.admitted) == (True, ())
