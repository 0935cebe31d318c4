"""What clients ask of the pool as a whole: durability, and another master."""

from __future__ import annotations

from roadstead.lab.pool import failures
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Call, Method, Methods


async def _sync_database(call: Call) -> object:
    await call.core.operator.save()
    return ""


async def _designate(call: Call, host: str) -> object:
    call.database.get("host", host)
    if host != call.core.master:
        await call.core.operator.hand_over(host)
    return ""


async def _emergency(call: Call) -> object:
    if call.host == call.core.master:
        raise failures.Failure("HOST_IS_MASTER", call.host)
    await call.core.operator.take_over(call.host)
    return ""


METHODS: Methods = (
    Method("pool.sync_database", (), _sync_database, Role.POOL_OPERATOR, asynchronous=True),
    Method("pool.designate_new_master", ("ref",), _designate, Role.POOL_OPERATOR, asynchronous=True),
    Method("pool.emergency_transition_to_master", (), _emergency, Role.POOL_OPERATOR, on_member=True),
)
