"""The OpenAPI document: paths and bodies as FastAPI knows them, answers as msgspec knows them.

It is the same bytes for the same code, so clients can be generated from it and a change shows in a diff.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from msgspec import json

from roadstead.inventory.views import VmShown
from roadstead.model import Container, Host, Pool
from roadstead.serve.calls import VERSION
from roadstead.serve.handlers.parameters import REQUIRED
from roadstead.serve.problems import MEDIA_TYPE, ProblemDocument
from roadstead.serve.routes import EVENTS, PREFIX, TABLE, Route
from roadstead.serve.shapes import Relist, ShownChange

_RECORDS = (Pool, Host, VmShown, Container)
"""What a change may hold."""
_ALSO = (*_RECORDS, Relist, ProblemDocument)
_TIMES = frozenset({"as_of", "at", "created", "ended", "heard", "no_address_since", "since", "started"})
"""Fields that hold a time: msgspec describes these as plain text."""
_REFERENCE = "#/components/schemas/{name}"
_DESCRIPTION = (
    "Pools, hosts, VMs and containers, live. Every error is a problem document (RFC 9457) with a stable code. "
    "Lists carry the header Roadstead-Number, the number of the last change that they contain."
)


def document(app: FastAPI) -> dict[str, Any]:
    """Describe ``app``, whose routes are those of the table."""
    api = get_openapi(title="Roadstead", version=VERSION, description=_DESCRIPTION, routes=app.routes)
    shapes = [row.answer for row in TABLE if row.answer is not None]
    schemas, components = json.schema_components([*shapes, *_ALSO], ref_template=_REFERENCE)
    of_answer = iter(schemas)
    for row in TABLE:
        operation = api["paths"][PREFIX + row.path][row.method.lower()]
        operation["x-permission"] = row.permission
        for parameter in operation.get("parameters", ()):
            if parameter["schema"].pop(REQUIRED, False):
                parameter["required"] = True
                parameter["schema"].pop("default", None)
        operation["responses"] = _responses(row, next(of_answer) if row.answer is not None else {})
    records = [{"$ref": _REFERENCE.format(name=kind.__name__)} for kind in _RECORDS]
    components[ShownChange.__name__]["properties"]["record"] = {"anyOf": [*records, {"type": "null"}]}
    for component in components.values():
        _date(component.get("properties", {}))
    known = api.setdefault("components", {}).setdefault("schemas", {})
    known.update(components)
    for unused in ("HTTPValidationError", "ValidationError"):
        known.pop(unused, None)
    api["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    api["security"] = [{"token": []}]
    return api


def encoded(app: FastAPI) -> bytes:
    """Return the document as JSON with its keys in order."""
    return json.format(json.encode(document(app), order="sorted"), indent=1)


def _date(properties: dict[str, Any]) -> None:
    for name in _TIMES & properties.keys():
        for kind in properties[name].get("anyOf", [properties[name]]):
            if kind.get("type") == "string":
                kind["format"] = "date-time"


def _responses(row: Route, schema: dict[str, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "No content." if row.status == HTTPStatus.NO_CONTENT else "Done."}
    if row.media_type == EVENTS:
        either = {"oneOf": [schema, {"$ref": _REFERENCE.format(name=Relist.__name__)}]}
        good = {"description": "Events `change` and `relist`.", "content": {EVENTS: {"schema": either}}}
    elif row.status != HTTPStatus.NO_CONTENT:
        good["content"] = {row.media_type: {"schema": schema}}
    problem = {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(name=ProblemDocument.__name__)}}}
    return {str(row.status): good, "default": {"description": "Why it was not done.", "content": problem}}
