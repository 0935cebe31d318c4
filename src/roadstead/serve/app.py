"""The API as one ASGI application: the table of routes on FastAPI, inside the borders."""

import inspect
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from roadstead.act.audit import acting
from roadstead.errors import InputError, RoadsteadError
from roadstead.serve import openapi, problems
from roadstead.serve.borders import Border, BoundedBody, Door, Token
from roadstead.serve.calls import CALLER, Call, Services
from roadstead.serve.routes import PREFIX, TABLE, Route


def build(services: Services, token: Token | None = None) -> FastAPI:
    """Return the API of ``services``. ``token`` opens it on loopback; without one only the local socket is open."""
    app = _routed(*TABLE, Route("GET", "/openapi.json", "view", describe_api))
    app.state.services = services
    for kind in (RoadsteadError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _told)
    app.add_middleware(BoundedBody)
    app.add_middleware(Door, token=token)
    app.add_middleware(Border)
    return app


def describe_api(_: Call) -> Response:
    """Return the OpenAPI document of this API."""
    return Response(openapi_document(), media_type="application/json")


@cache
def openapi_document() -> bytes:
    """Return the OpenAPI document of the table; it needs no server."""
    return openapi.encoded(_routed(*TABLE))


def _routed(*rows: Route) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for row in rows:
        app.add_api_route(
            PREFIX + row.path,
            _endpoint(row),
            methods=[row.method],
            status_code=row.status,
            operation_id=row.name,
            description=row.description,
            tags=[row.topic],
            response_class=Response,
            response_model=None,
        )
    return app


def _endpoint(row: Route) -> Callable[..., Awaitable[Response]]:
    """Return what FastAPI calls for ``row``: the handler with its `Call`, after the permission was checked.

    It waits even where the handler does not, for FastAPI runs what is not async in a thread of its own, where the
    inventory would change while it is read.
    """
    signature = inspect.signature(row.handler)
    asked = inspect.Parameter("request_", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    parameters = [each.replace(kind=each.KEYWORD_ONLY) for each in list(signature.parameters.values())[1:]]

    async def endpoint(*, request_: Request, **given: Any) -> Response:
        caller = request_.scope[CALLER]
        caller.demand(row.permission)
        _refuse_unknown(request_)
        with acting(caller.actor):
            answer: Response | Awaitable[Response] = row.handler(Call(request_.app.state.services, caller), **given)
            return answer if isinstance(answer, Response) else await answer

    endpoint.__name__ = row.name
    endpoint.__signature__ = inspect.Signature([asked, *parameters], return_annotation=Response)  # type: ignore[attr-defined]
    return endpoint


def _refuse_unknown(request: Request) -> None:
    """Raise `InputError` for a parameter that the route does not have: a misspelt filter would find everything."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise InputError("field-invalid", field=name, reason=f"this request has no such parameter; {has}")


async def _told(request: Request, error: Exception) -> Response:  # noqa: RUF029 - what is not async runs in a thread
    known = problems.translated(error, request)
    return problems.answer(known or RoadsteadError("internal"))
