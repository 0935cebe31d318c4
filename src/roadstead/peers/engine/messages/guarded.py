"""JSON from an engine, read so that neither its depth nor one wrong value in it can hurt.

A guest is untrusted. The fast path is msgspec with exact types; what it refuses is read once more by a tolerant
reader, because one broken entry must not hide the others.
"""

import json
import re
from functools import cache
from typing import Any, TypeVar

import msgspec

from roadstead.errors import EngineError

NUMBER_DIGITS = 20
"""A longer number is none that an engine means."""

MANY_PARTS = 2**16
"""So many objects and lists are always read."""
PART_BYTES = 32
"""What an object or a list takes of an answer that has more of them: an engine's take twice that and more."""

S = TypeVar("S", bound=msgspec.Struct)

_ANY = msgspec.json.Decoder(msgspec.Raw)
"""Reads over a value without keeping it: 6 MB in 3 ms."""
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_STRUCTURE = b'{}[]"'
_REST = bytes(value for value in range(256) if value not in _STRUCTURE)


def invalid(reason: str) -> EngineError:
    """Return the error for an answer that no engine gives."""
    return EngineError("engine-answer-invalid", reason=reason)


def check_depth(data: bytes, limit: int) -> None:
    """Raise `EngineError` ``engine-answer-invalid`` when the JSON in ``data`` nests deeper than ``limit``, or has so
    many small parts that reading it would take many times its size.

    Every step works on whole byte strings at C speed; what is usual ends at the first one.
    """
    if data.count(b"{") + data.count(b"[") <= limit:
        return
    text = _ESCAPE.sub(b"", data) if b"\\" in data else data
    brackets = _STRING.sub(b"", text.translate(None, _REST)).replace(b'"', b"")
    if len(brackets) // 2 > max(MANY_PARTS, len(data) // PART_BYTES):
        raise invalid("its JSON has too many parts")
    for _ in range(limit):
        if _run(limit + 1).search(brackets):
            break  # what nests as deep as that would be taken apart layer by layer
        shorter = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    if len(brackets) > limit:
        raise invalid("its JSON nests too deeply")


@cache
def _run(length: int) -> re.Pattern[bytes]:
    """So many brackets that open, one after the other."""
    return re.compile(rb"[\[{]{%d}" % length)


def check_object(data: bytes, limit: int) -> None:
    """Raise `EngineError` ``engine-answer-invalid`` when ``data`` is no whole JSON object, or nests too deeply. Where
    only the end of the connection ends an answer, one that was cut off looks like any other.
    """
    if data.lstrip()[:1] != b"{":
        raise invalid("it is no JSON object")
    check_depth(data, limit)
    try:
        data.decode()
        _ANY.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid("it is not JSON") from error


def tolerant(data: bytes) -> Any:
    """Return what the JSON in ``data`` says, reading past invalid UTF-8, NaN, infinities, repeated keys and the lone
    surrogates that JSON can express and UTF-8 cannot.

    Raises `EngineError` ``engine-answer-invalid`` when it is no JSON at all.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        said = json.loads(data.decode("utf-8", "replace"), parse_constant=lambda _: None, parse_int=_number)
        return _clean(said)
    except (ValueError, RecursionError) as error:
        raise invalid("it is not JSON") from error


def _number(text: str) -> int | None:
    return int(text) if len(text) <= NUMBER_DIGITS else None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value


def fitted(value: object, kind: type[S]) -> S | None:
    """Return ``value`` as a ``kind``; fields of a wrong type count as absent. None when it is no object at all.

    ``kind`` needs a default for every field.
    """
    if not isinstance(value, dict):
        return None
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name in value:
            found = _fitted_value(value[field.encode_name], field.type)
            if found is not None:
                fields[field.name] = found
    return kind(**fields)


def _fitted_value(value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError):
        return _fitted_parts(value, kind)


def _fitted_parts(value: object, kind: Any) -> Any:
    """Keep of a list or map what fits, so that one bad label or port costs only itself."""
    if isinstance(value, dict):
        return _converted({key: item for key, item in value.items() if isinstance(item, str)}, kind)
    if isinstance(value, list):
        return _converted([each for each in value if _converted([each], kind) is not None], kind)
    return None


def _converted(value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError):
        return None
