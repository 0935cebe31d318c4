"""Messages: made, found by their object or their time, and removed."""

from __future__ import annotations

from collections.abc import Callable

from roadstead.lab.pool import failures, values
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Call, Method, Methods
from roadstead.lab.pool.database import Record
from roadstead.lab.pool.text import longest_valid, need_valid
from roadstead.lab.pool.values import Date

_TABLES = {
    "VM": "VM",
    "Host": "host",
    "SR": "SR",
    "Pool": "pool",
    "VDI": "VDI",
    "Certificate": "Certificate",
    "VMPP": "",
    "VMSS": "",
    "PVS_proxy": "",
}
"""The classes that a message may be about, and where their objects are; of those without a table the lab has none."""


def _need_object(call: Call, cls: str, uuid: str, *told: str) -> None:
    """UUID_INVALID with `told` unless there is such an object."""
    if cls not in _TABLES:
        raise failures.internal(failures.UNKNOWN_TAG)
    if not _TABLES[cls] or uuid not in call.database.table(_TABLES[cls]).by_uuid:
        raise failures.Failure("UUID_INVALID", *told)


def _create(call: Call, name: str, priority: int, cls: str, uuid: str, body: str) -> object:
    need_valid(body)
    _need_object(call, cls, uuid, cls, uuid)
    fields = {"name": longest_valid(name), "priority": priority, "cls": cls, "obj_uuid": uuid}
    return call.core.messages.create({**fields, "body": body, "timestamp": values.now()})


def _destroy(call: Call, ref: str) -> object:
    call.database.get("message", ref)
    call.core.messages.destroy(ref)
    return ""


def _destroy_many(call: Call, refs: tuple[str, ...]) -> object:
    for ref in refs:
        _destroy(call, ref)
    return ""


def _chosen(call: Call, wanted: Callable[[Record], bool]) -> dict[str, Record]:
    """The messages that are wanted, the newest first."""
    newest_first = reversed(tuple(call.database.all("message")))
    return {ref: record for ref, record in newest_first if wanted(record)}


def _moment(date: Date) -> str:
    """A date in a form that sorts, however the client wrote it."""
    return date.text.replace("-", "").removesuffix("Z")


def _get(call: Call, cls: str, uuid: str, since: Date) -> object:
    # That an object does not exist is told here without its name.
    _need_object(call, cls, uuid)
    about = (cls, uuid)
    return _chosen(
        call,
        lambda record: (record["cls"], record["obj_uuid"]) == about and _moment(record["timestamp"]) > _moment(since),
    )


def _get_since(call: Call, since: Date) -> object:
    # Messages are filed by fractions of a second, so one of the very second counts as later.
    return _chosen(call, lambda record: _moment(record["timestamp"]) >= _moment(since))


def _get_all_records(call: Call, *_: str) -> object:
    # A real pool does not even read the expression of `get_all_records_where`.
    return _chosen(call, lambda _: True)


METHODS: Methods = (
    Method("message.create", ("str", "int", "str", "str", "str"), _create, Role.POOL_OPERATOR),
    Method("message.destroy", ("ref",), _destroy, Role.POOL_OPERATOR),
    Method("message.destroy_many", ("set",), _destroy_many, Role.POOL_OPERATOR, asynchronous=True),
    Method("message.get", ("str", "str", "datetime"), _get),
    Method("message.get_since", ("datetime",), _get_since),
    Method("message.get_all_records", (), _get_all_records),
    Method("message.get_all_records_where", ("str",), _get_all_records),
)
