"""What clients ask of hosts beyond their fields."""

from __future__ import annotations

from roadstead.lab.pool import certificates
from roadstead.lab.pool.accounts import Role
from roadstead.lab.pool.core import Call, Method, Methods


def _set_enabled(call: Call, ref: str, *, enabled: bool) -> object:
    call.database.write("host", ref, "enabled", enabled)
    return ""


def _enable(call: Call, ref: str) -> object:
    return _set_enabled(call, ref, enabled=True)


def _disable(call: Call, ref: str) -> object:
    return _set_enabled(call, ref, enabled=False)


def _server_certificate(call: Call, ref: str) -> object:
    return certificates.pem(call.core.operator.certificate(ref))


METHODS: Methods = (
    Method("host.enable", ("ref",), _enable, Role.POOL_OPERATOR, asynchronous=True),
    Method("host.disable", ("ref",), _disable, Role.POOL_OPERATOR, asynchronous=True),
    Method("host.get_server_certificate", ("ref",), _server_certificate, Role.READ_ONLY, asynchronous=True),
)
