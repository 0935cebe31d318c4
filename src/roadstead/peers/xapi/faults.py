"""The border at which XAPI's errors and those of the HTTP, TLS and socket layers become `PoolError` codes.

Every `PoolError` made here carries ``address``, ``call`` and ``pool``; one that XAPI itself gave carries its code in
``fields["xapi"]`` (``HANDLE_INVALID``, ``MAP_DUPLICATE_KEY``, …), so that callers can ask for it. Arguments of calls
that hold secrets never become part of an error, nor does the body of an answer.

``pool-session-lost`` is how a caller of `XapiClient.events` learns that it must start from the empty token with a full
re-list: the pool ended our session, was restarted, or has another master.
"""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from roadstead.errors import PoolError
from roadstead.kit.text import fingerprint_shown
from roadstead.peers.xapi.messages import Failure, XapiObject, string

SESSION_ENDED = frozenset({"SESSION_INVALID", "HOST_IS_SLAVE"})
"""XAPI's codes which say that the call was not begun and that a new sign-in is needed."""

CERTIFICATE = frozenset({"pool-certificate-changed", "pool-certificate-untrusted"})
"""Our codes for a certificate that did not pass: nothing was sent then."""

MAP_DUPLICATE_KEY = "MAP_DUPLICATE_KEY"
"""XAPI's code for a key that a map has already."""

STARTING = frozenset(
    {
        "HOST_STILL_BOOTING",
        "HOST_HAS_NO_MANAGEMENT_IP",
        "HOST_MASTER_CANNOT_TALK_BACK",
        "HOST_UNKNOWN_TO_MASTER",
        "HOST_BROKEN",
    }
)
"""XAPI's codes of a host that does not serve yet (``emergency_call_list`` of xapi's ``api_server.ml``)."""

_CODES = {
    "SESSION_AUTHENTICATION_FAILED": "pool-sign-in-failed",
    "SESSION_AUTHORIZATION_FAILED": "pool-sign-in-failed",
    "RBAC_PERMISSION_DENIED": "pool-not-permitted",
    **dict.fromkeys(SESSION_ENDED, "pool-session-lost"),
    **dict.fromkeys(STARTING, "pool-starting"),
}

_DISCREET = ("session.", "secret.")
"""Calls whose arguments are secret; XAPI echoes arguments in the parameters of some errors."""

_CLOSED = "the connection was closed"

_WIRE: tuple[tuple[type[BaseException], str, str], ...] = (
    (aiohttp.ClientConnectorDNSError, "pool-unreachable", "nobody knows this name"),
    (socket.gaierror, "pool-unreachable", "nobody knows this name"),
    (UnicodeError, "pool-unreachable", "no host can have this name"),
    (aiohttp.ServerDisconnectedError, "pool-unreachable", "the connection was closed without an answer"),
    (aiohttp.ClientPayloadError, "pool-unreachable", "the connection was closed in the middle of an answer"),
    (aiohttp.ServerTimeoutError, "pool-unreachable", "nothing answers there"),
    (ssl.SSLEOFError, "pool-unreachable", _CLOSED),
    (ssl.SSLError, "pool-unreachable", "what answers there speaks no TLS that we speak"),
    (aiohttp.ClientResponseError, "pool-answer-invalid", "it is no HTTP"),
)
"""Errors of the layers below, the most specific first; the operating system's own are named by `_os_reason`."""


def refused(failure: Failure, *, call: str, address: str, user: str, pool: str) -> PoolError:
    """Return the error for an XAPI failure of ``call``."""
    code = _CODES.get(failure.code, "pool-call-failed")
    hidden = call.startswith(_DISCREET) or failure.code in SESSION_ENDED
    reason = failure.code if hidden else " ".join((failure.code, *failure.params))
    return PoolError(code, call=call, address=address, user=user, pool=pool, reason=reason, xapi=failure.code)


def untrusted(address: str, pool: str, reason: str) -> PoolError:
    """Return the error for a server whose certificate may not be trusted."""
    return PoolError("pool-certificate-untrusted", address=address, pool=pool, reason=reason)


def session_lost(address: str, pool: str, call: str = "") -> PoolError:
    """Return the error that makes a reader of events begin anew."""
    return PoolError("pool-session-lost", address=address, pool=pool, call=call)


def answer_invalid(address: str, pool: str, call: str, reason: str) -> PoolError:
    """Return the error for an answer that no XAPI gives."""
    return PoolError("pool-answer-invalid", address=address, pool=pool, call=call, reason=reason)


def check_identity(snapshot: XapiObject, expected: str, *, address: str, pool: str) -> None:
    """Raise `PoolError` ``pool-other-answers`` when the pool object ``snapshot`` is another pool than ``expected``."""
    uuid = string(snapshot, "uuid")
    if uuid != expected:
        other = f"{string(snapshot, 'name_label') or 'one without a name'} ({uuid or 'without an id'})"
        raise PoolError("pool-other-answers", address=address, pool=pool, other=other)


def is_gone(error: PoolError) -> bool:
    """Whether XAPI says that the object which a call names does not exist."""
    return error.fields.get("xapi") in {"HANDLE_INVALID", "UUID_INVALID"}


def is_taken(error: PoolError) -> bool:
    """Whether XAPI says that a map which was to get a key has it already."""
    return error.fields.get("xapi") == MAP_DUPLICATE_KEY


def is_unknown(error: PoolError) -> bool:
    """Whether XAPI says that it knows no such call, as a pool of an older version does."""
    return error.fields.get("xapi") == "MESSAGE_METHOD_UNKNOWN"


def is_cut(error: PoolError) -> bool:
    """Whether a connection that had been made ended without an answer, as a kept one does when it was left idle."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientConnectorError):
        return False
    return isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)


@contextmanager
def border(address: str, pool: str, call: str) -> Iterator[None]:
    """Turn what the layers below raise in the block into `PoolError`; a limit that ran out is ``pool-timed-out``, or
    ``pool-unreachable`` where there was no call yet.
    """
    try:
        yield
    except aiohttp.ServerFingerprintMismatch as error:
        shown, trusted = fingerprint_shown(error.got.hex()), fingerprint_shown(error.expected.hex())
        raise PoolError("pool-certificate-changed", address=address, pool=pool, shown=shown, trusted=trusted) from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise untrusted(address, pool, _certificate_reason(error)) from error
    except (aiohttp.ClientError, OSError, TimeoutError, UnicodeError) as error:
        code, reason = _code_and_reason(error, call)
        raise PoolError(code, address=address, pool=pool, call=call, reason=reason) from error


def _code_and_reason(error: BaseException, call: str) -> tuple[str, str]:
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        error = error.os_error
    for kind, code, reason in _WIRE:
        if isinstance(error, kind):
            return code, reason
    if isinstance(error, TimeoutError):
        return ("pool-timed-out", "") if call else ("pool-unreachable", "nothing answers there")
    return "pool-unreachable", _os_reason(error)


def _os_reason(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) else _CLOSED


def _certificate_reason(error: aiohttp.ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "it cannot be verified"
