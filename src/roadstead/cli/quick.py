"""Parameters that are plain text are taken as they are: for these Typer would import pydantic, which takes 55 ms.

Typer checks every value, even one that nobody gave, with a pydantic adapter. What is text already, one of the words
that may be chosen, or nothing at all, needs no check; every other value goes Typer's own way, and so do all values
should a later Typer describe its parameters differently.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from typer.core import TyperCommand


class QuickCommand(TyperCommand):
    """A command whose plain parameters are taken as they are."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; called by Typer."""
        quicken(self.get_params(ctx))
        return super().parse_args(ctx, args)


def quicken(parameters: list[Any]) -> None:
    """Let each of ``parameters`` take plain values as they are."""
    for parameter in parameters:
        annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
        if annotation is not None:
            parameter.process_value = _taken(parameter, annotation, parameter.process_value)


def _taken(parameter: Any, annotation: Any, checked: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def process_value(ctx: Any, value: Any) -> Any:
        is_missing = parameter.required and parameter.value_is_missing(value)
        if is_missing or not is_plain(annotation, value):
            return checked(ctx, value)
        if annotation == list[str]:
            value = list(value or ())
        return value if parameter.callback is None else parameter.callback(ctx, parameter, value)

    return process_value


def is_plain(annotation: Any, value: Any) -> bool:
    """Whether ``value`` is what ``annotation`` says, as far as that is seen at once."""
    if value is None:
        return True
    if annotation is str:
        return isinstance(value, str)
    if annotation == list[str]:
        return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)
    return get_origin(annotation) is Literal and value in get_args(annotation)
