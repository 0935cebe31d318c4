"""The records that clients give to `create`: which fields must be there, and what the database makes of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from roadstead.lab.pool import failures
from roadstead.lab.pool.schema import SCHEMAS
from roadstead.lab.pool.text import checked_map, longest_valid


def need(record: Mapping[str, Any], *fields: str) -> None:
    """INTERNAL_ERROR for the first of these fields that is missing."""
    for field in fields:
        if field not in record:
            raise failures.internal(f'Server_helpers.Dispatcher_FieldNotFound("{field}")')


def read(kind: str, record: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Those of the fields that the record has, as the database holds them."""
    known = SCHEMAS[kind].fields
    return {name: _stored(known[name].kind.read(record[name])) for name in fields if name in record}


def _stored(value: Any) -> Any:
    if isinstance(value, str):
        return longest_valid(value)
    return checked_map(value) if isinstance(value, dict) else value


def one_of(known: Collection[str], value: object) -> None:
    """INTERNAL_ERROR unless `value` belongs to the enumeration."""
    if value not in known:
        raise failures.internal(failures.UNKNOWN_TAG)
