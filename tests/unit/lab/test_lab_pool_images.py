"""Disks over HTTP: who may send and fetch them, and what a host says when it goes wrong."""

from __future__ import annotations

import asyncio
import base64
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roadstead.lab.pool.contents import DISKS
from roadstead.lab.pool.server import LabPool
from tests.unit.lab.pool_support import Client, signed_in

SIZE = 4 << 20
LENGTH = "content-length: {}"


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of two hosts."""
    async with LabPool(tmp_path / "lab", hosts=2) as running:
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[Client]:
    """A signed-in client."""
    async with signed_in(pool) as made:
        yield made


@pytest.fixture
async def vdi(client: Client) -> Any:
    """An empty disk of 4 MiB."""
    (sr,) = await client.call("SR.get_by_name_label", DISKS)
    fields = {"virtual_size": SIZE, "type": "user", "sharable": False, "read_only": False, "other_config": {}}
    return await client.call("VDI.create", {"SR": sr, **fields})


async def exchange(
    pool: LabPool, verb: str, target: str, *headers: str, body: bytes = b"", host: int = 1
) -> tuple[str, bytes]:
    """One request on a connection of its own: the head of the answer, and all that follows until its end."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = pool.urls[host - 1].removeprefix("https://").rpartition(":")[0]
    reader, writer = await asyncio.open_connection(address, pool.port, ssl=context)
    try:
        writer.write("\r\n".join((f"{verb} {target} HTTP/1.1", "host: lab", *headers, "", "")).encode())
        writer.write(body)
        head, _, rest = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return head.decode(), rest


async def put(client: Client, pool: LabPool, vdi: str, body: bytes, query: str = "") -> tuple[str, bytes]:
    """Send `body` to a disk."""
    target = f"/import_raw_vdi?session_id={client.session}&vdi={vdi}{query}"
    return await exchange(pool, "PUT", target, LENGTH.format(len(body)), body=body)


async def get(client: Client, pool: LabPool, vdi: str, query: str = "", host: int = 1) -> tuple[str, bytes]:
    """Fetch a disk."""
    target = f"/export_raw_vdi?session_id={client.session}&vdi={vdi}{query}"
    return await exchange(pool, "GET", target, host=host)


async def test_what_was_sent_is_fetched(client: Client, pool: LabPool, vdi: str) -> None:
    """A disk keeps what was sent, by reference or uuid; the rest of it is zeros; a task tells that it worked."""
    uuid = await client.call("VDI.get_uuid", vdi)
    task = await client.call("task.create", "mine", "")
    head, rest = await put(client, pool, vdi, b"config" * 1000, f"&task_id={task}")

    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert f"task-id: {task}" in head
    assert rest == b""
    assert await client.call("task.get_status", task) == "success"
    head, content = await get(client, pool, uuid)
    assert content == b"config" * 1000 + bytes(SIZE - 6000)
    assert "content-length" not in head
    assert "content-type: application/octet-stream" in head
    assert f'content-disposition: attachment; filename="{uuid}.raw"' in head
    assert (await get(client, pool, vdi, host=2))[1] == content


async def test_two_may_fetch_a_disk_at_once(client: Client, pool: LabPool, vdi: str) -> None:
    """Readers of a disk do not keep each other out; while they read, nobody removes it."""
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(get(client, pool, vdi)) for _ in range(2)]
    assert [len(fetched.result()[1]) for fetched in both] == [SIZE, SIZE]
    with pool.core.images.using(vdi, writes=False):
        assert await client.refused("VDI.destroy", vdi) == ["VDI_IN_USE", vdi, "destroy"]
        assert b"VDI_IN_USE" in (await put(client, pool, vdi, b"x"))[1]


async def test_good_answer_comes_before_the_failure(client: Client, pool: LabPool, vdi: str) -> None:
    """An image that is too large is answered with 200, then with 500 in the same stream; the task tells it."""
    task = await client.call("task.create", "mine", "")
    head, rest = await put(client, pool, vdi, bytes(SIZE + 1), f"&task_id={task}")

    assert head.startswith("HTTP/1.1 200 OK")
    assert rest.startswith(b"HTTP/1.1 500 Internal Server Error")
    record = await client.call("task.get_record", task)
    assert (record["status"], record["error_info"][0]) == ("failure", "INTERNAL_ERROR")


async def test_client_that_goes_away_fails_its_task(client: Client, pool: LabPool, vdi: str) -> None:
    """A body that ends early leaves a failed task and a disk that can be used again."""
    task = await client.call("task.create", "mine", "")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.88.0.1", pool.port, ssl=context)
    target = f"/import_raw_vdi?session_id={client.session}&vdi={vdi}&task_id={task}"
    writer.write(f"PUT {target} HTTP/1.1\r\ncontent-length: 1000\r\n\r\nhalf".encode())
    await writer.drain()
    await asyncio.sleep(0.1)
    assert await client.refused("VDI.destroy", vdi) == ["VDI_IN_USE", vdi, "destroy"]
    writer.close()
    while await client.call("task.get_status", task) == "pending":
        await asyncio.sleep(0.02)
    assert await client.call("task.get_status", task) == "failure"
    await client.call("VDI.destroy", vdi)


async def test_disk_is_made_for_what_is_sent(client: Client, pool: LabPool) -> None:
    """Without a disk, one of the body's length is made on the storage that is named."""
    (sr,) = await client.call("SR.get_by_name_label", DISKS)
    for name, value in (("sr_id", sr), ("sr_uuid", await client.call("SR.get_uuid", sr))):
        target = f"/import_raw_vdi?session_id={client.session}&{name}={value}"
        head, _ = await exchange(pool, "PUT", target, LENGTH.format(3), body=b"abc")
        assert head.startswith("HTTP/1.1 200 OK")
    assert len(await client.call("SR.get_VDIs", sr)) == 2
    nothing = f"/import_raw_vdi?session_id={client.session}"
    assert (await exchange(pool, "PUT", nothing, LENGTH.format(3), body=b"abc"))[0].startswith("HTTP/1.1 500")


async def test_chunks_go_where_they_belong(client: Client, pool: LabPool, vdi: str) -> None:
    """The form `chunked` names the place of each piece, and ends with an empty one."""
    pieces = ((4096, b"second"), (0, b"first"), (0, b""))
    body = b"".join(struct.pack("<QI", where, len(data)) + data for where, data in pieces)
    await put(client, pool, vdi, body, "&chunked=true")

    _, content = await get(client, pool, vdi)
    assert (content[:5], content[4096:4102]) == (b"first", b"second")


async def test_who_has_no_session_may_use_a_password(client: Client, pool: LabPool, vdi: str) -> None:
    """A cookie and Basic authentication open the handlers, too; without either they are closed."""
    secret = base64.b64encode(f"root:{pool.password}".encode()).decode()
    wrong = base64.b64encode(b"root:wrong").decode()
    target = f"/export_raw_vdi?vdi={vdi}"

    async def status(*headers: str, query: str = "") -> str:
        return (await exchange(pool, "GET", target + query, *headers))[0]

    assert (await status(f"cookie: other=1; session_id={client.session}")).startswith("HTTP/1.1 200")
    assert (await status(f"authorization: Basic {secret}")).startswith("HTTP/1.1 200")
    for refused in (
        await status(),
        await status(query="&session_id=OpaqueRef:none"),
        await status(f"authorization: Basic {wrong}"),
        await status("authorization: Basic ???"),
    ):
        assert refused.startswith("HTTP/1.1 401 Unauthorised")
        assert 'www-authenticate: Basic realm="get_export_raw_vdi"' in refused


async def test_role_below_vm_admin_is_forbidden(pool: LabPool, vdi: str) -> None:
    """A vm-operator neither sends nor fetches disks."""
    async with signed_in(pool, "vm-operator") as client:
        assert (await put(client, pool, vdi, b"x"))[0].startswith("HTTP/1.1 403 Forbidden")
        assert (await get(client, pool, vdi))[0].startswith("HTTP/1.1 403 Forbidden")


async def test_what_cannot_be_sent(client: Client, pool: LabPool, vdi: str) -> None:
    """Unknown disks and formats, a transfer encoding, a missing length, and a disk that a running VM uses."""
    target = f"/import_raw_vdi?session_id={client.session}&vdi={vdi}"
    head, rest = await put(client, pool, "nosuch", b"x")
    assert head.startswith("HTTP/1.1 500")
    assert b"Db_exn.Read_missing_uuid" in rest
    assert (await put(client, pool, vdi, b"x", "&format=floppy"))[0].startswith("HTTP/1.0 404")
    assert (await put(client, pool, vdi, b"x", "&format=vhd"))[0].startswith("HTTP/1.1 500")
    assert (await exchange(pool, "PUT", target, "transfer-encoding: chunked"))[0].startswith("HTTP/1.1 404")
    assert b"End_of_file" in (await exchange(pool, "PUT", target))[1]
    assert (await exchange(pool, "POST", target, LENGTH.format(0)))[0].startswith("HTTP/1.1 500")

    await pool.create_vm("web-1", addresses=())
    qos = {"qos_algorithm_type": "", "qos_algorithm_params": {}}
    record = {"VM": pool.find("web-1"), "VDI": vdi, "userdevice": "0", "bootable": False, "mode": "RW", "type": "Disk"}
    vbd = await client.call("VBD.create", {**record, "empty": False, "other_config": {}, **qos})
    await client.call("VBD.plug", vbd)
    head, rest = await put(client, pool, vdi, b"x")
    assert head.startswith("HTTP/1.1 500")
    assert b"VDI_IN_USE" in rest


async def test_host_without_the_storage_names_another(client: Client, pool: LabPool, vdi: str) -> None:
    """A host that does not see the disk sends the client to one that does, with the same query."""
    sr = await client.call("VDI.get_SR", vdi)
    for pbd in await client.call("SR.get_PBDs", sr):
        if await client.call("PBD.get_host", pbd) == pool.host_ref(1):
            await client.call("PBD.unplug", pbd)
    head, _ = await put(client, pool, vdi, b"x")

    assert head.startswith("HTTP/1.1 302 Found")
    assert f"location: {pool.urls[1]}/import_raw_vdi?session_id={client.session}&vdi={vdi}" in head


async def test_disks_outlive_the_lab(tmp_path: Path) -> None:
    """What was sent to a disk is there again in the next run."""
    async with LabPool(tmp_path / "kept", hosts=1) as pool, signed_in(pool) as client:
        (sr,) = await client.call("SR.get_by_name_label", DISKS)
        target = f"/import_raw_vdi?session_id={client.session}&sr_id={sr}"
        await exchange(pool, "PUT", target, LENGTH.format(4), body=b"kept")
        (vdi,) = await client.call("VDI.get_all")
    async with LabPool(tmp_path / "kept", hosts=1) as pool, signed_in(pool) as client:
        assert (await get(client, pool, vdi))[1].startswith(b"kept")
