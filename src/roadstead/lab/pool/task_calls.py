"""Calls with `Async.` before their name: they return a task at once, which tells how they ended."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from roadstead.kit import tasks
from roadstead.lab.pool import failures, values, wire
from roadstead.lab.pool.core import Call, Core, Method, Methods
from roadstead.lab.pool.failures import Failure

TASKS_KEPT = 200
"""Finished tasks beyond this number are removed, the oldest first."""


def begin_task(call: Call, name: str, work: Coroutine[Any, Any, object]) -> str:
    """Start `work` and return the reference of its task."""
    fields = {"name_label": name, "created": values.now(), "resident_on": call.host}
    ref = call.database.create("task", fields)
    tasks.spawn(call.core.group, _follow(call.core, ref, work), f"pool task {name}")
    _remove_old(call.core)
    return ref


async def _follow(core: Core, ref: str, work: Coroutine[Any, Any, object]) -> None:
    try:
        result = await work
    except Failure as failure:
        fields = {"status": "failure", "error_info": (failure.code, *failure.params)}
    except Exception as error:  # noqa: BLE001 - a failed task must not take the lab with it
        fields = {"status": "failure", "error_info": ("INTERNAL_ERROR", str(error))}
    else:
        fields = {"status": "success", "result": wire.fragment(result) if result != "" else ""}
    if ref in core.database.table("task").rows:
        core.database.update("task", ref, {**fields, "progress": 1.0, "finished": values.now()})


def _remove_old(core: Core) -> None:
    finished = [ref for ref, record in core.database.all("task") if record["status"] != "pending"]
    for ref in finished[: max(0, len(finished) - TASKS_KEPT)]:
        core.database.destroy("task", ref)


def _create(call: Call, label: str, description: str) -> object:
    fields = {"name_label": label, "name_description": description, "created": values.now()}
    return call.database.create("task", {**fields, "resident_on": call.host})


_STATES = ("pending", "success", "failure", "cancelling", "cancelled")


def _set_status(call: Call, ref: str, status: str) -> object:
    if status not in _STATES:
        raise failures.internal(failures.UNKNOWN_TAG)
    call.database.write("task", ref, "status", status)
    return ""


def _destroy(call: Call, ref: str) -> object:
    """What is still under way stays, without a word."""
    if call.database.get("task", ref)["status"] not in ("pending", "cancelling"):
        call.database.destroy("task", ref)
    return ""


def _cancel(call: Call, ref: str) -> object:
    call.database.get("task", ref)
    return ""


METHODS: Methods = (
    Method("task.create", ("str", "str"), _create),
    Method("task.set_status", ("ref", "str"), _set_status),
    Method("task.destroy", ("ref",), _destroy),
    Method("task.cancel", ("ref",), _cancel),
)
