"""``roadstead lab do`` and ``roadstead lab enter`` from the command line; quick, since it starts no lab."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, cast

import msgspec
import typer

from roadstead.cli.display import output
from roadstead.errors import InputError, StartError
from roadstead.lab.orders import lab_do

SHELL = ("bash",)


def do(state: Path, verb: str, vm: str, value: str | None) -> None:
    """Act on a running lab and print what came of it."""
    done = asyncio.run(lab_do(state, verb, vm, value))
    if done:
        output.write([output.json_safe(msgspec.json.format(msgspec.json.encode(done), indent=2).decode())])


def enter(state: Path, vm: str, command: Sequence[str]) -> NoReturn:
    """Become ``command``, or a shell, inside a guest of a running lab."""
    told = asyncio.run(lab_do(state, "door", vm))
    words = [*map(str, cast("list[object]", told["words"])), *(command or SHELL)]
    try:
        os.execvp(words[0], words)  # noqa: S606 - what is run is what the user typed
    except OSError as error:
        raise StartError("lab-guest-failed", guest=vm, reason=f"{words[0]}: {error.strerror}") from error


def folder(ctx: typer.Context, given: Path | None) -> Path:
    """Return the lab's folder, wherever in `roadstead lab … do …` it was named."""
    outer: Path = ctx.parent.params["state"] if ctx.parent is not None else Path()
    return given or outer


def refuse_options(ctx: typer.Context, *, but: str) -> None:
    """Refuse what was given to `roadstead lab` and would start a lab, before the name of another command."""
    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if name != but and source is not None and source.name == "COMMANDLINE":
            reason = f"it starts a lab, so it cannot stand before `{ctx.invoked_subcommand}`"
            raise InputError("field-invalid", field=f"--{name}", reason=reason)
