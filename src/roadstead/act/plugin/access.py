"""Which pools' plugins may call, and what each pool is told of where: address, certificate, and a token of its own.

A token is 256 random bits. The pool keeps it as a secret; here only its SHA-256 is kept, and it opens nothing but the
plugin's functions for the VMs of that pool.
"""

import asyncio
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import Struct, structs

from roadstead.act.audit import Audit
from roadstead.act.pool_database import plugin_keys
from roadstead.act.pool_database.plugin_keys import Told, hashed
from roadstead.act.pools.pool import PoolKeeper
from roadstead.act.pools.pools import Pools
from roadstead.errors import ConflictError, InputError, NotFoundError
from roadstead.kit.turns import Turns
from roadstead.model import PoolId, parse_address
from roadstead.peers.database.client import Database, PluginToken

TOKEN_BYTES = 32
_URL = re.compile(r"https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?/?", re.ASCII)
"""As the plugin reads it."""
LAST_PORT = 65535
RESOLVE_SECONDS = 2.0
"""How long is waited for the address of a name, which is only asked for to give a hint."""
_LOOPBACK = "at a loopback address the hosts reach themselves, not this server: listen at another one, or give --url"


@dataclass(frozen=True, slots=True)
class PluginDoor:
    """Where this server listens for plugins, and the SHA-256 (in hexadecimal) of the certificate that it shows."""

    address: str
    port: int
    fingerprint: str

    @property
    def shown(self) -> str:
        """The address with the port."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    @property
    def url(self) -> str | None:
        """The URL of a listener that has one address; of one that listens on every address nobody here knows it."""
        return None if ip_address(self.address).is_unspecified else f"https://{self.shown}"


class PluginState(Struct, frozen=True, kw_only=True):
    """How a pool's plugin stands with this server."""

    state: str
    """``on``, ``off``, or ``broken``: the pool and this server do not agree."""
    reason: str = ""
    """What they do not agree on."""
    url: str = ""
    """What the pool names."""
    fingerprint: str = ""
    """The same: SHA-256 of the certificate."""
    since: datetime | None = None
    """Since when the token is valid here."""
    listen: str = ""
    """Where this server listens; empty when it does not."""
    hint: str = ""
    """What may be wrong with the URL, as far as that is seen from here; the hosts may see it otherwise."""


async def has_address(name: str) -> bool:
    """Whether a name has an address as this machine sees it."""
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            return bool(await asyncio.get_running_loop().getaddrinfo(name, None))
    except (OSError, TimeoutError, UnicodeError):
        return False


class PluginAccess:
    """The tokens of all pools. ``door`` is None where nothing is listened for."""

    def __init__(
        self,
        database: Database,
        pools: Pools,
        door: PluginDoor | None,
        audit: Audit,
        has_address: Callable[[str], Awaitable[bool]] = has_address,
    ) -> None:
        self._database = database
        self._pools = pools
        self._door = door
        self._audit = audit
        self._has_address = has_address
        self._turns: Turns[PoolId] = Turns()

    async def holder(self, token: str) -> PoolId | None:
        """Return the pool whose plugin has this token, or None. Comparing takes the same time whatever was given."""
        given = hashed(token)
        holder = None
        for known in await self._database.plugin_tokens():
            if hmac.compare_digest(known.hash, given):
                holder = known.pool
        with suppress(NotFoundError):
            return self._pools.stored(holder).id if holder is not None else None
        return None

    async def enable(self, pool: PoolId, url: str | None) -> PluginState:
        """Tell the pool where its plugin calls, with a new token; a former one is valid until the new one is named.

        What breaks off half-way leaves both valid, since nobody knows which one the pool holds; the next enabling
        clears up.

        Raises `ConflictError` ``plugin-not-listening`` or ``plugin-url-needed``, `InputError`, `PoolError`.
        """
        with self._audit.of("pool plugin enable", pool):
            door = self._listening()
            address = _url(door, url)
            keeper = self._pools.keeper(pool)
            async with self._turns.of(pool):
                await self._give(keeper, address, door)
        told = await self.state(pool)
        name = urlsplit(address).hostname or ""
        if told.hint or parse_address(name) is not None or await self._has_address(name):
            return told
        return structs.replace(told, hint=f"the name {name} has no address here; the hosts must know one")

    async def disable(self, pool: PoolId) -> PluginState:
        """Let the pool's plugin call no more; what the pool was told goes."""
        with self._audit.of("pool plugin disable", pool):
            keeper = self._pools.keeper(pool)
            async with self._turns.of(pool):
                await self._database.forget_plugin_tokens(pool)
                await plugin_keys.withdraw(keeper.client, pool)
        return await self.state(pool)

    async def state(self, pool: PoolId) -> PluginState:
        """Tell how the pool's plugin stands."""
        told = await plugin_keys.read(self._pools.keeper(pool).client, pool)
        known = [one for one in await self._database.plugin_tokens() if one.pool == pool]
        is_off = told == plugin_keys.NOTHING and not known
        reason = "" if is_off else self._trouble(told, known)
        return PluginState(
            state="off" if is_off else "broken" if reason else "on",
            reason=reason,
            url=told.url,
            fingerprint=told.fingerprint,
            since=max((one.since for one in known), default=None),
            listen=self._door.shown if self._door is not None else "",
            hint=_LOOPBACK if _is_loopback(urlsplit(told.url).hostname or "") else "",
        )

    # ---- pieces

    def _listening(self) -> PluginDoor:
        if self._door is None:
            raise ConflictError("plugin-not-listening")
        return self._door

    async def _give(self, keeper: PoolKeeper, url: str, door: PluginDoor) -> None:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await self._database.keep_plugin_token(keeper.id, hashed(token))
        await plugin_keys.tell(keeper.client, keeper.id, url, door.fingerprint, token)
        await self._database.forget_plugin_tokens(keeper.id, but=hashed(token))

    def _trouble(self, told: Told, known: list[PluginToken]) -> str:
        if self._door is None:
            return "this server does not listen for the plugin"
        if told.fingerprint.replace(":", "").lower() != self._door.fingerprint:
            return "the pool names another certificate than this server shows"
        if not told.token or hashed(told.token) not in {one.hash for one in known}:
            return "the token that the pool keeps is not valid here"
        return ""


def _url(door: PluginDoor, given: str | None) -> str:
    """Return the URL that the pool is told: the one that was given, or the listener's own."""
    if given is None:
        if door.url is None:
            raise ConflictError("plugin-url-needed", address=door.shown, port=door.port)
        return door.url
    found = _URL.fullmatch(given)
    if found is None or int((found[2] or ":1")[1:]) not in range(1, LAST_PORT + 1):
        raise InputError("field-invalid", field="url", reason="it is not of the form https://HOST:PORT")
    return given.rstrip("/")


def _is_loopback(host: str) -> bool:
    address = parse_address(host)
    return address.is_loopback if address is not None else host == "localhost"
