"""Secrets: made and removed; reading and changing them is generic."""

from __future__ import annotations

from typing import Any

from roadstead.lab.pool import constructors, values
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Call, Method, Methods
from roadstead.lab.pool.text import checked_map, longest_valid


def _create(call: Call, record: dict[str, Any]) -> object:
    constructors.need(record, "value")
    return _add(call, "", record["value"], record.get("other_config", {}))


def _introduce(call: Call, uuid: str, value: str, other_config: dict[str, str]) -> object:
    return _add(call, uuid, value, other_config)


def _add(call: Call, uuid: str, value: object, other_config: object) -> str:
    fields = {
        "uuid": uuid,
        "value": longest_valid(values.text(value)),
        "other_config": checked_map(values.string_map(other_config)),
    }
    return call.database.create("secret", fields)


def _destroy(call: Call, ref: str) -> object:
    call.database.destroy("secret", ref)
    return ""


METHODS: Methods = (
    Method("secret.create", ("record",), _create, Role.POOL_OPERATOR),
    Method("secret.introduce", ("str", "str", "map"), _introduce, Role.POOL_OPERATOR),
    Method("secret.destroy", ("ref",), _destroy, Role.POOL_OPERATOR),
)
