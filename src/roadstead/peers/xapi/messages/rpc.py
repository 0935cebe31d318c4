"""Calls and answers as bytes: JSON-RPC 2.0 as XAPI speaks it.

Facts observed on xapi 26.17: a request without ``Content-Length``, a batch, a notification or a lone surrogate is
answered with an HTML page of status 500; so is a body over 300 KiB. An XAPI error is an ``error`` object whose
``message`` is XAPI's code and whose ``data`` are its parameters; servers before API 2.8 give a plain list instead.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct

from roadstead.errors import InputError
from roadstead.kit import text
from roadstead.peers.xapi.messages.fields import Fields, config

BODY_BYTES = 300 * 1024
"""A request must be smaller than this: XAPI answers larger ones with status 500."""


class Failure(Struct, frozen=True):
    """An error of XAPI: its code (``HANDLE_INVALID``) and the parameters, which may echo arguments of the call."""

    code: str
    params: tuple[str, ...] = ()


class Answer(Struct, frozen=True):
    """What came back: a result, or the failure."""

    result: Any
    failure: Failure | None = None


class Event(Struct, frozen=True):
    """One change: ``op`` is add, mod or del; ``snapshot`` holds the object's present `Fields`, None for a deletion."""

    cls: str = msgspec.field(name="class", default="")
    op: str = msgspec.field(name="operation", default="")
    ref: str = ""
    snapshot: Fields | None = None


class EventBatch(Struct, frozen=True):
    """One answer of ``event.from``: changes, the token for the next call, and how many objects each class has now.

    ``counts`` has lower-case classes; ``vm`` counts templates, snapshots and control domains, too.
    """

    events: list[Event]
    token: str
    counts: dict[str, int] = msgspec.field(name="valid_ref_counts", default_factory=dict)


class _Envelope(Struct, frozen=True):
    result: msgspec.Raw = msgspec.Raw()
    error: Any = None


def encode_call(method: str, params: tuple[Any, ...], number: int) -> bytes:
    """Return the request that calls ``method``; every string in ``params`` is cleaned for XAPI's database.

    Raises `InputError` ``field-invalid`` when it would be too large, or a map has an empty key (XAPI takes neither).
    """
    call = {"jsonrpc": "2.0", "method": method, "params": _cleaned(params), "id": number}
    body = msgspec.json.encode(call)
    if len(body) >= BODY_BYTES:
        raise InputError("field-invalid", field=method, reason=f"a pool takes less than {BODY_BYTES // 1024} KiB")
    return body


def decode_answer(body: bytes | bytearray) -> Answer:
    """Read the answer to any call. Raises `ValueError` with a plain reason when it is none."""
    result = _opened(body)
    return Answer(None, result) if isinstance(result, Failure) else Answer(_decoded(result, Any))


def decode_listing(body: bytes | bytearray) -> Answer:
    """Read the answer to ``get_all_records``: a dictionary of `Fields` by reference. Raises `ValueError` when it is
    none.
    """
    result = _opened(body)
    return Answer(None, result) if isinstance(result, Failure) else Answer(_decoded(result, dict[str, Fields]))


def decode_mentions(texts: Collection[str], body: bytes | bytearray) -> Answer:
    """Read which of ``texts`` (of ASCII) stand anywhere in the answer to any call, as a set. Raises `ValueError`."""
    result = _opened(body)
    if isinstance(result, Failure):
        return Answer(None, result)
    plain = bytes(result).replace(b"\\/", b"/")  # JSON may write a solidus either way
    return Answer({text for text in texts if text.encode() in plain})


def decode_events(body: bytes | bytearray) -> EventBatch | Failure:
    """Read the answer to ``event.from``. Raises `ValueError` with a plain reason when it is none."""
    result = _opened(body)
    if isinstance(result, Failure):
        return result
    batch: EventBatch = _decoded(result, EventBatch)
    return batch


def _opened(body: bytes | bytearray) -> msgspec.Raw | Failure:
    envelope: _Envelope = _decoded(body, _Envelope)
    if envelope.error is not None:
        return _failure(envelope.error)
    if not memoryview(envelope.result).nbytes:
        raise ValueError("it holds neither a result nor an error")
    return envelope.result


def _decoded(body: bytes | bytearray | msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind, strict=False, dec_hook=config)
    except msgspec.ValidationError as error:
        raise ValueError("it has another shape") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError("it is no JSON") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _failure(error: Any) -> Failure:
    match error:
        case {"message": str(code), "data": list(params)}:
            return Failure(code, tuple(str(param) for param in params))
        case {"message": str(code)}:
            return Failure(code)
        case [str(code), *params]:
            return Failure(code, tuple(str(param) for param in params))
        case _:
            raise ValueError("its error has another shape")


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return text.xml_clean(value)
        case dict():
            return {_cleaned_key(key): _cleaned(member) for key, member in value.items()}
        case list() | tuple():
            return [_cleaned(member) for member in value]
        case _:
            return value


def _cleaned_key(key: str) -> str:
    if not key:
        raise InputError("field-invalid", field="key", reason="it is empty")
    return text.xml_clean(key)
