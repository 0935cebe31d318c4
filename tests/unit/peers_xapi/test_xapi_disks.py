"""Whole disks over HTTP, and what a pool that is none of ours, or means harm, can do about it: little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from roadstead.errors import PoolError
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.disks import Disks
from roadstead.peers.xapi.messages.disks import Disk, device_record, disk_record, machine_record, storage_record
from roadstead.peers.xapi.trust import URL_HOST, Trust
from tests.unit.peers_xapi.hosts import SESSION, Host, Last, Request, bad, good, host, http, identity

MINE = identity(1)
TRUST = Trust(fingerprints={URL_HOST: MINE.fingerprint})
DISK = Disk(ref="OpaqueRef:d", uuid="d", storage="s", size=4096, marks={}, devices=())
Answers = Mapping[str, Any]


def replies(answers: Answers, raw: bytes = b"", session: str = SESSION) -> Callable[[Request], bytes]:
    """A pool that answers calls so, and requests for disks with ``raw``."""

    def reply(request: Request) -> bytes:
        if not request.head.startswith("POST"):
            return Last(raw)
        found = answers.get(request.method, session if "login" in request.method else "")
        return found if isinstance(found, bytes) else good(found)

    return reply


async def opened(served: Host) -> XapiClient:
    """A client that is signed in."""
    client = served.client(TRUST)
    await client.open()
    return client


async def refusal(reply: Callable[[Request], bytes], work: Callable[[Disks], Any]) -> PoolError:
    """What a call of `Disks` raises."""
    async with host(reply, MINE) as served:
        client = await opened(served)
        try:
            with pytest.raises(PoolError) as refused:
                await work(Disks(client))
        finally:
            await client.close()
    return refused.value


async def test_a_disk_is_fetched_with_the_session_in_a_cookie() -> None:
    """Where no log of addresses finds it; what comes is exactly the disk."""
    content = bytes(range(256)) * 16
    async with host(replies({}, http(content)), MINE) as served:
        client = await opened(served)
        assert await Disks(client).read(DISK, "", 1) == content
        await client.close()
    request = next(each for each in served.requests if each.head.startswith("GET"))
    assert f"Cookie: session_id={SESSION}\r\n" in request.head
    assert SESSION not in request.head.splitlines()[0]
    assert len(request.head) < 1024


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (http(bytes(4095)), "pool-call-failed"),
        (http(bytes(4097)), "pool-answer-invalid"),
        (http(bytes(10**7)), "pool-answer-invalid"),
        (http(b"", "302 Found", "location: https://elsewhere/export_raw_vdi\r\n"), "pool-answer-invalid"),
        (http(b"", "500 Internal Server Error"), "pool-answer-invalid"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\nx", "pool-unreachable"),
    ],
    ids=["short", "long", "endless", "elsewhere", "failed", "cut"],
)
async def test_what_is_not_the_disk_is_refused(raw: bytes, code: str) -> None:
    """Neither too little nor too much is taken, and nobody is followed anywhere."""
    assert (await refusal(replies({}, raw), lambda disks: disks.read(DISK, "", 1))).code == code


@pytest.mark.parametrize("address", ["10.0.0.9", "not a host", "\r\nX: y", ""])
async def test_a_host_that_nobody_vouched_for_gets_nothing(address: str) -> None:
    """What the pool names as the address of a host is not believed."""
    answers = {
        "PBD.get_record": {"host": "OpaqueRef:h", "currently_attached": True},
        "pool.get_all_records": {"OpaqueRef:p": {"uuid": "p", "master": "OpaqueRef:other"}},
        "host.get_address": address or "::1%\n",
        "SR.get_record": {"PBDs": ["OpaqueRef:b"]},
    }

    async def work(disks: Disks) -> None:
        found = await disks.host_of(DISK)
        assert found is not None
        await disks.read(DISK, found, 1)

    error = await refusal(replies(answers), work)
    assert error.code in {"pool-certificate-untrusted", "pool-answer-invalid"}


async def test_a_session_that_breaks_out_of_a_cookie_is_not_sent() -> None:
    """It is a text of the pool's, too."""
    for session in ("OpaqueRef:1\r\nX: y", "a; b=c", "ü"):
        error = await refusal(replies({}, http(bytes(4096)), session), lambda disks: disks.read(DISK, "", 1))
        assert (error.code, "cookie" in error.fields["reason"]) == ("pool-answer-invalid", True)


async def test_an_upload_is_over_when_its_task_says_so() -> None:
    """The good answer comes first; a task that failed, or is gone, is a failure, and is removed at the end."""
    for record, reason in (
        ({"status": "failure", "error_info": ["VDI_IO_ERROR", "no"]}, "VDI_IO_ERROR no"),
        ({"status": "cancelled"}, "without a word"),
        (bad("HANDLE_INVALID", "task", "t"), "without a word"),
    ):
        served: list[str] = []

        def reply(request: Request, record: Any = record, served: list[str] = served) -> bytes:
            served.append(request.head.split()[0] if not request.head.startswith("POST") else request.method)
            return replies({"task.create": "OpaqueRef:t", "task.get_record": record}, http(b""))(request)

        error = await refusal(reply, lambda disks: disks.write("OpaqueRef:d", bytes(100_000), "", 1))
        assert error.code == "pool-call-failed"
        assert reason in error.fields["reason"]
        assert served[-2:] == ["task.destroy", "session.logout"]


async def test_a_task_that_never_ends_is_not_waited_for_for_ever() -> None:
    """Whoever waits sets the limit, and can be stopped at any time."""
    answers = {"task.create": "OpaqueRef:t", "task.get_record": {"status": "pending"}}
    async with host(replies(answers, http(b"")), MINE) as served:
        client = await opened(served)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await Disks(client).write("OpaqueRef:d", b"x", "", 1)
        await client.close()
    assert "task.destroy" in [each.method for each in served.requests if each.head.startswith("POST")]


@pytest.mark.parametrize("value", [None, 7, "x", [], [7], {}, {"a": 7}, True, -1, "-5", "9" * 5000])
def test_fields_of_any_type_are_read(value: Any) -> None:
    """As other versions, and other programs, may send them."""
    names = (
        "uuid name_label power_state is_a_template is_a_snapshot is_control_domain VBDs VIFs content_type type SR"
        " virtual_size other_config currently_attached VDI"
    )
    record = dict.fromkeys(names.split(), value)
    assert machine_record("r", record).ref == "r"
    assert storage_record("r", record, host=None).is_for_cds in {True, False}
    assert disk_record("r", record).ref == "r"
    assert device_record("r", record, disk=None).disk is None
