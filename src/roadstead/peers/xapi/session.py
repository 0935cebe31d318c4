"""One signed-in session with the master of a pool, wherever the master is.

A session has an originator of its own, because XAPI pushes out the oldest sessions of an originator that has too many.
A member answers a sign-in with ``HOST_IS_SLAVE`` and the master's address before it looks at the password; a pool
whose master died is found again through the other members. A session that the pool ended is replaced once, by one new
sign-in for all who noticed; after that the caller hears of it.
"""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from roadstead.errors import PoolError
from roadstead.peers.xapi import faults, messages
from roadstead.peers.xapi.trust import Endpoint, PoolAddress, canonical, parse_url
from roadstead.peers.xapi.wire import Lane, Request, Wire
from roadstead.settings.schema import PoolSettings

HOSTS = 64
"""How many hosts one search for the master asks: as many as a pool may have."""

LOGOUT_SECONDS = 3.0
"""Limit on saying goodbye: a pool that is gone must not hold up our end."""

_LOGIN = "session.login_with_password"
_READS = ".get_"

_FINAL = frozenset({"pool-sign-in-failed", "pool-not-permitted", "pool-call-failed"})
"""Answers to a sign-in that the master gave for the whole pool: asking other hosts would only repeat them."""

OWN = ""
"""Stands for whatever the host said, or did not say, that is the master as far as anybody knows."""

_COOKIE = re.compile(r"[!-:<-~]+")

_GRAVITY = (
    "pool-timed-out",
    "pool-starting",
    "pool-answer-invalid",
    "pool-certificate-untrusted",
    OWN,
    "pool-certificate-changed",
    "pool-other-answers",
)
"""Which of several hosts' errors tells most (the last) about a search that found no master; any other tells less."""

T = TypeVar("T")
Decode = Callable[[bytearray], messages.Answer]


class Session:
    """Signs in, calls, follows the master, signs out. Every error is a `PoolError` of `faults`."""

    def __init__(self, address: PoolAddress, settings: PoolSettings) -> None:
        self.address = address
        self.originator = f"roadstead-{secrets.token_hex(8)}"
        self._settings = settings
        self._home = parse_url(address.url)
        self._wire: Wire | None = None
        self._master: Endpoint | None = None
        self._ref: str | None = None
        self._why: PoolError | None = None
        self._renewing = asyncio.Lock()
        self._stream: str | None = None
        self._number = 0
        self._denied: asyncio.Future[str] | None = None
        """Who wants to know of a call that the account may not make."""

    @property
    def endpoint(self) -> Endpoint:
        """The master as last known, or the host of the URL."""
        return self._master or self._home

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._ref is not None

    async def open(self) -> None:
        """Sign in (anew), on whichever host is the master now. Nothing else makes connections, so none outlive `close`,
        whoever was about to call then.
        """
        async with self._renewing:
            if self._wire is None:
                self._wire = Wire(self.address, connect_seconds=self._settings.connect_seconds)
            former, self._ref = self._ref, None
            await self._sign_in()
        await self._sign_out(former)

    async def close(self) -> None:
        """Sign out, and end all connections, also when it is cancelled meanwhile. Never fails."""
        try:
            while self._ref is not None:  # a sign-in that was under way may give another one
                former, self._ref = self._ref, None
                await self._sign_out(former)
        finally:
            self._why = None
            wire, self._wire = self._wire, None
            if wire is not None:
                await wire.close()

    async def wait_denied(self) -> str:
        """Wait until the account was not allowed a call, and return which: roles are read at the sign-in."""
        self._denied = asyncio.get_running_loop().create_future()
        return await self._denied

    def trust(self, address: PoolAddress) -> None:
        """From now on use ``address`` (same pool, same user): new members and fingerprints count at once."""
        self.address = address
        if self._wire is not None:
            self._wire.trust(address)

    async def call(
        self, method: str, params: tuple[Any, ...], seconds: float, decode: Decode = messages.decode_answer
    ) -> Any:
        """Return the result of ``method``, called with our session before ``params``, as ``decode`` reads it.

        A call that the pool refused because of the session is made once more after a new sign-in: it was not begun.
        """
        failure = messages.Failure("SESSION_INVALID")
        for _ in range(2):
            ref = self._signed_in(method)
            answer = await self._ask_surely(method, (ref, *params), seconds, decode)
            if answer.failure is None:
                return answer.result
            failure = answer.failure
            if failure.code not in faults.SESSION_ENDED:
                break
            await self._renew(ref)
        raise self._refused(failure, method)

    async def events(self, classes: tuple[str, ...], token: str, seconds: float) -> messages.EventBatch:
        """Return what changed since ``token``. A token is good only in the session that gave it: anything else raises
        ``pool-session-lost``, after which the caller starts from the empty token.
        """
        method = "event.from"
        ref = self._signed_in(method)
        if token and self._stream != ref:
            raise faults.session_lost(self.endpoint.shown, self.address.name, method)
        self._stream = None
        limit = seconds + self._settings.call_seconds if token else self._settings.list_seconds
        body = self._encoded(method, (ref, classes, token, seconds))
        wire = self._connections(method)
        answer = await wire.post(self.endpoint, body, call=method, seconds=limit, lane=Lane.EVENTS)
        batch = self._read(messages.decode_events, answer, self.endpoint, method)
        if isinstance(batch, messages.Failure):
            raise self._refused(batch, method)
        self._stream = ref
        return batch

    async def transfer(self, request: Request, host: str, seconds: float) -> bytes:
        """Exchange ``request``, which is about a whole disk, with the host of that address; with the master if empty.

        The session goes along in a cookie: an address stands in logs.
        """
        ref = self._signed_in(request.call)
        try:
            endpoint = Endpoint(canonical(host), self._home.port) if host else self.endpoint
        except ValueError as error:
            raise self._invalid(self.endpoint, "it names no host", request.call) from error
        if not _COOKIE.fullmatch(ref):
            raise self._invalid(self.endpoint, "its session fits into no cookie", request.call)
        cookie = {"Cookie": f"session_id={ref}"}
        wire = self._connections(request.call)
        return bytes(await wire.exchange(endpoint, request._replace(headers=cookie), seconds=seconds, lane=Lane.DISKS))

    def _signed_in(self, method: str) -> str:
        if self._ref is not None:
            return self._ref
        if self._why is not None:
            raise PoolError(self._why.code, **self._why.fields) from self._why
        raise faults.session_lost(self.endpoint.shown, self.address.name, method)

    async def _renew(self, ref: str) -> None:
        async with self._renewing:
            if self._ref == ref:
                self._ref = None
                await self._sign_in()

    async def _sign_in(self) -> None:
        try:
            self._master, self._ref = await self._search()
        except PoolError as error:
            self._why = error
            raise
        self._why = None

    async def _search(self) -> tuple[Endpoint, str]:
        """Ask hosts for a session until one of them is the master and gives it."""
        waiting, asked, master = self._candidates(), set[Endpoint](), self.endpoint
        errors: dict[Endpoint, PoolError] = {}
        while waiting and len(asked) < HOSTS:
            endpoint = waiting.popleft()
            if endpoint in asked:
                continue
            asked.add(endpoint)
            try:
                answer = await self._sign_in_at(endpoint)
            except PoolError as error:
                if error.code in _FINAL:
                    raise
                errors[endpoint] = error
                continue
            if isinstance(answer, str):
                return endpoint, answer
            master = answer
            waiting.appendleft(answer)
        if not errors:
            raise self._invalid(self._home, "its hosts name each other as the master")
        raise max(errors.values(), key=lambda error: _gravity(error, is_own=error is errors.get(master)))

    def _candidates(self) -> deque[Endpoint]:
        """Where the master may be: where it was, then the host of the URL, then the other members."""
        members = (Endpoint(canonical(member), self._home.port) for member in self.address.members)
        return deque((self.endpoint, self._home, *members))

    async def _sign_in_at(self, endpoint: Endpoint) -> str | Endpoint:
        """Return the session that ``endpoint`` gave, or the master that it named."""
        params = (self.address.user, self.address.password, "1.0", self.originator)
        answer = await self._ask(endpoint, _LOGIN, params, self._settings.call_seconds)
        if answer.failure is not None and answer.failure.code == "HOST_IS_SLAVE":
            return self._named_master(answer.failure, endpoint)
        if answer.failure is not None:
            raise self._refused(answer.failure, _LOGIN)
        if not isinstance(answer.result, str) or not answer.result:
            raise self._invalid(endpoint, "it names no session")
        try:
            await self._identify(endpoint, answer.result)
        except BaseException:
            await self._sign_out(answer.result, endpoint)
            raise
        return answer.result

    async def _identify(self, endpoint: Endpoint, ref: str) -> None:
        """Make sure that it is our pool which gave the session ``ref``: hosts are installed anew and change pools, and
        nothing of one pool may be taken for, or written to, another.
        """
        if not self.address.id:
            return
        method, seconds = "pool.get_all_records", self._settings.call_seconds
        answer = await self._ask(endpoint, method, (ref,), seconds, messages.decode_listing)
        if answer.failure is not None:
            raise self._refused(answer.failure, method)
        for pool in answer.result.values():
            faults.check_identity(pool, self.address.id, address=endpoint.shown, pool=self.address.name)

    def _named_master(self, failure: messages.Failure, endpoint: Endpoint) -> Endpoint:
        try:
            return Endpoint(canonical(failure.params[0]), self._home.port)
        except (IndexError, ValueError) as error:
            raise self._invalid(endpoint, "it names no master") from error

    async def _sign_out(self, ref: str | None, endpoint: Endpoint | None = None) -> None:
        if ref is None:
            return
        try:
            await self._ask(endpoint or self.endpoint, "session.logout", (ref,), LOGOUT_SECONDS)
        except PoolError:
            return  # it ends by itself when nobody uses it, and nobody can do more

    async def _ask_surely(
        self, method: str, params: tuple[Any, ...], seconds: float, decode: Decode
    ) -> messages.Answer:
        """Ask the master; a question that only reads is asked twice when its connection ended without an answer, unless
        it was `close` that ended it.
        """
        wire = self._wire
        try:
            return await self._ask(self.endpoint, method, params, seconds, decode)
        except PoolError as error:
            if not (faults.is_cut(error) and _READS in method) or self._wire is not wire:
                raise
        return await self._ask(self.endpoint, method, params, seconds, decode)

    async def _ask(
        self,
        endpoint: Endpoint,
        method: str,
        params: tuple[Any, ...],
        seconds: float,
        decode: Decode = messages.decode_answer,
    ) -> messages.Answer:
        body = self._encoded(method, params)
        answer = await self._connections(method).post(endpoint, body, call=method, seconds=seconds)
        return self._read(decode, answer, endpoint, method)

    def _connections(self, method: str) -> Wire:
        if self._wire is None:
            raise faults.session_lost(self.endpoint.shown, self.address.name, method)
        return self._wire

    def _encoded(self, method: str, params: tuple[Any, ...]) -> bytes:
        self._number += 1
        return messages.encode_call(method, params, self._number)

    def _read(self, decode: Callable[[bytearray], T], body: bytearray, endpoint: Endpoint, method: str) -> T:
        try:
            return decode(body)
        except ValueError as error:
            raise self._invalid(endpoint, str(error), method) from error

    def _refused(self, failure: messages.Failure, method: str) -> PoolError:
        address = self.address
        error = faults.refused(failure, call=method, address=self.endpoint.shown, user=address.user, pool=address.name)
        if error.code == "pool-not-permitted" and self._denied is not None and not self._denied.done():
            self._denied.set_result(method)
        return error

    def _invalid(self, endpoint: Endpoint, reason: str, method: str = _LOGIN) -> PoolError:
        return faults.answer_invalid(endpoint.shown, self.address.name, method, reason)


def _gravity(error: PoolError, *, is_own: bool) -> int:
    """Return how much an error tells; of two that tell as much `max` takes the earlier one."""
    own = _GRAVITY.index(OWN) if is_own else -1
    return max(own, _GRAVITY.index(error.code) if error.code in _GRAVITY else -1)
