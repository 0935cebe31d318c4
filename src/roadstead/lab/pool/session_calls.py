"""Signing in and out."""

from __future__ import annotations

from roadstead.lab.pool import accounts, failures
from roadstead.lab.pool.core import Call, Method, Methods


def _login(call: Call, name: str, password: str, *rest: str) -> object:
    account = accounts.sign_in(call.database, name, password, call.core.password)
    originator = rest[1] if len(rest) > 1 else ""
    return call.core.sessions.open(account, originator, call.host).ref


def _local_login(call: Call, name: str, password: str) -> object:
    account = accounts.sign_in(call.database, name, password, call.core.password)
    if not account.superuser:
        raise failures.Failure("SESSION_AUTHENTICATION_FAILED", name, "Authentication failure")
    return call.core.sessions.open(account, "", call.host, local=True).ref


def _logout(call: Call) -> object:
    call.core.sessions.end(call.session.ref)
    return ""


METHODS: Methods = (
    Method(
        "session.login_with_password",
        ("str", "str", "str", "str"),
        _login,
        optional=2,
        surplus=True,
        session=False,
    ),
    Method("session.slave_local_login_with_password", ("str", "str"), _local_login, session=False, on_member=True),
    Method("session.logout", (), _logout),
    Method("session.local_logout", (), _logout, on_member=True),
)
