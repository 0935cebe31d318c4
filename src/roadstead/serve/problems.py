"""Errors as problem documents (RFC 9457), in the one place where exceptions become answers.

A document carries our stable code, cause and remedy, and never the text of an exception that is not ours.
"""

from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from msgspec import Struct, json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from roadstead.errors import AmbiguousError, InputError, NotFoundError, RoadsteadError, checks

MEDIA_TYPE = "application/problem+json"
_NEED_TOKEN = {"credentials-rejected", "plugin-token-refused"}


class ProblemDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not done: a code that is stable, its cause and remedy in plain words."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    remedy: str
    fields: dict[str, str] = {}
    candidates: tuple[str, ...] = ()
    """What to type instead of an ambiguous name, at most 20; ``fields.count`` says how many there are. After an id,
    which alone tells things of one name apart, stands in brackets where that one is.
    """
    suggestions: tuple[str, ...] = ()
    """What is called similarly, when nothing has the name."""


def document(error: RoadsteadError) -> ProblemDocument:
    """Describe ``error``."""
    others = error.candidates if isinstance(error, InputError) else ()
    return ProblemDocument(
        type=f"urn:roadstead:{error.code}",
        title=error.code.replace("-", " ").capitalize(),
        status=error.status,
        code=error.code,
        detail=error.cause,
        remedy=error.remedy,
        fields=error.fields,
        candidates=others if isinstance(error, AmbiguousError) else (),
        suggestions=others if isinstance(error, NotFoundError) else (),
    )


def answer(error: RoadsteadError) -> Response:
    """Return the answer that tells ``error``."""
    headers = {"WWW-Authenticate": "Bearer"} if error.code in _NEED_TOKEN else {}
    return Response(json.encode(document(error)), error.status, headers, MEDIA_TYPE)


def translated(error: Exception, request: Request) -> RoadsteadError | None:
    """Return what FastAPI and Starlette raise as an error of ours; None for what nobody foresaw."""
    match error:
        case RoadsteadError():
            return error
        case RequestValidationError():
            return _invalid(error)
        case HTTPException(status_code=HTTPStatus.NOT_FOUND):
            return NotFoundError("no-such-page", path=request.scope["path"])
        case HTTPException(status_code=HTTPStatus.METHOD_NOT_ALLOWED):
            return InputError("method-unknown", method=request.method, path=request.scope["path"])
        case HTTPException():
            return InputError("field-invalid", field="body", reason="it cannot be read")
        case _:
            return None


def _invalid(error: RequestValidationError) -> InputError:
    """Name the first field that is wrong; what was given for it stays out of the text, it may be a password."""
    first: dict[str, Any] = error.errors()[0]
    if first["type"] == "json_invalid":
        return InputError("field-invalid", field="body", reason="it is no JSON")
    where = [str(part) for part in first["loc"]]
    field = ".".join(where[1:] or where)
    return InputError("field-invalid", field=field, reason=checks.reason(first))
