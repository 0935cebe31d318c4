"""The pool's roles and subjects as objects: what clients read of them, and how subjects gain and lose roles."""

from __future__ import annotations

import uuid
from typing import Any

from roadstead.lab.pool import constructors, failures
from roadstead.lab.pool.accounts import DIRECTORY, Role
from roadstead.lab.pool.core import Call, Method, Methods
from roadstead.lab.pool.database import Database

_NAMESPACE = uuid.UUID("6f9e2c1c-2f6e-4c53-8f2a-6d0b2f3c9a41")


def _same_everywhere(name: str) -> str:
    """A uuid that a name determines: the roles of all pools are the same objects."""
    return str(uuid.uuid5(_NAMESPACE, name))


def role_ref(role: Role) -> str:
    """The reference of a role."""
    return f"OpaqueRef:{_same_everywhere(role.label)}"


def settle(database: Database) -> None:
    """Put the roles into the database, with a subject for each account of the directory but the stranger's."""
    if database.table("role").rows:
        return
    for role in Role:
        told = {"uuid": _same_everywhere(role.label), "name_label": role.label}
        description = f"The {role.label.replace('-', ' ').capitalize()} role"
        database.create("role", {**told, "name_description": description}, role_ref(role))
    for name, person in DIRECTORY.items():
        if person.is_subject:
            roles = () if person.role is None else (role_ref(person.role),)
            told = {"subject-name": name, "subject-upn": f"{name}@lab", "subject-is-group": "false"}
            fields = {"subject_identifier": person.identifier, "other_config": told, "roles": roles}
            database.create("subject", {**fields, "uuid": _same_everywhere(person.identifier)})


def _create(call: Call, record: dict[str, Any]) -> object:
    fields = constructors.read("subject", record, ("subject_identifier", "other_config"))
    known = {subject["subject_identifier"]: ref for ref, subject in call.database.all("subject")}
    if fields.get("subject_identifier") in known:
        raise failures.Failure("SUBJECT_ALREADY_EXISTS")
    return call.database.create("subject", fields)


def _destroy(call: Call, ref: str) -> object:
    call.database.destroy("subject", ref)
    return ""


def _add_to_roles(call: Call, ref: str, role: str) -> object:
    present = call.database.get("subject", ref)["roles"]
    call.database.get("role", role)
    if role in present:
        raise failures.Failure("ROLE_ALREADY_EXISTS")
    call.database.write("subject", ref, "roles", (*present, role))
    return ""


def _remove_from_roles(call: Call, ref: str, role: str) -> object:
    present = call.database.get("subject", ref)["roles"]
    if role not in present:
        raise failures.Failure("ROLE_NOT_FOUND")
    call.database.write("subject", ref, "roles", tuple(each for each in present if each != role))
    return ""


def _permissions(call: Call, ref: str) -> object:
    """What a subject may do, by the names of the permissions."""
    names: set[str] = set()
    for role in call.database.get("subject", ref)["roles"]:
        names.update(call.core.sessions.permissions(Role.of(call.database.get("role", role)["name_label"])))
    return tuple(sorted(names))


def _permissions_of_role(call: Call, ref: str) -> object:
    return call.core.sessions.permissions(Role.of(call.database.get("role", ref)["name_label"]))


METHODS: Methods = (
    Method("subject.create", ("record",), _create, Role.POOL_ADMIN, asynchronous=True),
    Method("subject.destroy", ("ref",), _destroy, Role.POOL_ADMIN, asynchronous=True),
    Method("subject.add_to_roles", ("ref", "ref"), _add_to_roles, Role.POOL_ADMIN),
    Method("subject.remove_from_roles", ("ref", "ref"), _remove_from_roles, Role.POOL_ADMIN),
    Method("subject.get_permissions_name_label", ("ref",), _permissions),
    Method("role.get_permissions_name_label", ("ref",), _permissions_of_role),
)
