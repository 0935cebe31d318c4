"""Every error that Roadstead raises on purpose, so that each failure has one name on every border.

The tree (catch broad, recover narrow)::

    RoadsteadError            a stable code, its fields, a cause and a remedy in plain words
    ├── InputError            what the caller gave is wrong; nothing was changed
    │   ├── NotFoundError     it names nothing that exists
    │   └── AmbiguousError    it names several things
    ├── ConflictError         the present state forbids it
    ├── DeniedError           the caller may not
    ├── StartError            this process cannot begin its work (settings, state folder, files)
    └── PeerError             something outside failed us: an expected outage
        ├── PoolError         a hypervisor pool (XAPI)
        ├── LinkError         the way to a guest's engine
        ├── EngineError       a container engine
        └── ServerError       the Roadstead server, as its clients see it

The *code* is the contract: it crosses the wire, stands in ``docs/errors.md``, and is what programs compare. Which
codes exist, with their cause, remedy and HTTP status, stands in :mod:`roadstead.errors.codes`. The text of an error
never contains the text of its cause: the log prints the chain.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from roadstead.errors.codes import CODES, Code
from roadstead.errors.filling import filled, quoted

FIELD_CHARACTERS = 256
"""What is kept of one field: foreign text may be long, and may hold secrets further on."""


class RoadsteadError(Exception):
    """A failure with a stable ``code``; ``fields`` fill the texts of the code's row in the table.

    Field values are cut to `FIELD_CHARACTERS` and freed of control characters, because many come from guests.
    """

    def __init__(self, code: str, **fields: object) -> None:
        self.code = code
        self.fields: dict[str, str] = {name: tame(value) for name, value in fields.items()}
        super().__init__(code, self.fields)

    @property
    def row(self) -> Code:
        """This code's row in the table of codes."""
        return CODES[self.code]

    @property
    def cause(self) -> str:
        """What happened, in one plain sentence."""
        return filled(self.row.cause, self.fields)

    @property
    def clause(self) -> str:
        """The cause as a part of another sentence, which ends itself."""
        return self.cause.removesuffix(".")

    @property
    def remedy(self) -> str:
        """What to do next, in one plain sentence."""
        return filled(self.row.remedy, self.fields)

    @property
    def status(self) -> int:
        """The HTTP status under which the API reports it."""
        return self.row.status

    def about(self, **fields: object) -> Self:
        """Return this error with these fields, too, or in the place of those that it has: what its words are about."""
        return type(self)(self.code, **{**self.fields, **fields})

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


class InputError(RoadsteadError):
    """What the caller gave is wrong; nothing was changed. ``candidates`` are names that may have been meant,
    ``more`` says how many there are besides.
    """

    def __init__(self, code: str, *, candidates: Sequence[str] | str = (), more: int = 0, **fields: object) -> None:
        self.candidates = tuple(map(tame, [candidates] if isinstance(candidates, str) else candidates))
        if self.candidates:
            fields["candidates"] = ", ".join([*self.candidates, *([f"and {more} more"] if more else [])])
        super().__init__(code, **fields)


class NotFoundError(InputError):
    """A name or id that nothing answers to; ``candidates`` are the nearest that exist."""


class AmbiguousError(InputError):
    """A name that several things answer to; ``candidates`` lists them."""


class ConflictError(RoadsteadError):
    """The present state of the object or of this process forbids it."""


class DeniedError(RoadsteadError):
    """The caller has no right to it."""


class StartError(RoadsteadError):
    """This process cannot begin its work."""


class PeerError(RoadsteadError):
    """Something outside failed us: an outage that `kit.keep` expects and retries."""


class PoolError(PeerError):
    """A hypervisor pool failed or refused."""


class LinkError(PeerError):
    """The way to a guest's engine failed or was refused."""


class EngineError(PeerError):
    """A container engine failed, refused, or said what no engine may say."""


class ServerError(PeerError):
    """The Roadstead server failed its client: not there, or not talking sense."""


def tame(value: object) -> str:
    """Return ``value`` as text that is safe to show: one line, no control characters, at most `FIELD_CHARACTERS`."""
    text = "".join(character if character.isprintable() else " " for character in str(value)[: 4 * FIELD_CHARACTERS])
    text = text.strip()
    return text if len(text) <= FIELD_CHARACTERS else text[: FIELD_CHARACTERS - 1] + "…"


def explained(code: str, fields: Mapping[str, str]) -> tuple[str, str]:
    """Return cause and remedy of ``code`` with ``fields`` filled in, for records that keep only code and fields."""
    row = CODES[code]
    return filled(row.cause, fields), filled(row.remedy, fields)


def _rebuilt(kind: type[RoadsteadError], args: tuple[Any, ...], state: dict[str, Any]) -> RoadsteadError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


__all__ = [
    "CODES",
    "AmbiguousError",
    "Code",
    "ConflictError",
    "DeniedError",
    "EngineError",
    "InputError",
    "LinkError",
    "NotFoundError",
    "PeerError",
    "PoolError",
    "RoadsteadError",
    "ServerError",
    "StartError",
    "explained",
    "quoted",
    "tame",
]
