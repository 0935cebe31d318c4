"""Bytes to and from the hosts of a pool: HTTPS as XAPI's own small HTTP server likes it.

Its limits (observed): all request headers together under 1,024 bytes (more is closed without a reply), a
``Content-Length`` always, one request at a time on a connection. Nothing of the environment takes part: no proxy, no
netrc, no cookie, and a redirect is never followed, because the body may hold a password.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from enum import Enum
from io import BytesIO
from typing import NamedTuple

import aiohttp

from roadstead.errors import PoolError
from roadstead.peers.xapi import faults
from roadstead.peers.xapi.trust import Check, Endpoint, PoolAddress, Verifier

ANSWER_BYTES = 256 * 2**20
"""The largest answer that is read; a pool of 2,000 VMs lists itself in 5 MiB."""

CONNECTIONS = 4
"""How many calls may be under way to one pool at once; each has its own connection. Events have one besides."""

PIECEMEAL_BYTES = 64 * 2**10
"""A larger body is sent piece by piece, between which others get their turn."""

IDLE_SECONDS = 8.0
"""How long an unused connection is kept: XAPI closes it after 10 s."""

_HEADERS = {"User-Agent": "roadstead"}
_JSON = {"Content-Type": "application/json"}
_PATH = "/jsonrpc"
_OK = 200


class Lane(Enum):
    """Which connections a request takes, and how many there are: `EVENTS` may block for long and `DISKS` moves much,
    and neither must make a call wait.
    """

    CALLS = ("calls", CONNECTIONS)
    EVENTS = ("events", 1)
    DISKS = ("disks", 2)

    @property
    def connections(self) -> int:
        """How many there may be to one pool."""
        return self.value[1]


class Request(NamedTuple):
    """One request; ``target`` is its path and query, ``call`` what errors name it."""

    verb: str
    target: str
    call: str
    answer_bytes: int
    """The largest answer that is read."""
    body: bytes = b""
    headers: Mapping[str, str] = {}
    taker: Callable[[bytes], Awaitable[object]] | None = None
    """Is given the answer piece by piece, in order; what is returned is empty then."""


class Wire:
    """The connections to one pool. Made inside a running loop; `close` ends them."""

    def __init__(self, address: PoolAddress, *, connect_seconds: float) -> None:
        """Raises `InputError` for a URL or a CA file that makes no sense."""
        self._pool = address.name
        self._verifier = Verifier(address)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        self._lanes = {lane: _http(lane, timeout) for lane in Lane}

    async def post(
        self, endpoint: Endpoint, body: bytes, *, call: str, seconds: float, lane: Lane = Lane.CALLS
    ) -> bytearray:
        """Send the call ``body`` to ``endpoint`` and return its answer, see `exchange`."""
        request = Request("POST", _PATH, call, ANSWER_BYTES, body, _JSON)
        return await self.exchange(endpoint, request, seconds=seconds, lane=lane)

    async def exchange(self, endpoint: Endpoint, request: Request, *, seconds: float, lane: Lane) -> bytearray:
        """Send ``request`` to ``endpoint`` and return the answer's body.

        Raises `PoolError`: ``pool-certificate-changed``, ``-untrusted``, ``pool-unreachable``, ``pool-timed-out`` after
        ``seconds``, ``pool-answer-invalid``.
        """
        verifier, refusal = self._verifier, None
        for check in verifier.checks_for(endpoint):
            try:
                answer = await self._exchange(endpoint, request, check, seconds, lane)
            except PoolError as error:
                if error.code not in faults.CERTIFICATE:
                    raise
                refusal = refusal or error
            else:
                verifier.fitted(endpoint, check)
                return answer
        raise refusal or faults.untrusted(endpoint.shown, self._pool, "nobody vouches for it")

    async def _exchange(
        self, endpoint: Endpoint, request: Request, check: Check, seconds: float, lane: Lane
    ) -> bytearray:
        """Send ``request`` if the certificate passes ``check``; otherwise not a byte of it."""
        url = f"https://{endpoint.shown}{request.target}"
        body = BytesIO(request.body) if len(request.body) > PIECEMEAL_BYTES else request.body
        with faults.border(endpoint.shown, self._pool, request.call):
            async with (
                asyncio.timeout(seconds),
                self._lanes[lane].request(
                    request.verb, url, data=body, headers=request.headers, ssl=check, allow_redirects=False
                ) as answer,
            ):
                if answer.status != _OK:
                    raise self._invalid(endpoint, request, f"HTTP status {answer.status}")
                return await self._body(answer, endpoint, request)

    async def _body(self, answer: aiohttp.ClientResponse, endpoint: Endpoint, request: Request) -> bytearray:
        received, size = bytearray(), 0
        async for piece in answer.content.iter_any():
            size += len(piece)
            if size > request.answer_bytes:
                reason = f"it is larger than {request.answer_bytes // 2**20} MiB"
                raise self._invalid(endpoint, request, reason)
            if request.taker is None:
                received += piece
            else:
                await request.taker(piece)
        return received  # as it is: of a whole pool, a copy would be 100 MB

    def _invalid(self, endpoint: Endpoint, request: Request, reason: str) -> PoolError:
        return faults.answer_invalid(endpoint.shown, self._pool, request.call, reason)

    def trust(self, address: PoolAddress) -> None:
        """From now on check certificates by ``address``; connections that are open were checked when they were made."""
        self._verifier = Verifier(address)

    async def close(self) -> None:
        """End all connections, each of them also when it is cancelled meanwhile."""
        async with AsyncExitStack() as stack:
            for http in self._lanes.values():
                stack.push_async_callback(http.close)


def _http(lane: Lane, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=lane.connections, keepalive_timeout=IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        skip_auto_headers=("Accept-Encoding",),
        auto_decompress=False,
        timeout=timeout,
        trust_env=False,
    )
