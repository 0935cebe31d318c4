"""`host.call_plugin`: plugins run as XAPI runs them, with a session and a socket to the host's XAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from roadstead.errors import InputError
from roadstead.lab.pool import sessions
from roadstead.lab.pool.server import LabPool
from tests.unit.lab.pool_support import Client, signed_in

XAPI = '''#!/usr/bin/python3
"""Asks the host's XAPI, with the session that it was given, as a plugin that imports nothing of the host's."""
import http.client, os, socket, sys, xmlrpc.client

class Transport(xmlrpc.client.Transport):
    def make_connection(self, host):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(os.environ["ROADSTEAD_XAPI_SOCKET"])
        return connection

(session, arguments), name = xmlrpc.client.loads(sys.argv[1])
server = xmlrpc.client.ServerProxy("http://localhost/", transport=Transport())
answer = getattr(server, name)(session, *arguments.values())
value = answer["Value"] if answer["Status"] == "Success" else answer["ErrorDescription"]
print(xmlrpc.client.dumps(({"Status": "Success", "Value": str(value)},), methodresponse=True))
'''
LABPLUG = Path(__file__).parents[2] / "data" / "xapi" / "labplug"
FAILED = "XENAPI_PLUGIN_FAILURE"


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LabPool]:
    """A pool of two hosts that gives up one that does not answer soon."""
    async with LabPool(tmp_path / "lab", hosts=2) as running:
        running.core.contact_seconds = 0.1
        await running.core.plugins.install(LABPLUG)
        yield running


@pytest.fixture
async def client(pool: LabPool) -> AsyncIterator[Client]:
    """A signed-in client."""
    async with signed_in(pool) as made:
        yield made


def write(pool: LabPool, text: str, mode: int = 0o755) -> None:
    """Put the plugin `mine` into the pool's folder."""
    file = pool.folder.plugins / "mine"
    file.write_text(text)
    file.chmod(mode)


async def run(client: Client, pool: LabPool, function: str, host: int = 1, *, name: str = "mine", **given: str) -> Any:
    """What a plugin answers."""
    return await client.call("host.call_plugin", pool.host_ref(host), name, function, given)


async def refusal(client: Client, pool: LabPool, function: str = "f", *, name: str = "mine", **given: str) -> list[str]:
    """How a call of a plugin fails."""
    return await client.refused("host.call_plugin", pool.host_ref(1), name, function, given)


async def test_plugin_gets_the_call_as_one_argument(client: Client, pool: LabPool) -> None:
    """argv[1] is an XML-RPC call with the session and a struct of the arguments."""
    told = await run(client, pool, "argv", name="labplug", a="é <&>", b="")

    assert told == (
        f"<methodCall><methodName>argv</methodName><params><param><value>{client.session}</value></param>"
        "<param><value><struct><member><name>a</name><value>é &lt;&amp;&gt;</value></member>"
        "<member><name>b</name><value></value></member></struct></value></param></params></methodCall>"
    )


async def test_master_gives_the_callers_session_a_member_its_own(client: Client, pool: LabPool) -> None:
    """A plugin on the master acts as its caller; on a member it has a superuser's session, for as long as it runs."""
    write(pool, XAPI)
    before = len(pool.core.sessions)

    assert await run(client, pool, "who", name="labplug") == "'root'"
    assert await run(client, pool, "who", 2, name="labplug") == "''"
    async with signed_in(pool, "pool-admin") as admin:
        assert await run(admin, pool, "session.get_is_local_superuser", session=admin.session) == "False"
    assert await run(client, pool, "pool.get_all", 2) == f"['{pool.core.pool}']"
    assert len(pool.core.sessions) == before + 1


async def test_member_answers_its_plugins_but_nobody_else(client: Client, pool: LabPool) -> None:
    """A member's socket serves reads and writes for its plugin; with a caller's session it names the master."""
    write(pool, XAPI)
    vm = await pool.create_vm("web-1", addresses=())
    ref = pool.find("web-1")

    assert await run(client, pool, "VM.get_by_uuid", 2, uuid=vm) == ref
    await run(client, pool, "VM.add_to_other_config", 2, ref=ref, key="k", value="v")
    assert (await client.call("VM.get_other_config", ref))["k"] == "v"


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("#!/bin/sh\necho out; echo log >&2; exit 3\n", ["non-zero exit", "out\n", "log\n"]),
        ("#!/bin/sh\nkill -9 $$\n", ["signal: SIGKILL", "", ""]),
        ("#!/bin/sh\necho garbage\n", ["failed to parse plugin output", "garbage\n", "expected root element line 1"]),
        ("#!/bin/sh\necho '<a><b></a>'\n", ["failed to parse plugin output", "<a><b></a>\n", "mismatched tag line 1"]),
        ("#!/bin/sh\necho '<a/>'\n", ["unexpected XMLRPC result", "<a/>\n"]),
        ("no program at all", ["non-zero exit", "", ""]),
        ("#!/no/such/interpreter\n", ["non-zero exit", "", ""]),
    ],
)
async def test_broken_plugins_fail_as_on_a_real_host(
    client: Client, pool: LabPool, text: str, params: list[str]
) -> None:
    """Exit codes, signals and garbage each have their shape of failure, with what the plugin wrote."""
    write(pool, text)

    assert await refusal(client, pool) == [FAILED, *params]


async def test_fault_and_foreign_answers(client: Client, pool: LabPool) -> None:
    """An XML-RPC fault is named; a response without a status is unexpected."""
    write(
        pool,
        "#!/usr/bin/python3\nimport sys, xmlrpc.client as x\n"
        "answer = x.Fault(7, 'why') if 'fault' in sys.argv[1] else ('plain',)\n"
        "print(x.dumps(answer, methodresponse=True))\n",
    )

    assert await refusal(client, pool, "fault") == [FAILED, "fault", "7", "why"]
    assert (await refusal(client, pool, "plain"))[:2] == [FAILED, "unexpected XMLRPC result"]


async def test_file_that_may_not_run_fails(client: Client, pool: LabPool) -> None:
    """A plugin without the mode to execute fails like one that exits; so does a folder."""
    write(pool, "#!/bin/sh\n", mode=0o644)
    (pool.folder.plugins / "folder").mkdir()

    assert await refusal(client, pool) == [FAILED, "non-zero exit", "", ""]
    assert await refusal(client, pool, name="folder") == [FAILED, "non-zero exit", "", ""]


@pytest.mark.parametrize("name", ["nosuch", "../plugins/mine", ".", "..", "", "folder/mine"])
async def test_names_are_no_paths(client: Client, pool: LabPool, name: str) -> None:
    """Only what the folder itself lists is a plugin."""
    write(pool, "#!/bin/sh\n")

    assert await refusal(client, pool, name=name) == ["XENAPI_MISSING_PLUGIN", name]


async def test_arguments_end_where_the_kernel_ends(client: Client, pool: LabPool) -> None:
    """128 KiB of arguments as they are passed are too many; answers may be large."""
    assert len(await run(client, pool, "echo", name="labplug", a="x" * 130_000)) > 130_000
    too_many = await refusal(client, pool, "echo", name="labplug", a="&" * 30_000)
    assert too_many == [FAILED, "non-zero exit", "", ""]
    assert await refusal(client, pool, "echo", name="labplug", a="nul\0") == [FAILED, "non-zero exit", "", ""]
    assert len(await run(client, pool, "big", name="labplug", n="5000000")) == 5_000_000


async def test_hosts_that_cannot_be_reached(client: Client, pool: LabPool) -> None:
    """No host of that name is offline at once; a dead member is given up after a long while."""
    assert await client.refused("host.call_plugin", "OpaqueRef:NULL", "labplug", "who", {}) == [
        "HOST_OFFLINE",
        "OpaqueRef:NULL",
    ]
    await pool.kill_host(2)
    member = pool.host_ref(2)
    assert await client.refused("host.call_plugin", member, "labplug", "who", {}) == ["CANNOT_CONTACT_HOST", member]
    await pool.revive_host(2)
    assert await run(client, pool, "who", 2, name="labplug") == "''"


async def test_calling_plugins_needs_a_pool_admin(pool: LabPool) -> None:
    """Nobody below pool-admin runs programs on hosts."""
    async with signed_in(pool, "pool-operator") as client:
        refused = await refusal(client, pool, name="labplug")
    assert refused == [
        "RBAC_PERMISSION_DENIED",
        "host.call_plugin",
        "No permission in user session. (Roles with this permission: pool-admin)",
    ]


async def _finished(client: Client, task: str) -> Any:
    while (record := await client.call("task.get_record", task))["status"] == "pending":
        await asyncio.sleep(0.02)
    return record


async def test_task_tells_how_the_plugin_ended(client: Client, pool: LabPool) -> None:
    """`Async.host.call_plugin` returns a task at once, which cannot be cancelled, and tells the outcome."""
    master = pool.host_ref(1)
    task = await client.call("Async.host.call_plugin", master, "labplug", "slow", {"t": "0.3"})
    await client.call("task.cancel", task)
    assert await client.call("task.get_status", task) == "pending"
    record = await _finished(client, task)
    assert (record["status"], record["result"]) == ("success", "<value>done</value>")

    await client.call("task.destroy", task)
    assert await client.refused("task.get_status", task) == ["HANDLE_INVALID", "task", task]

    failed = await _finished(client, await client.call("Async.host.call_plugin", master, "labplug", "fail", {}))
    assert (failed["status"], failed["error_info"]) == ("failure", ["MY_CODE", "a", "b"])


async def test_task_under_way_is_not_destroyed(client: Client) -> None:
    """A task that a client made stays when it is destroyed before it was given an outcome."""
    task = await client.call("task.create", "mine", "of a test")
    await client.call("task.destroy", task)
    assert await client.refused("task.set_status", task, "done") == [
        "INTERNAL_ERROR",
        'Failure("Unknown tag/contents")',
    ]
    await client.call("task.set_progress", task, 0.5)
    await client.call("task.set_status", task, "success")
    await client.call("task.destroy", task)
    assert await client.refused("task.destroy", task) == ["HANDLE_INVALID", "task", task]


async def test_session_is_spared_while_its_plugin_runs(
    client: Client, pool: LabPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer sessions of the originator push out others, not the one whose plugin runs."""
    monkeypatch.setattr(sessions, "SESSIONS_PER_ORIGINATOR", 2)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(client, pool, "slow", name="labplug", t="0.5"))
        await asyncio.sleep(0.2)
        for _ in range(4):
            await client.bare("session.login_with_password", "root", pool.password, "1.0", "test")
    assert running.result() == "done"


@pytest.mark.limit(10)
async def test_lab_that_ends_takes_its_plugins_along(tmp_path: Path) -> None:
    """Neither a plugin that runs for long nor a host that does not answer holds up the lab's end."""
    async with LabPool(tmp_path / "lab", hosts=2) as pool, signed_in(pool) as client:
        write(pool, '#!/bin/sh\necho $$ >"$0.pid"; exec sleep 60\n')
        await client.call("Async.host.call_plugin", pool.host_ref(1), "mine", "f", {})
        await pool.kill_host(2)
        await client.call("Async.host.call_plugin", pool.host_ref(2), "mine", "f", {})
        while not (pool.folder.plugins / "mine.pid").exists():
            await asyncio.sleep(0.02)


async def test_plugin_file_that_is_not_there_is_named(pool: LabPool, tmp_path: Path) -> None:
    """Installing a file that cannot be read says which."""
    with pytest.raises(InputError) as refused:
        await pool.core.plugins.install(tmp_path / "none")
    assert "none" in str(refused.value.fields["reason"])
