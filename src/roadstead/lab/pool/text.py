"""What a pool's database does to strings: some are cut at the first character that it cannot hold, some are refused."""

from __future__ import annotations

import re

from roadstead.lab.pool import failures

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
"""U+FFFE and U+FFFF are missing on purpose: a real pool accepts them, and cannot read its database afterwards."""

_UNREADABLE = re.compile("[\ufffe\uffff]")


def longest_valid(value: str) -> str:
    """`value` up to its first control character."""
    found = _CONTROL.search(value)
    return value[: found.start()] if found else value


def need_valid(value: str) -> str:
    """`value`; INVALID_VALUE when there is a control character in it."""
    if _CONTROL.search(value):
        raise failures.Failure("INVALID_VALUE", "UTF8 expected")
    return value


def need_key(key: str) -> str:
    """A map's key, which must not be empty."""
    if not key:
        raise failures.internal("Db_exn.Empty_key_in_map")
    return key


def checked_map(value: dict[str, str]) -> dict[str, str]:
    """A whole map to be stored: refused, not cut, when something in it cannot be held."""
    for key, member in value.items():
        if _CONTROL.search(need_key(key)) or _CONTROL.search(member):
            raise failures.internal("Db_exn.Invalid_value")
    return value


def is_unreadable(value: object) -> bool:
    """Whether a real pool's database could not be read again with this string or map of strings in it."""
    if isinstance(value, dict):
        return any(is_unreadable(member) for pair in value.items() for member in pair)
    return isinstance(value, str) and _UNREADABLE.search(value) is not None
