"""From a request to its answer: the checks that XAPI makes before any call, in its order, then the call itself."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Coroutine
from typing import Any

from roadstead.kit import tasks
from roadstead.lab.pool import failures, http, methods, values, wire
from roadstead.lab.pool.accounts import check
from roadstead.lab.pool.core import Call, Core, Method
from roadstead.lab.pool.mishaps import Mishap
from roadstead.lab.pool.sessions import Session
from roadstead.lab.pool.task_calls import begin_task

_LOG = logging.getLogger(__name__)

ASYNC = "Async."


class Service:
    """Answers the requests that arrive at one host."""

    def __init__(self, core: Core, host: str) -> None:
        self._core = core
        self._host = host

    async def answer(self, asked: http.Asked) -> http.Answer:
        """The answer to one HTTP request; `http.TroubleError` when it is no call."""
        try:
            request = wire.read_json(asked.body) if asked.path == "/jsonrpc" else wire.read_xml(asked.body)
        except wire.MalformedError as error:
            raise http.TroubleError(str(error)) from error
        return http.Answer(request.content_type, await self._outcome(request))

    async def _outcome(self, request: wire.Request) -> bytes:
        try:
            return wire.write_result(request, await self.call(request.method, request.params))
        except failures.Failure as failure:
            return wire.write_failure(request, failure)
        except http.Closing:
            raise
        except Exception:  # noqa: BLE001 - as a real pool does: one bad call must not end the lab
            _LOG.exception("the lab's pool failed in %s", request.method)
            return wire.write_failure(request, failures.internal("Not_found"))

    async def call(self, name: str, params: tuple[object, ...]) -> object:
        """The result of one call; `Failure` when it fails."""
        plain = name.removeprefix(ASYNC)
        method = methods.METHODS.get(plain)
        if method is None or plain in self._core.missing:
            raise failures.Failure("MESSAGE_METHOD_UNKNOWN", name)
        if plain != name and not method.asynchronous:
            raise failures.Failure("Fault", f"No async mode for this operation (rpc: {plain})")
        given = params[1:] if method.session else params
        self._count(method, len(params))
        who = self._caller(method, params)
        arguments = [values.KINDS[kind].read(value) for kind, value in zip(method.kinds, given, strict=False)]
        if who is not None:
            permission, role = (method.name, method.role)
            if method.permission is not None:
                permission, role = method.permission(*arguments)
            check(who.account, permission, role)
        call = Call(self._core, self._host, who)
        mishap = self._core.mishaps.take(plain)
        if mishap is Mishap.REFUSED:
            raise failures.internal(f'Failure("{plain} failed on request")')
        if plain != name:
            return begin_task(call, name, self._run(method, call, arguments))
        result = await self._run(method, call, arguments)
        if mishap is Mishap.LOST:
            raise http.Closing
        if mishap is Mishap.SILENT:
            await self._core.mishaps.keep_silent()
        return result

    @staticmethod
    def _count(method: Method, given: int) -> None:
        got = given - method.session
        most = max(got, len(method.kinds)) if method.surplus else len(method.kinds)
        least = len(method.kinds) - method.optional
        if not least <= got <= most:
            raise failures.Failure("MESSAGE_PARAMETER_COUNT_MISMATCH", method.name, str(least), str(got))

    def _caller(self, method: Method, params: tuple[object, ...]) -> Session | None:
        is_master = self._host == self._core.master
        who = None
        if method.session:
            who = self._core.sessions.find(values.text(params[0]))
        if not is_master and not method.on_member and not (who and who.local):
            raise failures.Failure("HOST_IS_SLAVE", self._core.operator.address(self._core.master))
        return who

    async def _run(self, method: Method, call: Call, arguments: list[Any]) -> object:
        result = method.run(call, *arguments)
        if inspect.iscoroutine(result):
            result = await (self._steadily(result, method) if method.role else result)
        await self._core.insides.settle_keys()
        return result

    async def _steadily(self, work: Coroutine[Any, Any, object], method: Method) -> object:
        """What changes something goes on when its caller hangs up."""
        task = tasks.spawn(self._core.group, _outcome_of(work), f"pool call {method.name}")
        outcome = await asyncio.shield(task)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def _outcome_of(work: Coroutine[Any, Any, object]) -> object:
    """What `work` returned or raised: a call that fails must not take the lab with it."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - raised again where the caller waits
        return error
