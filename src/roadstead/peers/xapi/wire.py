"""Bytes to and from the hosts of a pool: HTTPS as XAPI's own small HTTP server likes it.

Its limits (observed): all request headers together under 1,024 bytes (more is closed without a reply), a
``Content-Length`` always, one request at a time on a connection. Nothing of the environment takes part: no proxy, no
netrc, no cookie, and a redirect is never followed, because the body may hold a password.
"""

import asyncio
from contextlib import AsyncExitStack
from enum import Enum

import aiohttp

from roadstead.errors import PoolError
from roadstead.peers.xapi import faults
from roadstead.peers.xapi.trust import Check, Endpoint, PoolAddress, Verifier

ANSWER_BYTES = 256 * 2**20
"""The largest answer that is read; a pool of 2,000 VMs lists itself in 5 MiB."""

CONNECTIONS = 4
"""How many calls may be under way to one pool at once; each has its own connection. Events have one besides."""

IDLE_SECONDS = 8.0
"""How long an unused connection is kept: XAPI closes it after 10 s."""

_HEADERS = {"Content-Type": "application/json", "User-Agent": "roadstead"}
_PATH = "/jsonrpc"
_OK = 200


class Lane(Enum):
    """Which connections a request takes: `EVENTS` may block for long and must never make a call wait."""

    CALLS = CONNECTIONS
    EVENTS = 1


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
    ) -> bytes:
        """Send ``body`` to ``endpoint`` and return the answer's body. ``call`` is for the texts of errors only.

        Raises `PoolError`: ``pool-certificate-changed``, ``-untrusted``, ``pool-unreachable``, ``pool-timed-out`` after
        ``seconds``, ``pool-answer-invalid``.
        """
        verifier, refusal = self._verifier, None
        for check in verifier.checks_for(endpoint):
            try:
                answer = await self._post(endpoint, body, check, call, seconds, lane)
            except PoolError as error:
                if error.code not in faults.CERTIFICATE:
                    raise
                refusal = refusal or error
            else:
                verifier.fitted(endpoint, check)
                return answer
        raise refusal or faults.untrusted(endpoint.shown, self._pool, "nobody vouches for it")

    async def _post(
        self, endpoint: Endpoint, body: bytes, check: Check, call: str, seconds: float, lane: Lane
    ) -> bytes:
        """Send ``body`` if the certificate passes ``check``; otherwise not a byte of it."""
        url = f"https://{endpoint.shown}{_PATH}"
        with faults.border(endpoint.shown, self._pool, call):
            async with (
                asyncio.timeout(seconds),
                self._lanes[lane].post(url, data=body, ssl=check, allow_redirects=False) as answer,
            ):
                if answer.status != _OK:
                    raise self._invalid(endpoint, call, f"HTTP status {answer.status}")
                return await self._body(answer, endpoint, call)

    async def _body(self, answer: aiohttp.ClientResponse, endpoint: Endpoint, call: str) -> bytes:
        received = bytearray()
        async for piece in answer.content.iter_any():
            received += piece
            if len(received) > ANSWER_BYTES:
                raise self._invalid(endpoint, call, f"it is larger than {ANSWER_BYTES // 2**20} MiB")
        return bytes(received)

    def _invalid(self, endpoint: Endpoint, call: str, reason: str) -> PoolError:
        return faults.answer_invalid(endpoint.shown, self._pool, call, reason)

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
        connector=aiohttp.TCPConnector(limit=lane.value, keepalive_timeout=IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_HEADERS,
        skip_auto_headers=("Accept-Encoding",),
        auto_decompress=False,
        timeout=timeout,
        trust_env=False,
    )
