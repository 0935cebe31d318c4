"""Mistakes of ours: each ends what it was made in and nothing else, and is logged once.

A guest or a pool chooses much of what it says, so what one of them breaks would otherwise be a means to end all the
others, again after each restart. Therefore whatever is started here and goes on by itself (`tasks.Owner`, `keep`,
`Workers`, `Batches`) tells of a mistake as of an outage, ``internal``.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from roadstead.errors import PeerError, RoadsteadError

log = structlog.get_logger()
INTERNAL = "internal"
"""The code of all of them."""
Place = tuple[str, str, int]
"""Where and what: the exception's type, and the line of code that raised it."""


class Mistake(Exception):
    """Brings a mistake, its cause, from where nobody waits (a callback of the loop) to whoever does."""


class Mistakes:
    """Those of one kind of work, of which there are no more than there are lines of code."""

    def __init__(self) -> None:
        self._logged: set[Place] = set()

    def noted(self, whose: str, error: Exception) -> PeerError:
        """Log ``error``, that ended something of ``whose`` (as in "guest web-1"), with its traceback unless the same
        was logged before; return the problem that tells of it, ``internal``.
        """
        place = _place(error)
        if place not in self._logged:
            self._logged.add(place)
            log.error("Roadstead made a mistake", whose=whose, exc_info=error)
        problem = PeerError(INTERNAL)
        problem.__cause__ = error
        return problem

    def told(self, whose: str, *, besides: type[RoadsteadError] = PeerError) -> "_Told":
        """Raise `PeerError` ``internal`` in the place of whatever ends the block, ``besides`` what is expected to."""
        return _Told(self, whose, besides)

    @contextmanager
    def borne(self, whose: str) -> Iterator[None]:
        """Go on after the block although a mistake ended it: there is nobody to tell."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is logged, and whoever comes next is not to suffer
            self.noted(whose, error)


class _Told:
    """No generator, which would be kept for each of thousands of guests as long as it is watched."""

    __slots__ = ("_besides", "_mistakes", "_whose")

    def __init__(self, mistakes: Mistakes, whose: str, besides: type[RoadsteadError]) -> None:
        self._mistakes = mistakes
        self._whose = whose
        self._besides = besides

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, self._besides):
            raise self._mistakes.noted(self._whose, error) from error


def _place(error: BaseException) -> Place:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    code, line = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else ("", 0)
    return type(error).__name__, code, line
