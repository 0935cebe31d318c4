"""Mistakes of ours that one guest brings to light: they end its try and nothing else, and each is logged once.

A guest chooses much of what it says, so what one of them breaks would otherwise be a means to end all the others, again
after each restart.
"""

import structlog

from roadstead.errors import LinkError
from roadstead.model import VmId

log = structlog.get_logger()
Place = tuple[str, str, int]
"""Where and what: the exception's type, and the line of code that raised it."""


class Mistakes:
    """Those of this process, of which there are no more than there are lines of code."""

    def __init__(self) -> None:
        self._logged: set[Place] = set()

    def noted(self, vm: VmId, error: Exception) -> LinkError:
        """Log ``error``, that ended a try of ``vm``, with its traceback unless another guest brought it up before;
        return the problem that tells of it, ``internal``.
        """
        place = _place(error)
        if place not in self._logged:
            self._logged.add(place)
            log.error("a guest brought a mistake to light", vm=vm, exc_info=error)
        problem = LinkError("internal")
        problem.__cause__ = error
        return problem


def _place(error: BaseException) -> Place:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    code, line = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else ("", 0)
    return type(error).__name__, code, line
