"""The pool's outages on request: restarts, crashes, another master, dead hosts, certificates; and what it keeps."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from roadstead.errors import StartError
from roadstead.lab.pool.mishaps import Mishap
from roadstead.lab.pool.server import LabPool
from tests.unit.lab.pool_support import Client, PlainGuests, Refusal, signed_in

LONG = 15.0


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of three hosts."""
    async with LabPool(tmp_path / "lab") as running:
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[Client]:
    """A client of the first master, signed in."""
    async with signed_in(pool) as made:
        yield made


async def shown(pool: LabPool, host: int) -> str:
    """The fingerprint of the certificate that a host shows to a new connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(f"127.88.0.{host}", pool.port, ssl=context)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return hashlib.sha256(certificate).digest().hex(":")


async def is_refused(pool: LabPool, host: int) -> bool:
    """Whether a host takes no connections."""
    try:
        await shown(pool, host)
    except OSError:
        return True
    return False


# Restarts.


async def test_restart_ends_sessions_and_makes_everything_new(client: Client, pool: LabPool) -> None:
    """After a restart sessions are invalid, and an old token brings every object as new."""
    token = (await client.events(["host"]))["token"]
    await pool.restart()

    assert await client.refused("VM.get_all") == ["SESSION_INVALID", client.session]
    await client.sign_in(pool)
    assert [event["operation"] for event in (await client.events(["host"], token))["events"]] == ["add"] * 3


async def test_restart_cuts_a_blocked_call(client: Client, pool: LabPool) -> None:
    """A call that waits for events ends without an answer when the pool restarts."""
    token = (await client.events(["vm"]))["token"]

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(cut_off(client, token))
        while not pool.core.waiting:
            await asyncio.sleep(0.005)
        await pool.restart()

    assert waiting.result()


async def cut_off(client: Client, token: str) -> bool:
    """Whether a long call ends without an answer."""
    try:
        await client.events(["vm"], token, LONG)
    except aiohttp.ClientError:
        return True
    return False


async def test_restarting_pool_ends_connections(client: Client, pool: LabPool) -> None:
    """While it is down, connections are ended at once; afterwards signing in works."""
    async with asyncio.TaskGroup() as group:
        group.create_task(pool.restart(down_s=0.3))
        await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientError):
            await client.bare("session.login_with_password", "root", pool.password)

    await client.sign_in(pool)


async def test_crash_loses_what_was_not_synchronised(client: Client, pool: LabPool) -> None:
    """After a crash the last writes are gone, what `pool.sync_database` saved is there; tokens are of the future."""
    ours = pool.core.pool
    await client.call("pool.set_name_label", ours, "saved")
    await client.call("pool.sync_database")
    await client.call("pool.set_name_label", ours, "lost")
    for number in range(5):
        await client.call("pool.set_name_description", ours, str(number))
    token = (await client.events(["*"]))["token"]
    await pool.restart(crash=True)
    await client.sign_in(pool)

    assert await client.call("pool.get_name_label", ours) == "saved"
    assert (await client.events(["*"], token))["events"] == []


async def test_invalid_sessions_leave_connections_open(client: Client, pool: LabPool) -> None:
    """Sessions can end while the connections stay."""
    pool.end_sessions()

    assert await client.refused("VM.get_all") == ["SESSION_INVALID", client.session]


# Masters.


async def test_master_moves_in_good_order(client: Client, pool: LabPool) -> None:
    """A new master is named; the old one points to it, nothing is lost, sessions are."""
    ours = pool.core.pool
    await client.call("pool.set_name_label", ours, "kept")
    await pool.move_master(2)

    assert pool.url == pool.urls[1]
    assert await client.refused("VM.get_all") == ["SESSION_INVALID", client.session]
    with pytest.raises(Refusal) as refused:
        await client.sign_in(pool)
    assert refused.value.reason == ["HOST_IS_SLAVE", "127.88.0.2"]
    async with signed_in(pool) as other:
        assert await other.call("pool.get_name_label", ours) == "kept"


async def test_lost_master_takes_its_last_writes_along(client: Client, pool: LabPool) -> None:
    """When the master dies, another goes on with the last copy and a lower generation; the dead one refuses."""
    ours = pool.core.pool
    await client.call("pool.set_name_label", ours, "lost")
    token = (await client.events(["*"]))["token"]
    await pool.move_master(3, lost=True, behind=1000)

    assert await is_refused(pool, 1)
    async with signed_in(pool) as other:
        assert await other.call("pool.get_name_label", ours) == "lab"
        assert (await other.events(["*"], token))["events"] == []
        assert (await other.events(["*"]))["token"] < token
    await pool.revive_host(1)
    with pytest.raises(Refusal, match="HOST_IS_SLAVE"):
        await client.sign_in(pool)


async def test_member_becomes_master_in_an_emergency(pool: LabPool) -> None:
    """While the master is dead, members still point to it, until one of them is told to take over."""
    await pool.kill_host(1)
    async with signed_in(pool, host=2) as member:
        with pytest.raises(Refusal, match=r"HOST_IS_SLAVE.*127\.88\.0\.1"):
            await member.sign_in(pool)
        member.session = await member.bare("session.slave_local_login_with_password", "root", pool.password)
        await member.call("pool.emergency_transition_to_master")
        async with asyncio.timeout(LONG):
            while pool.master != 2:
                await asyncio.sleep(0.01)
    async with signed_in(pool) as client:
        assert await client.call("pool.get_master", pool.core.pool) == pool.host_ref(2)


async def test_master_is_designated_by_a_call(client: Client, pool: LabPool) -> None:
    """`pool.designate_new_master` is answered, and then the master moves."""
    assert await client.call("pool.designate_new_master", pool.host_ref(3)) == ""
    async with asyncio.timeout(LONG):
        while pool.master != 3:
            await asyncio.sleep(0.01)

    assert not await is_refused(pool, 1)


# Certificates.


async def test_every_host_has_its_own_certificate(pool: LabPool) -> None:
    """Each host shows the certificate whose fingerprint the pool tells."""
    assert len(set(pool.fingerprints)) == 3
    assert [await shown(pool, host) for host in (1, 2, 3)] == list(pool.fingerprints)
    assert pool.fingerprint == pool.fingerprints[0]


@pytest.mark.parametrize("announced", [True, False])
async def test_certificate_changes(client: Client, pool: LabPool, *, announced: bool) -> None:
    """A changed certificate is shown at once; the pool's database tells it only when that is wanted."""
    old = pool.fingerprints[1]
    await pool.change_certificate(2, announced=announced)
    records = (await client.call("Certificate.get_all_records")).values()
    told = {record["fingerprint_sha256"] for record in records if record["type"] == "host"}

    assert await shown(pool, 2) == pool.fingerprints[1] != old
    assert (pool.fingerprints[1] in told, old in told) == (announced, not announced)


# What is kept.


async def test_same_folder_is_the_same_pool(tmp_path: Path) -> None:
    """A pool that starts again on its folder has the same objects, password, certificates and guests."""
    folder, first_guests, guests = tmp_path / "lab", PlainGuests(), PlainGuests()
    async with LabPool(folder, guests=first_guests) as pool:
        uuid = await pool.create_vm("web-1")
        await pool.create_vm("off-2", running=False)
        before = (pool.password, pool.fingerprints, uuid, dict(pool.core.vm(pool.find("web-1"))))
        generation = pool.core.database.generation
        assert pool.is_new
    async with LabPool(folder, hosts=1, guests=guests) as pool:
        after = (pool.password, pool.fingerprints, pool.uuid_of("web-1"), dict(pool.core.vm(pool.find("web-1"))))

        assert after == before
        assert pool.core.database.generation > generation
        assert not pool.is_new
        assert [guest.name for guest in guests.made.values()] == ["web-1"]
        assert pool.announced("web-1") == ["10.9.0.1", "fd00::1"]
    assert first_guests.is_closed


async def test_same_seed_is_the_same_pool_elsewhere(tmp_path: Path) -> None:
    """Two pools of one seed have the same uuids, of two seeds others."""
    found = []
    for number, seed in enumerate((1, 1, 2)):
        async with LabPool(tmp_path / str(number), hosts=1, seed=seed) as pool:
            found.append(pool.core.database.get("pool", pool.core.pool)["uuid"])

    assert found[0] == found[1] != found[2]


async def test_secrets_of_the_lab_are_its_owners_alone(tmp_path: Path) -> None:
    """Folder and files with secrets can be read by their owner only."""
    async with LabPool(tmp_path / "lab", hosts=1) as pool:
        files = [pool.folder.password_file, pool.folder.certificate(1), pool.folder.path / "pool.json"]

        assert stat.S_IMODE(pool.folder.path.stat().st_mode) == 0o700
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
        assert pool.folder.password_file.read_text().strip() == pool.password


async def test_folder_belongs_to_one_lab(pool: LabPool) -> None:
    """A second lab on a folder that is in use is refused, and the first one goes on."""
    with pytest.raises(StartError) as refused:
        async with LabPool(pool.folder.path):
            pytest.fail("two labs on one folder")

    assert refused.value.code == "lab-state-taken"
    async with signed_in(pool) as client:
        assert await client.call("VM.get_all")


async def test_port_in_use_is_named(tmp_path: Path, pool: LabPool) -> None:
    """A port that another program has is refused by name; the guests are closed again."""
    guests = PlainGuests()
    with pytest.raises(StartError) as refused:
        async with LabPool(tmp_path / "other", port=pool.port, guests=guests):
            pytest.fail("two labs on one port")

    assert (refused.value.code, refused.value.fields["address"]) == ("port-taken", f"127.88.0.1:{pool.port}")
    assert guests.is_closed


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}'])
async def test_damaged_state_is_refused(tmp_path: Path, content: str) -> None:
    """A state file that cannot be read stops the start and is left as it is."""
    (tmp_path / "pool.json").write_text(content)

    with pytest.raises(StartError) as refused:
        async with LabPool(tmp_path):
            pytest.fail("started on a damaged file")

    assert refused.value.code == "state-unusable"
    assert (tmp_path / "pool.json").read_text() == content


async def test_unusable_folder_is_refused(tmp_path: Path) -> None:
    """A state folder that cannot be made is refused by name."""
    (tmp_path / "file").touch()

    with pytest.raises(StartError) as refused:
        async with LabPool(tmp_path / "file" / "lab"):
            pytest.fail("started without a folder")

    assert refused.value.code == "state-unusable"


async def test_state_holds_only_what_differs(tmp_path: Path) -> None:
    """Fields with their first value are not written: the file of a large pool stays small."""
    async with LabPool(tmp_path, hosts=1) as pool:
        await pool.create_vm("web-1", addresses=("10.0.0.1",))
        await pool.save()
        kept = json.loads((tmp_path / "pool.json").read_text())["tables"]["VM"][pool.find("web-1")]

    assert kept["name_label"] == "web-1"
    assert "PV_kernel" not in kept


# Single calls.


async def test_one_call_fails_on_request(client: Client, pool: LabPool) -> None:
    """Refused it changed nothing; lost it was done, without an answer; the call after it is well."""
    pool.core.mishaps.prepare("network.create", Mishap.REFUSED)
    pool.core.mishaps.prepare("network.create", Mishap.LOST)
    record = {"name_label": "made", "other_config": {}}
    assert (await client.refused("network.create", record))[0] == "INTERNAL_ERROR"
    assert await client.call("network.get_by_name_label", "made") == []
    with pytest.raises(aiohttp.ClientError):
        await client.call("network.create", record)
    assert len(await client.call("network.get_by_name_label", "made")) == 1
    await client.call("network.create", record)
    assert pool.core.mishaps.outstanding == []
