"""`host.call_plugin`: which host runs the plugin, and with whose session."""

from __future__ import annotations

import asyncio

from roadstead.lab.pool import accounts, failures, plugins
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Call, Method, Methods


async def _call_plugin(call: Call, ref: str, plugin: str, function: str, arguments: dict[str, str]) -> object:
    if ref not in call.database.table("host").rows:
        raise failures.Failure("HOST_OFFLINE", ref)
    core = call.core
    if ref == call.host:
        return await _run(call, call.session.ref, ref, plugin, plugins.argument(function, call.session.ref, arguments))
    if not core.operator.is_reachable(ref):
        with core.plugins.waiting():
            await asyncio.sleep(core.contact_seconds)
        raise failures.Failure("CANNOT_CONTACT_HOST", ref)
    # A member gets a session of the pool's own, which may do everything, whoever called.
    session = core.sessions.open(accounts.INTERNAL, "", ref, local=True)
    try:
        return await _run(call, session.ref, ref, plugin, plugins.argument(function, session.ref, arguments))
    finally:
        core.sessions.forget(session.ref)


async def _run(call: Call, session: str, host: str, plugin: str, argument: str) -> str:
    with call.core.sessions.spared(session):
        return await call.core.plugins.call(plugin, argument, call.core.operator.socket(host))


METHODS: Methods = (
    Method("host.call_plugin", ("ref", "str", "str", "map"), _call_plugin, Role.POOL_ADMIN, asynchronous=True),
)
