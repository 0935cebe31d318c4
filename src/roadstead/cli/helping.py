"""How the help reads: a command's docstring, its examples line by line, its section."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from roadstead.cli import quick

INTRODUCTION = """See and control the containers inside the VMs of XenServer and XCP-ng pools.

\b
First steps:
  roadstead pool add https://pool.example.net   make a pool known
  roadstead vms                                 its VMs, and which are managed
  roadstead prepare web1 --user ann             let the pool's key in, and manage the VM
  roadstead ps --watch                          every container, live
  roadstead why web1                            what is wrong, and what to do

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found or ambiguous,
4 some targets failed, 5 no server.
"""

Command = TypeVar("Command", bound=Callable[..., Any])


def text(function: Callable[..., Any]) -> str:
    """Return a command's help: its docstring, with the mark that keeps the lines of the examples apart."""
    return inspect.cleandoc(function.__doc__ or "").replace("\n\nExamples:\n", "\n\n\b\nExamples:\n")


def command(app: typer.Typer, name: str | None = None, section: str | None = None) -> Callable[[Command], Command]:
    """Make a function a command of ``app``, in a ``section`` of its help."""

    def register(function: Command) -> Command:
        app.command(name, cls=quick.QuickCommand, help=text(function), rich_help_panel=section)(function)
        return function

    return register


def add(app: typer.Typer, section: str, *functions: Callable[..., Any]) -> None:
    """Make ``functions`` commands of ``app``, in one ``section`` of its help."""
    for function in functions:
        command(app, section=section)(function)
