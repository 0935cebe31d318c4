"""What may be asked of a running lab, and how it is asked: the side of `roadstead lab do` that talks to the lab.

It imports nothing of the lab itself, so that a command is not slower than what it asks for.  The lab's side, and what
crosses the socket, is `control`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from roadstead.errors import (
    CODES,
    AmbiguousError,
    ConflictError,
    InputError,
    NotFoundError,
    RoadsteadError,
)
from roadstead.lab.verbs import VERBS

ANSWER_S = 120.0
ANSWER_BYTES = 256 * 1024 * 1024
"""`truth` of 10,000 VMs is tens of megabytes."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked: a verb, the VM (or what stands in its place), and its value."""

    verb: str
    vm: str = ""
    value: str | None = None

    def check(self) -> None:
        """Raise `InputError` ``action-unknown``, or ``lab-argument-missing`` when what it needs is not given."""
        usage = VERBS.get(self.verb)
        if usage is None:
            raise InputError("action-unknown", action=self.verb, known=", ".join(VERBS))
        for name, given in zip(usage.needs, (self.vm, self.value), strict=False):
            if not given:
                raise InputError(
                    "lab-argument-missing", verb=self.verb, argument=name, usage=f"{self.verb} {usage.arguments}"
                )

    def number(self, field: str) -> float:
        """The VM's place as a number: for verbs that are about no VM."""
        return _number(field, self.vm)

    def host(self) -> int | None:
        """The value as a host's number; None when there is none."""
        return None if self.value is None else int(_number("HOST", self.value))

    def count(self) -> int | None:
        """The value as a number of containers; None when there is none."""
        return int(_number("CONTAINERS", self.value)) if self.value else None


def _number(field: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError("field-invalid", field=field, reason=f"{text} is not a number") from None


def socket(state: Path) -> Path:
    """The control socket of the lab whose folder is `state`."""
    return state / "control.sock"


def _absolute(path: Path) -> Path:
    return path.absolute()


async def lab_do(state: Path, verb: str, vm: str = "", value: str | None = None) -> dict[str, Any]:
    """Act on the lab that runs on the folder `state`; returns what came of it.

    `InputError` for an unknown verb, VM, host or value; `ConflictError` when the pool refuses or no lab runs there.
    """
    order = Order(verb, vm, value)
    order.check()
    path = socket(_absolute(state))
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=ANSWER_BYTES)
    except OSError as error:
        raise ConflictError("lab-gone", path=path.parent) from error
    try:
        writer.write(msgspec.json.encode(order) + b"\n")
        async with asyncio.timeout(ANSWER_S):
            line = await reader.readline()
    except (OSError, TimeoutError) as error:
        raise ConflictError("lab-gone", path=path.parent) from error
    finally:
        writer.close()
    return _judged(path.parent, line)


def _judged(state: Path, line: bytes) -> dict[str, Any]:
    if not line:
        raise ConflictError("lab-gone", path=state)
    answer = msgspec.json.decode(line, type=dict[str, Any])
    if "code" not in answer:
        return dict(answer["result"])
    code = answer["code"]
    if code == "ambiguous-name":
        raise AmbiguousError(code, **answer["fields"])
    kind = _KINDS.get(CODES[code].status, ConflictError)
    raise kind(code, **answer["fields"])


_KINDS: dict[int, type[RoadsteadError]] = {404: NotFoundError, 422: InputError}
"""The errors that an answer stands for, by the status of its code."""
