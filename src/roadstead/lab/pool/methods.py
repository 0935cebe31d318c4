"""The one table of all calls that the lab's pool answers, by name."""

from __future__ import annotations

from functools import cache

from roadstead.lab.pool import (
    accounts,
    event_calls,
    generic,
    host_calls,
    message_calls,
    network_calls,
    plugin_calls,
    pool_calls,
    secret_calls,
    session_calls,
    sr_calls,
    subjects,
    task_calls,
    vbd_calls,
    vdi_calls,
    vm_calls,
)
from roadstead.lab.pool.accounts import Role, role_for_key
from roadstead.lab.pool.core import Call, Method


@cache
def permissions(role: Role) -> tuple[str, ...]:
    """What somebody with that role may do, by the names of the permissions."""
    found = {name.lower() for name, method in METHODS.items() if method.session and method.role <= role}
    for name, method in METHODS.items():
        if method.permission is not None:
            kind = name.partition(".")[0]
            keys = accounts.NAMED_KEYS.get(kind, accounts.NAMED_KEYS["VM"][:2])
            found |= {f"{name}/key:{key}".lower() for key in keys if role_for_key(kind, key, method.role) <= role}
    if role >= Role.VM_ADMIN:
        found |= {"http/get_export_raw_vdi", "http/put_import_raw_vdi"}
    return tuple(sorted(found))


def _list_methods(call: Call) -> object:
    return [name for name in METHODS if name not in call.core.missing]


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        *generic.METHODS,
        *session_calls.METHODS,
        *event_calls.METHODS,
        *vm_calls.METHODS,
        *host_calls.METHODS,
        *plugin_calls.METHODS,
        *sr_calls.METHODS,
        *vdi_calls.METHODS,
        *vbd_calls.METHODS,
        *network_calls.METHODS,
        *pool_calls.METHODS,
        *secret_calls.METHODS,
        *subjects.METHODS,
        *message_calls.METHODS,
        *task_calls.METHODS,
        Method("system.listMethods", (), _list_methods, session=False, on_member=True),
    )
}
"""Every call by its name; a special call replaces the generic one of the same name."""
