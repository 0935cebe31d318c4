"""The calls that every class has: XAPI makes them from its data model, and so does the lab from its schema."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from roadstead.lab.pool import failures, where
from roadstead.lab.pool.accounts import Role, role_for_key
from roadstead.lab.pool.core import Call, Method, Methods
from roadstead.lab.pool.schema import SCHEMAS, Field, Schema
from roadstead.lab.pool.text import checked_map, longest_valid, need_key

_WRITERS = {
    "VM": Role.VM_ADMIN,
    "VIF": Role.VM_ADMIN,
    "VBD": Role.VM_ADMIN,
    "VDI": Role.VM_ADMIN,
    "VBD_metrics": Role.VM_ADMIN,
    "VM_metrics": Role.VM_ADMIN,
    "VM_guest_metrics": Role.VM_ADMIN,
    "task": Role.READ_ONLY,
}
"""The role that may change a class's fields, where it is not pool-operator."""

_WRITERS_OF_FIELDS = {
    "pool.gui_config": Role.VM_OPERATOR,
    "VM.affinity": Role.VM_POWER_ADMIN,
    "VM.start_delay": Role.POOL_OPERATOR,
    "VM.shutdown_delay": Role.POOL_OPERATOR,
    "VM.order": Role.POOL_OPERATOR,
    "network.MTU": Role.VM_ADMIN,
    "VIF.locking_mode": Role.POOL_OPERATOR,
    "VIF.ipv4_allowed": Role.POOL_OPERATOR,
    "VIF.ipv6_allowed": Role.POOL_OPERATOR,
    "session.other_config": Role.POOL_ADMIN,
}
"""The same of single fields that differ from their class."""


def _get_all(kind: str, call: Call) -> object:
    return tuple(call.database.table(kind).rows)


def _get_all_records(kind: str, call: Call) -> object:
    return {ref: call.database.shown(kind, record) for ref, record in call.database.all(kind)}


def _get_all_records_where(kind: str, call: Call, expression: str) -> object:
    matches = where.parse(expression)
    chosen = ((ref, record) for ref, record in call.database.all(kind) if matches(record))
    return {ref: call.database.shown(kind, record) for ref, record in chosen}


def _get_record(kind: str, call: Call, ref: str) -> object:
    return call.database.shown(kind, call.database.get(kind, ref))


def _get_by_uuid(kind: str, call: Call, uuid: str) -> object:
    return call.database.by_uuid(kind, uuid)


def _get_by_name_label(kind: str, call: Call, label: str) -> object:
    return tuple(ref for ref, record in call.database.all(kind) if record["name_label"] == label)


def _get_field(kind: str, field: str, call: Call, ref: str) -> object:
    return call.database.get(kind, ref)[field]


def _set_field(kind: str, field: str, call: Call, ref: str, value: object) -> object:
    value = longest_valid(value) if isinstance(value, str) else value
    call.database.write(kind, ref, field, checked_map(value) if isinstance(value, dict) else value)
    return ""


def _add_to(kind: str, field: str, call: Call, ref: str, key: str, value: str) -> object:
    present = call.database.get(kind, ref)[field]
    key = longest_valid(need_key(key))
    if key in present:
        raise failures.Failure("MAP_DUPLICATE_KEY", kind, field, ref, key)
    call.database.write(kind, ref, field, {**present, key: longest_valid(value)})
    return ""


def _remove_from(kind: str, field: str, call: Call, ref: str, key: str) -> object:
    present = call.database.get(kind, ref)[field]
    call.database.write(kind, ref, field, {name: value for name, value in present.items() if name != key})
    return ""


def _add_member(kind: str, field: str, call: Call, ref: str, value: str) -> object:
    present = call.database.get(kind, ref)[field]
    if value not in present:
        call.database.write(kind, ref, field, (*present, value))
    return ""


def _remove_member(kind: str, field: str, call: Call, ref: str, value: str) -> object:
    present = call.database.get(kind, ref)[field]
    call.database.write(kind, ref, field, tuple(member for member in present if member != value))
    return ""


def _key_permission(method: str, otherwise: Role, _: str, key: str, *__: str) -> tuple[str, Role]:
    role = role_for_key(method.partition(".")[0], key, otherwise)
    return (method if role is otherwise else f"{method}/key:{key}"), role


def _readers(schema: Schema, role: Role) -> Iterator[Method]:
    kind = schema.name
    if schema.listed:
        yield Method(f"{kind}.get_all", (), partial(_get_all, kind), role)
        yield Method(f"{kind}.get_all_records", (), partial(_get_all_records, kind), role)
        yield Method(f"{kind}.get_all_records_where", ("str",), partial(_get_all_records_where, kind), role)
    if "name_label" in schema.fields and kind != "pool":
        yield Method(f"{kind}.get_by_name_label", ("str",), partial(_get_by_name_label, kind), role)
    yield Method(f"{kind}.get_by_uuid", ("str",), partial(_get_by_uuid, kind), role)
    yield Method(f"{kind}.get_record", ("ref",), partial(_get_record, kind), role)
    for field in schema.fields if schema.getters else ():
        # What a secret is for is everybody's to read, who knows of it.
        needed = Role.READ_ONLY if (kind, field) == ("secret", "other_config") else role
        yield Method(f"{kind}.get_{field}", ("ref",), partial(_get_field, kind, field), needed)


def _map_writers(kind: str, field: str, role: Role) -> Iterator[Method]:
    for verb, kinds, run in (
        ("add_to", ("ref", "str", "str"), _add_to),
        ("remove_from", ("ref", "str"), _remove_from),
    ):
        name = f"{kind}.{verb}_{field}"
        judged = partial(_key_permission, name, role) if field == "other_config" else None
        yield Method(name, kinds, partial(run, kind, field), role, permission=judged)


def _writers(kind: str, field: Field, role: Role) -> Iterator[Method]:
    name = field.name
    role = min(role, Role.VM_OPERATOR) if name == "tags" else role
    yield Method(f"{kind}.set_{name}", ("ref", field.kind.name), partial(_set_field, kind, name), role)
    if field.kind.name == "map":
        yield from _map_writers(kind, name, role)
    if name == "tags":
        yield Method(f"{kind}.add_tags", ("ref", "str"), partial(_add_member, kind, name), role)
        yield Method(f"{kind}.remove_tags", ("ref", "str"), partial(_remove_member, kind, name), role)


def _methods() -> Iterator[Method]:
    for schema in SCHEMAS.values():
        yield from _readers(schema, Role.POOL_OPERATOR if schema.name == "secret" else Role.READ_ONLY)
        role = _WRITERS.get(schema.name, Role.POOL_OPERATOR)
        for field in schema.fields.values():
            if field.writable:
                yield from _writers(schema.name, field, _WRITERS_OF_FIELDS.get(f"{schema.name}.{field.name}", role))


METHODS: Methods = tuple(_methods())
"""Getters, setters and finders of every class."""
