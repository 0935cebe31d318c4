"""What a pool's hosts may ask over the network: one request, `POST /plugin/v1/call`, and nothing of the API.

It is an application of its own that mounts none of the API's routes. Whoever comes needs the token of a pool, before a
body is read; who has none learns nothing but that. The functions are those of the plugin, which hands on nothing else,
and `prepare`, which only `xscontainer-prepare-vm` in a control domain asks for: what XAPI's clients pass to a plugin
may be logged and kept by the pool, and so must hold no password.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog
from msgspec import DecodeError, Struct, json
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from roadstead.act.audit import Actor, acting
from roadstead.act.commands import Commands
from roadstead.act.plugin.functions import ARGUMENT_BYTES, Asked
from roadstead.act.preparing.conversation import Answers
from roadstead.errors import DeniedError, InputError, NotFoundError, checks
from roadstead.model import PoolId
from roadstead.serve import answers
from roadstead.serve.bodies import GuestAnswers
from roadstead.serve.borders import Border, BoundedBody, bearer

PATH: Final = "/plugin/v1/call"
PREPARE: Final = "prepare"
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
    """The answer: what XAPI's client is to be given; for `prepare` the next question or the result, as JSON."""

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
        if asked.function == PREPARE:
            value = await self._prepare(asked, _origin(scope))
        else:
            value = await self._call(asked, _origin(scope))
        await answers.record(PluginAnswer(value))(scope, receive, send)

    async def _call(self, asked: Asked, origin: str) -> str:
        stored = self._commands.pools.stored(asked.pool)
        with acting(Actor(f"plugin of {stored.name} ({stored.id})", origin)):
            return await self._commands.plugin.call(asked)

    async def _prepare(self, asked: Asked, origin: str) -> str:
        """One step of the conversation about a guest, of which each call carries all answers so far."""
        vm, host, given = (_argument(asked, name) for name in ("vmuuid", "hostuuid", "answers"))
        so_far = _answers(given)
        preparing, stored = self._commands.dom0_preparing, self._commands.pools.stored(asked.pool)
        with acting(Actor(preparing.who(asked.pool, stored.name, host), origin)):
            return json.encode(await preparing.step(asked.pool, vm, so_far)).decode()


def _argument(asked: Asked, name: str) -> str:
    if name not in asked.arguments:
        raise InputError("plugin-argument-missing", function=PREPARE, argument=name, known="vmuuid, hostuuid, answers")
    return asked.arguments[name]


def _answers(text: str) -> Answers:
    """Read the answers, the body of the API's `POST …/prepare`; what was given for a wrong field is not told."""
    try:
        return GuestAnswers.model_validate_json(text).answers()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "answers"
        said = "it is no JSON" if first["type"] == "json_invalid" else checks.reason(first)
    raise InputError("field-invalid", field=field, reason=said)


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
