"""What the plugin of a pool may ask over the network: one request, `POST /plugin/v1/call`, and nothing of the API.

It is an application of its own that mounts none of the API's routes. Whoever comes needs the token of a pool, before a
body is read; who has none learns nothing but that.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog
from msgspec import DecodeError, Struct, json
from starlette.types import ASGIApp, Receive, Scope, Send

from roadstead.act.audit import Actor, acting
from roadstead.act.commands import Commands
from roadstead.act.plugin.functions import ARGUMENT_BYTES, Asked
from roadstead.errors import DeniedError, InputError, NotFoundError
from roadstead.model import PoolId
from roadstead.serve import answers
from roadstead.serve.borders import Border, BoundedBody, bearer

PATH: Final = "/plugin/v1/call"
BODY_BYTES = 2 * ARGUMENT_BYTES + 2**14
"""The largest body: all arguments, of each character of which JSON may make two (line ends, quotes), and names."""
REFUSALS_SECONDS = 60.0
"""How often it is noted that tokens are refused: whoever has none must not fill the audit."""
POOL: Final = "roadstead.pool"
"""Where a request's scope holds the pool whose plugin asks."""

_log = structlog.get_logger(__name__)


class PluginRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request."""

    function: str
    arguments: dict[str, str]


class PluginAnswer(Struct, frozen=True):
    """The answer: what XAPI's client is to be given."""

    value: str


def build(commands: Commands) -> ASGIApp:
    """Return the application."""
    return Border(Door(BoundedBody(Calls(commands), BODY_BYTES), commands))


class Door:
    """Lets in who has the token of a pool, to the one path that there is."""

    def __init__(self, app: ASGIApp, commands: Commands) -> None:
        self._app = app
        self._commands = commands
        self._noted = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on or refuse."""
        if (scope["method"], scope["path"]) != ("POST", PATH):
            raise NotFoundError("plugin-only", path=scope["path"])
        token = bearer(scope).decode("latin-1")
        pool = await self._commands.plugin_access.holder(token) if token else None
        if pool is None:
            self._note(_origin(scope))
            raise DeniedError("plugin-token-refused")
        scope[POOL] = pool
        await self._app(scope, receive, send)

    def _note(self, origin: str) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._noted + REFUSALS_SECONDS:
            return
        self._noted = now
        _log.warning("the plugin's token is refused", origin=origin)
        with acting(Actor("unknown", origin)):
            self._commands.audit.note("plugin call", "", "plugin-token-refused")


class Calls:
    """Answers the calls of those who were let in."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        asked = _read((await receive()).get("body", b""), scope[POOL])
        stored = self._commands.pools.stored(asked.pool)
        with acting(Actor(f"plugin of {stored.name} ({stored.id})", _origin(scope))):
            value = await self._commands.plugin.call(asked)
        await answers.record(PluginAnswer(value))(scope, receive, send)


def _read(body: bytes, pool: PoolId) -> Asked:
    try:
        request = json.decode(body, type=PluginRequest)
    except (DecodeError, UnicodeDecodeError) as error:
        reason = "it is not a call, an object with `function` and `arguments`"
        raise InputError("field-invalid", field="body", reason=reason) from error
    arguments: Mapping[str, str] = request.arguments
    return Asked(pool, request.function, arguments)


def _origin(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
