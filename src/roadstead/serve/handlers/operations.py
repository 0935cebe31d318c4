"""Asking engines: operations, everything an engine knows of a container, and what containers take of their guests."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from roadstead.inventory import names
from roadstead.serve import answers
from roadstead.serve.bodies import NewOperation
from roadstead.serve.calls import Call
from roadstead.serve.handlers.inventory import existing
from roadstead.serve.handlers.parameters import EnginePart, Names, OperationName, VmPart

Wait = Annotated[float, Query(ge=0, le=30, description="Seconds to wait for the end of the operation.")]


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
