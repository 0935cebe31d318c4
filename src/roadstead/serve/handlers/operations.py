"""Asking engines: operations, everything an engine knows of a container, what containers take of their guests and what
they write.
"""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from roadstead.inventory import names
from roadstead.kit import clocks, moments
from roadstead.model import STREAMS, LogStreamName, LogWish
from roadstead.serve import answers, logs
from roadstead.serve.bodies import NewOperation
from roadstead.serve.calls import Call
from roadstead.serve.handlers.inventory import existing
from roadstead.serve.handlers.parameters import EnginePart, Names, OperationName, VmPart

Wait = Annotated[float, Query(ge=0, le=30, description="Seconds to wait for the end of the operation.")]

LogStream = Annotated[LogStreamName | None, Query(description="Only this stream; without one both.")]
Tail = Annotated[int | None, Query(ge=0, le=10**9, description="Only the last lines, so many; without it all.")]
Since = Annotated[str | None, Query(description="Only from then on: a time (RFC 3339), or how long ago (`90s`, `2h`).")]
Until = Annotated[str | None, Query(description="Only up to then, written the same.")]
Stamped = Annotated[bool, Query(description="With the time of each entry.")]
Follow = Annotated[bool, Query(description="Go on with what the container writes, until it ends.")]
Exact = Annotated[bool, Query(description="With every byte: entries have `data` (Base64) where `text` differs.")]


async def inspect_container(call: Call, vm: VmPart, engine_id: EnginePart) -> Response:
    """Return everything the engine knows of a container, as the engine says it. It may hold secrets."""
    inspected = await call.commands.vms.inspect(existing(call, vm, engine_id).id)
    return Response(inspected, media_type="application/json")


async def show_usage(call: Call, name: Names) -> Response:
    """Tell what the containers that names name take of their guests: CPU, memory, network, disk, processes. Each engine
    is asked twice, about a second apart. Of several containers only those that run are asked.
    """
    told = await call.commands.usages.of(names.find_containers(call.store, name))
    return answers.pieces(answers.listed(told), call.store.number)


async def read_logs(  # noqa: PLR0913 - one for each part of the query
    call: Call,
    vm: VmPart,
    engine_id: EnginePart,
    stream: LogStream = None,
    tail: Tail = None,
    since: Since = None,
    until: Until = None,
    *,
    timestamps: Stamped = False,
    follow: Follow = False,
    exact: Exact = False,
) -> Response:
    """Read what a container has written, an entry on each line: a line of its, or part of a long one. They are written
    as they come, and a reader that is slow makes the engine wait. What is followed has an empty line after 15 s of
    silence, and goes on when a VM that was lost is back: a `notice` tells of either. When the reading ends before the
    logs do, the last entry is a `problem` that tells why.
    """
    now = clocks.now()
    wish = LogWish(
        streams=(stream,) if stream is not None else STREAMS,
        tail=tail,
        since=moments.read("since", since, now),
        until=moments.read("until", until, now),
        timestamps=timestamps,
        follow=follow,
        exact=exact,
    )
    reading = await call.commands.logs.open(existing(call, vm, engine_id), wish)
    return logs.LogAnswer(reading, call.services.readers)


def start_operation(call: Call, body: NewOperation) -> Response:
    """Begin an action on one or many containers; the operation tells what becomes of each."""
    operation = call.commands.operations.start(body.action, body.targets, call.caller.name)
    return answers.record(operation, 202)


def list_operations(call: Call) -> Response:
    """List the operations, the newest first; finished ones are kept for a while."""
    return answers.pieces(answers.listed(call.commands.operations.all(), batch_records=1), call.store.number)


async def show_operation(call: Call, operation: OperationName, wait: Wait = 0.0) -> Response:
    """Show an operation, at its end or after `wait` seconds."""
    operations = call.commands.operations
    return answers.record(await operations.wait(operation, wait) if wait else operations.get(operation))


def cancel_operation(call: Call, operation: OperationName) -> Response:
    """Stop waiting for targets that have not answered; what the engines were told cannot be called back."""
    return answers.record(call.commands.operations.cancel(operation))
