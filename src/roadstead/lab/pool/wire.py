"""XAPI's two encodings, byte for byte as a real pool writes them: XML-RPC and JSON-RPC 1.0 and 2.0."""

from __future__ import annotations

import xml.parsers.expat
import xmlrpc.client
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal
from xml.sax.saxutils import escape

import msgspec

from roadstead.lab.pool.failures import Failure
from roadstead.lab.pool.values import Date

Style = Literal["xml", "json1", "json2"]


@dataclass(frozen=True, slots=True)
class Request:
    """One call as it came: its style says how to answer, `id` is echoed (JSON only)."""

    style: Style
    method: str
    params: tuple[object, ...]
    id: object = None

    @property
    def content_type(self) -> str:
        """What the answer is."""
        return "text/xml" if self.style == "xml" else "application/json"


class MalformedError(Exception):
    """A body that is no call; the text is the exception that a real pool shows."""


def read_json(body: bytes) -> Request:
    """The JSON-RPC call in `body`; `MalformedError` when it is none."""
    try:
        call = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError(f'Yojson__Common.Json_error("{error}")') from error
    if not isinstance(call, dict):
        raise MalformedError('Jsonrpc.Malformed_method_request("Invalid request body")')
    for field in ("method", "params", "id"):
        if field not in call:
            raise MalformedError(f"Jsonrpc.Malformed_method_request(\"Invalid field '{field}' in request body\")")
    params = call["params"]
    given = tuple(params) if isinstance(params, list) else (params,)
    return Request("json2" if "jsonrpc" in call else "json1", str(call["method"]), given, call["id"])


def read_xml(body: bytes) -> Request:
    """The XML-RPC call in `body`; `MalformedError` when it is none."""
    try:
        params, method = xmlrpc.client.loads(body)
    except (xml.parsers.expat.ExpatError, xmlrpc.client.Error, ValueError, TypeError, IndexError) as error:
        raise MalformedError(f'Xmlm.Error(1:1, "{error}")') from error
    if not method:
        raise MalformedError('Failure("not a methodCall")')
    return Request("xml", method, tuple(_plain(param) for param in params))


def _plain(value: object) -> object:
    if isinstance(value, xmlrpc.client.DateTime):
        return Date(str(value))
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return value


def _date_text(value: object) -> str:
    if isinstance(value, Date):
        return value.text
    raise NotImplementedError(type(value).__name__)


_ENCODER = msgspec.json.Encoder(enc_hook=_date_text)


def write_result(request: Request, result: object) -> bytes:
    """The answer to a call that worked."""
    if request.style == "json2":
        return _ENCODER.encode({"jsonrpc": "2.0", "result": result, "id": request.id})
    if request.style == "json1":
        return _ENCODER.encode({"result": result, "error": None, "id": request.id})
    if request.method == "system.listMethods":
        return _response(_xml(result))
    return _response(_struct({"Status": "Success", "Value": result}))


def write_failure(request: Request, failure: Failure) -> bytes:
    """The answer to a call that failed."""
    params = list(failure.params)
    if request.style == "json2":
        error = {"code": 1, "message": failure.code, "data": params}
        return _ENCODER.encode({"jsonrpc": "2.0", "error": error, "id": request.id})
    if request.style == "json1":
        return _ENCODER.encode({"result": None, "error": [failure.code, *params], "id": request.id})
    return _response(_struct({"Status": "Failure", "ErrorDescription": [failure.code, *params]}))


def fragment(value: object) -> str:
    """A task's result: the XML-RPC value, whatever the encoding of the call that asks for it."""
    return _xml(value)


def _response(value: str) -> bytes:
    text = f'<?xml version="1.0"?><methodResponse><params><param>{value}</param></params></methodResponse>'
    return text.encode("utf-8", "surrogatepass")


def _xml(value: object) -> str:
    return _WRITERS[type(value)](value)


def _array(members: Iterable[object]) -> str:
    return f"<value><array><data>{''.join(map(_xml, members))}</data></array></value>"


def _struct(members: dict[str, Any]) -> str:
    inner = "".join(f"<member><name>{escaped(name)}</name>{_xml(value)}</member>" for name, value in members.items())
    return f"<value><struct>{inner}</struct></value>"


def escaped(text: str) -> str:
    """`text` as the content of an XML element."""
    return escape(text, {'"': "&quot;"}) if text else text


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: lambda value: f"<value>{escaped(value)}</value>",
    bool: lambda value: f"<value><boolean>{int(value)}</boolean></value>",
    int: lambda value: f"<value>{value}</value>",
    float: lambda value: f"<value><double>{value:.17g}</double></value>",
    Date: lambda value: f"<value><dateTime.iso8601>{value.text}</dateTime.iso8601></value>",
    dict: _struct,
    list: _array,
    tuple: _array,
}
