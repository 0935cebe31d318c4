"""The one table of all calls that the lab's pool answers, by name."""

from __future__ import annotations

from roadstead.lab.pool import (
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
    task_calls,
    vbd_calls,
    vdi_calls,
    vm_calls,
)
from roadstead.lab.pool.core import Call, Method


def _list_methods(_: Call) -> object:
    return list(METHODS)


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
        *message_calls.METHODS,
        *task_calls.METHODS,
        Method("system.listMethods", (), _list_methods, session=False, on_member=True),
    )
}
"""Every call by its name; a special call replaces the generic one of the same name."""
