"""The lab's control socket: what `roadstead lab do`, tests and benchmarks ask of a running lab.

One request a connection: a line of JSON `{"verb", "vm", "value"}`, answered by one line, `{"result": …}` or
`{"code": …, "fields": …}`.  The socket lies in the state folder, which is its owner's alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from roadstead.errors import ConflictError, InputError, RoadsteadError
from roadstead.kit import tasks
from roadstead.lab import groups
from roadstead.lab.orders import Order
from roadstead.lab.pool import moving
from roadstead.lab.pool.failures import Failure
from roadstead.lab.pool.http import Mood
from roadstead.lab.pool.schema import SCHEMAS
from roadstead.lab.pool.server import LabPool
from roadstead.model import parse_address

REQUEST_S = 10.0
REQUEST_BYTES = 64 * 1024
CONTAINERS = 20
"""How many a VM gets for which none is said."""

Run = Callable[[LabPool, Order], object | Awaitable[object]]


async def _start(pool: LabPool, order: Order) -> object:
    await pool.start_vm(order.vm, order.host())
    return _shown(pool, order.vm)


async def _stop(pool: LabPool, order: Order) -> object:
    await pool.stop_vm(order.vm)
    return _shown(pool, order.vm)


async def _migrate(pool: LabPool, order: Order) -> object:
    await pool.migrate_vm(order.vm, order.host())
    return _shown(pool, order.vm)


async def _bring(pool: LabPool, order: Order) -> object:
    if pool.neighbour is None:
        raise ConflictError("lab-without-second-pool")
    return _shown(pool, await moving.bring(pool, pool.neighbour, order.vm))


async def _admit(pool: LabPool, order: Order) -> object:
    keys = pool.machines.public_keys()
    if not keys:
        raise ConflictError("lab-without-pool-key")
    await pool.admit(order.vm, keys[0])
    return _shown(pool, order.vm)


async def _run_cd(pool: LabPool, order: Order) -> object:
    await pool.run_cd(order.vm)
    return _shown(pool, order.vm)


def _rename(pool: LabPool, order: Order) -> object:
    uuid = pool.uuid_of(order.vm)
    pool.rename_vm(order.vm, order.value or "")
    return _shown(pool, uuid)


async def _create(pool: LabPool, order: Order) -> object:
    count = order.count()
    return _shown(pool, await pool.create_vm(order.vm, containers=CONTAINERS if count is None else count))


async def _destroy(pool: LabPool, order: Order) -> object:
    shown = _shown(pool, order.vm)
    await pool.destroy_vm(order.vm)
    return {**shown, "state": "destroyed"}


def _address(pool: LabPool, order: Order) -> object:
    addresses = tuple(filter(None, (order.value or "").split(",")))
    for address in addresses:
        if parse_address(address) is None:
            raise InputError("field-invalid", field="ADDRESS", reason=f"{address} is no IP address")
    pool.set_addresses(order.vm, addresses)
    return _shown(pool, order.vm)


def _config(pool: LabPool, order: Order) -> object:
    if order.value is None:
        return dict(pool.core.vm(pool.find(order.vm))["other_config"])
    key, given, value = order.value.partition("=")
    return pool.set_key(order.vm, key, value if given else None)


async def _truth(pool: LabPool, _: Order) -> object:
    return await pool.truth()


async def _host_key(pool: LabPool, order: Order) -> object:
    await pool.new_host_key(order.vm)
    return _shown(pool, order.vm)


async def _raw(pool: LabPool, order: Order) -> object:
    await pool.make_raw(order.vm)
    return _shown(pool, order.vm)


async def _door(pool: LabPool, order: Order) -> object:
    return {"words": await pool.door(order.vm)}


async def _rate(pool: LabPool, order: Order) -> object:
    rate = order.number("EVENTS/S")
    await pool.machines.set_rate(rate)
    return {"rate": rate}


async def _master(pool: LabPool, order: Order) -> object:
    await pool.move_master(int(order.number("HOST")), lost=order.value == "lost")
    return {"url": pool.url, "fingerprint": pool.fingerprint}


async def _restart(pool: LabPool, order: Order) -> object:
    await pool.restart(crash="crash" in (order.vm, order.value))
    return {"url": pool.url}


def _sessions(pool: LabPool, _: Order) -> object:
    ended = pool.core.sessions.originators()
    pool.end_sessions()
    return {"ended": ended}


async def _certificate(pool: LabPool, order: Order) -> object:
    host = int(order.number("HOST"))
    pool.host_ref(host)
    await pool.change_certificate(host)
    return {"fingerprint": pool.fingerprints[host - 1]}


def _mood(pool: LabPool, order: Order) -> object:
    known = [mood.value for mood in Mood]
    if order.vm not in known:
        raise InputError("field-invalid", field="MOOD", reason=f"{order.vm} is not one of {', '.join(known)}")
    host = order.host()
    if host is not None:
        pool.host_ref(host)
    pool.set_mood(Mood(order.vm), host)
    return {"mood": order.vm, "host": host}


async def _host(pool: LabPool, order: Order) -> object:
    host = int(order.number("HOST"))
    pool.host_ref(host)
    if order.value not in ("up", "down"):
        raise InputError("field-invalid", field="up|down", reason="a host can be up or down")
    await (pool.revive_host(host) if order.value == "up" else pool.kill_host(host))
    return {"host": host, "state": order.value}


def _lose_deletions(pool: LabPool, order: Order) -> object:
    if order.vm not in SCHEMAS:
        raise InputError("field-invalid", field="CLASS", reason=f"there is no class {order.vm}")
    pool.lose_deletions(order.vm)
    return {"class": order.vm}


VERBS: dict[str, Run] = {
    "start": _start,
    "stop": _stop,
    "migrate": _migrate,
    "rename": _rename,
    "create": _create,
    "destroy": _destroy,
    "address": _address,
    "config": _config,
    "truth": _truth,
    "bring": _bring,
    "admit": _admit,
    "run-cd": _run_cd,
    "host-key": _host_key,
    "raw": _raw,
    "door": _door,
    "rate": _rate,
    "master": _master,
    "restart": _restart,
    "sessions": _sessions,
    "certificate": _certificate,
    "mood": _mood,
    "host": _host,
    "lose-deletions": _lose_deletions,
}
"""What does each verb of `verbs.VERBS`."""

PASSING = frozenset({"truth", "door", "rate", "mood", "host"})
"""The verbs that change nothing which is kept; what the others did survives a lab that is killed."""


def _shown(pool: LabPool, name: str) -> dict[str, object]:
    """One VM as answers show it."""
    vm = pool.core.vm(pool.find(name))
    return {
        "uuid": vm["uuid"],
        "name": vm["name_label"],
        "state": vm["power_state"].lower(),
        "host": pool.host_number(str(vm["resident_on"])),
        "addresses": pool.announced(name),
    }


@asynccontextmanager
async def listening(pool: LabPool) -> AsyncIterator[None]:
    """Answer orders for `pool` for the length of the block."""
    path = pool.folder.socket
    async with groups.plain_group() as group:
        running: set[asyncio.Task[None]] = set()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = tasks.spawn(group, _converse(pool, reader, writer), "lab order")
            running.add(task)
            task.add_done_callback(running.discard)

        # A socket that a killed lab left is ours: the folder's lock is held.
        await asyncio.to_thread(path.unlink, missing_ok=True)
        server = await asyncio.start_unix_server(begin, path, limit=REQUEST_BYTES)
        await asyncio.to_thread(path.chmod, 0o600)
        try:
            yield
        finally:
            server.close()
            await tasks.stop(*running)
            await asyncio.to_thread(path.unlink, missing_ok=True)


async def _converse(pool: LabPool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError):
        async with asyncio.timeout(REQUEST_S):
            line = await reader.readline()
        writer.write(msgspec.json.encode(await _outcome(pool, line)) + b"\n")
        await writer.drain()
    writer.close()


async def _outcome(pool: LabPool, line: bytes) -> dict[str, object]:
    try:
        order = msgspec.json.decode(line, type=Order)
        return {"result": await obey(pool, order)}
    except msgspec.MsgspecError as error:
        return {"code": "field-invalid", "fields": {"field": "order", "reason": str(error)}}
    except RoadsteadError as error:
        return {"code": error.code, "fields": error.fields}
    except Failure as failure:
        return {"code": "lab-order-refused", "fields": {"call": "the order", "reason": failure.code}}


async def obey(pool: LabPool, order: Order) -> object:
    """Do what is asked, and keep what came of it; `RoadsteadError` when it cannot be done."""
    order.check()
    try:
        result = VERBS[order.verb](pool, order)
        return await result if inspect.isawaitable(result) else result
    finally:
        if order.verb not in PASSING:
            await pool.save()
