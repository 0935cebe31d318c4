"""Operations: commands on their way, with a result for each target."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

ACTIONS = ("start", "stop", "restart", "pause", "unpause")
"""What can be done to a container; the words are the Engine API's."""


class Result(Struct, frozen=True, kw_only=True, gc=False):
    """What became of one target. ``ok`` is None while it is under way; ``code`` and ``message`` tell a failure."""

    target: str
    ok: bool | None = None
    code: str = ""
    message: str = ""


class Operation(Struct, frozen=True, kw_only=True, gc=False):
    """One command on one or many containers. Its effect is never written into the inventory: it is observed."""

    id: str
    action: str
    state: Literal["running", "done", "cancelled"]
    results: tuple[Result, ...]
    started: datetime
    ended: datetime | None = None
    by: str = ""
    """Who asked."""
