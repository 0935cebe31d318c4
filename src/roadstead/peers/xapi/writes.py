"""Writes of ``other_config``, one key at a time.

XAPI has no compare-and-set, and whoever writes a whole map back undoes what others wrote meanwhile. Adding and removing
single keys loses nothing (measured with concurrent writers); an update is a removal and an addition, between which
readers see the key absent.
"""

from typing import Any, Protocol

from roadstead.errors import InputError, PoolError
from roadstead.kit import tasks
from roadstead.peers.xapi import faults

ATTEMPTS = 4
"""How often a key that others write at the same time is written before we give up."""

SECOND_HALF_SECONDS = 5.0
"""How long a removal and its addition may still take when we are told to stop: a key must not be lost by that."""


class Call(Protocol):
    """`XapiClient.call`."""

    async def __call__(self, method: str, *params: Any, seconds: float | None = None) -> Any:
        """Call ``method`` and return its result."""


async def add_key(call: Call, cls: str, ref: str, key: str, value: str) -> bool:
    """Add ``key`` to the ``other_config`` of an object of class ``cls``; return False when it was there already."""
    try:
        await call(f"{cls}.add_to_other_config", ref, _named(key), value)
    except PoolError as error:
        if faults.is_taken(error):
            return False
        raise
    return True


async def set_key(call: Call, cls: str, ref: str, key: str, value: str | None) -> None:
    """Make ``key`` be ``value``, or absent when that is None; writes nothing when it is so already.

    Of two who write the same key at the same time the later one wins. Raises `PoolError`.
    """
    if value is None:
        await call(f"{cls}.remove_from_other_config", ref, _named(key))
        return
    for _ in range(ATTEMPTS):
        if await add_key(call, cls, ref, key, value) or await _current(call, cls, ref, key) == value:
            return
        if await _swap(call, cls, ref, key, value):
            return
    raise PoolError(
        "pool-call-failed",
        call=f"{cls}.add_to_other_config",
        reason=f"others write {key}",
        xapi=faults.MAP_DUPLICATE_KEY,
    )


async def replace_key(call: Call, cls: str, ref: str, key: str, value: str | None) -> None:
    """Make ``key`` be ``value``, or absent when that is None, whatever it is now; who adds it between the two wins."""
    if value is None:
        await call(f"{cls}.remove_from_other_config", ref, _named(key))
    else:
        await _swap(call, cls, ref, _named(key), value)


async def _current(call: Call, cls: str, ref: str, key: str) -> str | None:
    config = await call(f"{cls}.get_other_config", ref)
    return config.get(key) if isinstance(config, dict) else None


async def _swap(call: Call, cls: str, ref: str, key: str, value: str) -> bool:
    async def both_halves() -> bool:
        await call(f"{cls}.remove_from_other_config", ref, key)
        return await add_key(call, cls, ref, key, value)

    return await tasks.unbroken(both_halves(), f"write {key}", seconds=SECOND_HALF_SECONDS)


def _named(key: str) -> str:
    if not key:
        raise InputError("field-invalid", field="key", reason="it is empty")
    return key
