"""Calls of the database are done whole or not at all, also when who called no longer waits."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from roadstead.kit import tasks

P = ParamSpec("P")
T = TypeVar("T")
END_SECONDS = 15.0
"""How long a call that was begun may still take when who called is told to stop."""


def whole(call: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make ``call`` go on to its end when who called is cancelled: a transaction that is left in the middle can keep
    the database locked for everybody after it.
    """

    @wraps(call)
    async def unbroken(*args: P.args, **kwargs: P.kwargs) -> T:
        return await tasks.unbroken(call(*args, **kwargs), f"database {call.__name__}", seconds=END_SECONDS)

    return unbroken
