"""Trying a pool before it is kept: what its server shows, whether it is trusted, whether it lets us do our work."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from msgspec import Struct

from roadstead.errors import ConflictError, InputError, PoolError, RoadsteadError
from roadstead.kit import clocks
from roadstead.kit.text import fingerprint_shown
from roadstead.model import Pool, PoolId
from roadstead.peers.xapi.client import XapiClient
from roadstead.peers.xapi.messages import string
from roadstead.peers.xapi.trust import (
    URL_HOST,
    PoolAddress,
    Trust,
    fetch_fingerprint,
    parse_fingerprint,
    parse_url,
    trust_in,
)
from roadstead.settings.schema import PoolSettings

NEEDS_OPERATOR = "secret.get_all"
"""A call that asks for the role pool-operator: an account that may not read secrets is told so when it is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChange:
    """What an operator says of a pool; None leaves a field as it is (or, for a new pool, empty)."""

    url: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    fingerprint: str | None = None
    ca_pem: str | None = None
    accept_new: bool = False
    """Trust whatever certificate the server shows now."""
    admit: tuple[str, ...] | None = None
    only: tuple[str, ...] | None = None
    publish: str | None = None
    """``on``, ``off`` or ``tag:NAME``."""


class Step(Struct, frozen=True, kw_only=True):
    """One step of a test: what was tried, how it went, and how long it took."""

    step: str
    ok: bool
    seconds: float
    message: str = ""


class Probe(Struct, frozen=True, kw_only=True):
    """What a server shows before anything is sent to it."""

    url: str
    address: str
    fingerprint: str


class Trials:
    """Reaches pools for a moment, with sessions that are ended at once."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings

    async def probe(self, url: str) -> Probe:
        """Return the certificate that the server at ``url`` shows; nothing is sent to it."""
        endpoint = parse_url(url)
        fingerprint = await fetch_fingerprint(url, self._settings.connect_seconds)
        return Probe(url=url, address=endpoint.shown, fingerprint=fingerprint)

    async def trust(self, url: str, change: PoolChange) -> Trust:
        """Return what vouches for the server at ``url``. Raises `ConflictError` ``fingerprint-needed``."""
        if change.ca_pem:
            return trust_in(change.ca_pem)
        if change.fingerprint:
            return Trust(fingerprints={URL_HOST: parse_fingerprint(change.fingerprint)})
        probe = await self.probe(url)
        if not change.accept_new:
            shown = fingerprint_shown(probe.fingerprint)
            raise ConflictError("fingerprint-needed", address=probe.address, shown=shown)
        return Trust(fingerprints={URL_HOST: probe.fingerprint})

    async def changed(self, address: PoolAddress, change: PoolChange) -> PoolAddress:
        """Return ``address`` with what ``change`` says of it; not yet tried."""
        url = change.url or address.url
        is_elsewhere = url != address.url and parse_url(url).host != _host(address.url)
        if is_elsewhere or change.ca_pem or change.fingerprint or change.accept_new:
            address = replace(address, trust=await self.trust(url, change))
        user, password = change.user or address.user, change.password or address.password
        return replace(address, url=url, user=user, password=password)

    async def reach(self, address: PoolAddress) -> tuple[PoolAddress, Pool]:
        """Sign in and read what the pool is; return it with what was learned of its members."""
        client = XapiClient(address, self._settings)
        try:
            await _opened(client, address)
            await client.call(NEEDS_OPERATOR)
            _, snapshot = await client.pool()
            address = await client.learn_members()
        finally:
            await client.close()
        id = PoolId(string(snapshot, "uuid"))
        name = string(snapshot, "name_label") or parse_url(address.url).host
        return address, Pool(id=id, name=name, url=address.url, as_of=clocks.now())

    async def is_permitted(self, address: PoolAddress) -> bool:
        """Whether an account that signs in now may do our work."""
        client = XapiClient(address, self._settings)
        try:
            await client.open()
            await client.call(NEEDS_OPERATOR)
        except (PoolError, InputError):
            return False
        finally:
            await client.close()
        return True

    async def steps(self, address: PoolAddress) -> list[Step]:
        """Sign in, do once what needs each right, sign out; tell how each step went."""
        client = XapiClient(address, self._settings)
        steps: list[Step] = []
        try:
            for name, action in (
                ("sign in", client.open),
                ("read the pool", client.pool),
                ("read its secrets", lambda: client.call(NEEDS_OPERATOR)),
                ("read its hosts", lambda: client.list_all("host")),
            ):
                steps.append(await _timed(name, action))
                if not steps[-1].ok:
                    break
        finally:
            await client.close()
        return steps


def _host(url: str) -> str | None:
    """Return the host of a stored URL, or None when that is none."""
    try:
        return parse_url(url).host
    except InputError:
        return None


async def _opened(client: XapiClient, address: PoolAddress) -> None:
    """Sign in; a member whose master nobody vouched for is told apart from a server that is not trusted itself."""
    home = parse_url(address.url).shown
    try:
        await client.open()
    except PoolError as error:
        is_strange = error.code == "pool-certificate-untrusted" and error.fields["address"] != home
        if is_strange and not address.trust.ca_pem:
            raise PoolError("pool-member", address=home, master=error.fields["address"]) from error
        raise


async def _timed(name: str, action: Callable[[], Awaitable[object]]) -> Step:
    began = time.monotonic()
    try:
        await action()
    except RoadsteadError as error:
        return Step(step=name, ok=False, seconds=time.monotonic() - began, message=str(error))
    return Step(step=name, ok=True, seconds=time.monotonic() - began)
