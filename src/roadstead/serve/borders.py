"""What every request passes before a handler sees it, and every answer before it leaves.

Plain ASGI: each layer costs microseconds, and a stream passes through untouched. From the outside in: `Border` (headers
against confused browsers, slashes in names, mistakes of ours), `Door` (who may come in), `BoundedBody`.
"""

import asyncio
import hmac
import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roadstead.errors import ConflictError, DeniedError, InputError, RoadsteadError
from roadstead.serve import problems
from roadstead.serve.calls import CALLER, Caller

BODY_BYTES = 2**20
"""The largest body that is read."""
BODY_SECONDS = 10.0
"""How long a body may take to arrive."""

LOCAL = Caller("local socket")
TOKEN = Caller("token", "127.0.0.1")

_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]
_HOST = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Token:
    """The secret that opens the door on loopback, and the file in which its owner finds it."""

    value: str
    path: Path

    def __repr__(self) -> str:
        return f"Token(in {self.path})"


class Border:
    """The outermost layer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its path as it was written: a name may hold a slash, and handlers decode names."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = scope["raw_path"].decode("ascii", "replace")
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except asyncio.CancelledError:
            # Only the end of the server ends a request that its client still waits for.
            if not begun:
                await problems.answer(ConflictError("shutting-down"))(scope, receive, sent)
            raise
        except Exception as error:  # noqa: BLE001 - the border: what nobody foresaw is answered without details
            await _mistake(error, scope, receive, None if begun else sent)


async def _mistake(error: Exception, scope: MutableMapping[str, Any], receive: Receive, send: Send | None) -> None:
    """Answer ``error`` if nothing was sent yet; what is not an error of ours is logged, and told to nobody."""
    known = problems.translated(error, Request(scope))
    if known is None:
        _log.error("a request failed", method=scope["method"], path=scope["path"], exc_info=error)
    if send is None:
        raise ConnectionAbortedError("the answer broke off") from error
    await problems.answer(known or RoadsteadError("internal"))(scope, receive, send)


class Door:
    """Lets in who may.

    On the local socket the rights of its file have decided already. On loopback every local user can knock, and every
    web page in a local browser: there the token is asked for, and the Host header must name this machine, so that no
    foreign name that resolves to 127.0.0.1 reaches us (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, token: Token | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on or refuse. A socket's address has no port: that is how uvicorn tells of a Unix socket."""
        if scope["type"] == "http":
            _, port = scope["server"]
            scope[CALLER] = LOCAL if port is None else self._known(scope)
        await self._app(scope, receive, send)

    def _known(self, scope: Scope) -> Caller:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            raise DeniedError("host-header-rejected")
        wanted = self._token.value.encode() if self._token is not None else b""
        if not wanted or not hmac.compare_digest(bearer(scope), wanted):
            # Where the file is, nobody who knocks is told: its path names an account, and every local user can knock.
            raise DeniedError("credentials-rejected")
        return TOKEN


def bearer(scope: Scope) -> bytes:
    """Return the token that a request carries; empty when it carries none, or several."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, secret = (given[0] if len(given) == 1 else b"").partition(b" ")
    return secret.strip() if scheme.lower() == b"bearer" else b""


class BoundedBody:
    """Reads a body whole before anybody works on it, within ``limit`` bytes and `BODY_SECONDS`."""

    def __init__(self, app: ASGIApp, limit: int = BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body as the first message."""
        names = {name for name, _ in scope["headers"]} if scope["type"] == "http" else set()
        if not names & {b"content-length", b"transfer-encoding"}:
            await self._app(scope, receive, send)
            return
        first: Message | None = await _body(scope, receive, self._limit)

        async def replayed() -> Message:
            nonlocal first
            message, first = first, None
            return message if message is not None else await receive()

        await self._app(scope, replayed, send)


async def _body(scope: Scope, receive: Receive, limit: int) -> Message:
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if not declared.isdigit() or int(declared) > limit:
        raise InputError("body-too-large", limit=limit)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _collected(receive, limit)
    except TimeoutError as error:
        raise InputError("body-incomplete") from error


async def _collected(receive: Receive, limit: int) -> Message:
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if len(body) > limit:
            raise InputError("body-too-large", limit=limit)
        if not message.get("more_body", False):
            return {"type": "http.request", "body": bytes(body), "more_body": False}
    return message
