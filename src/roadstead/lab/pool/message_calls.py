"""Messages: made and removed; reading them is generic."""

from __future__ import annotations

from roadstead.lab.pool import failures, values
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Call, Method, Methods
from roadstead.lab.pool.text import longest_valid

_TABLES = {"VM": "VM", "Host": "host", "SR": "SR", "Pool": "pool", "VDI": "VDI", "Certificate": "Certificate"}
"""The classes that a message may be about, and where their objects are."""


def _create(call: Call, name: str, priority: int, cls: str, uuid: str, body: str) -> object:
    if cls not in _TABLES:
        raise failures.internal(failures.UNKNOWN_TAG)
    call.database.by_uuid(_TABLES[cls], uuid)
    fields = {"name": longest_valid(name), "priority": priority, "cls": cls, "obj_uuid": uuid}
    return call.core.messages.create({**fields, "body": longest_valid(body), "timestamp": values.now()})


def _destroy(call: Call, ref: str) -> object:
    call.database.get("message", ref)
    call.core.messages.destroy(ref)
    return ""


METHODS: Methods = (
    Method("message.create", ("str", "int", "str", "str", "str"), _create, Role.POOL_OPERATOR),
    Method("message.destroy", ("ref",), _destroy, Role.POOL_OPERATOR),
)
