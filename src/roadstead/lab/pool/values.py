"""The values of XAPI's records: what they are in memory, how arguments become them, and XAPI's notation for wrong ones.

In memory a string, reference or enumeration is `str`, an int `int`, a float `float`, a set `tuple`, a map `dict` and a
date `Date`.  Tuples and dictionaries that entered a record are never changed in place, so records can be shared.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from roadstead.lab.pool import failures

NULL = "OpaqueRef:NULL"


class Date:
    """A date as it crosses the wire: `20261123T08:34:02Z`."""

    # Not a dataclass: the JSON encoder would write one as an object.
    __match_args__ = ("text",)
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Date) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Date({self.text})"


NEVER = Date("19700101T00:00:00Z")
"""XAPI's date for "has not happened"."""


def now() -> Date:
    """The present second."""
    return Date(dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H:%M:%SZ"))


_NOTATIONS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: f"B({str(value).lower()})",
    int: lambda value: f"I({value})",
    float: lambda value: f"F({value:g})",
    str: lambda value: f"S({value})",
    Date: lambda value: f"D({value.text})",
    dict: lambda value: "{" + ";".join(f"{key}:{notation(member)}" for key, member in value.items()) + "}",
    list: lambda value: "[" + ";".join(map(notation, value)) + "]",
}


def notation(value: object) -> str:
    """`value` as XAPI writes it in its own error texts, for example `I(5)`."""
    write = _NOTATIONS.get(type(value))
    return write(value) if write else "N"


def text(value: object) -> str:
    """A string argument."""
    if not isinstance(value, str):
        raise failures.unexpected("string", notation(value))
    return value


def integer(value: object) -> int:
    """An int argument: a number, or the text of one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise failures.unexpected("int", notation(value))
    try:
        return int(value)
    except ValueError:
        raise failures.internal('Failure("Int64.of_string")') from None


def number(value: object) -> float:
    """A float argument: any number, or the text of one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        raise failures.unexpected("float", notation(value))
    try:
        return float(value)
    except ValueError:
        raise failures.internal('Failure("float_of_string")') from None


def truth(value: object) -> bool:
    """A bool argument."""
    if not isinstance(value, bool):
        raise failures.unexpected("bool", notation(value))
    return value


def date(value: object) -> Date:
    """A date argument."""
    return value if isinstance(value, Date) else Date(text(value))


def strings(value: object) -> tuple[str, ...]:
    """A set of strings or references."""
    if not isinstance(value, list | tuple):
        raise failures.unexpected("set", notation(value))
    return tuple(text(member) for member in value)


def string_map(value: object) -> dict[str, str]:
    """A map from strings to strings."""
    if not isinstance(value, dict):
        raise failures.unexpected("dictionary", notation(value))
    return {text(key): text(member) for key, member in value.items()}


def record(value: object) -> dict[str, Any]:
    """The record of a constructor; its fields are judged by the call itself."""
    if not isinstance(value, dict):
        raise failures.unexpected("dictionary", notation(value))
    return value


def maps_of_any(value: object) -> dict[str, Any]:
    """A map whose values are not strings (operations, numbers)."""
    return record(value)


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of field or argument: how one is read from the wire, and what a field of it holds from the start."""

    name: str
    read: Callable[[object], Any]
    empty: Any


KINDS = {
    kind.name: kind
    for kind in (
        Kind("str", text, ""),
        Kind("ref", text, NULL),
        Kind("int", integer, 0),
        Kind("float", number, 0.0),
        Kind("bool", truth, False),
        Kind("datetime", date, NEVER),
        Kind("set", strings, ()),
        Kind("map", string_map, {}),
        Kind("maps", maps_of_any, {}),
        Kind("record", record, {}),
    )
}
"""Every type by its name; `maps` is a map whose values are not strings."""
