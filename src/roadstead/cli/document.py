"""``docs/cli.md``, written from the commands themselves, so that it cannot say what they do not do."""

from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from roadstead.cli.main import app

PAGE_CELLS = 100
_HEAD = """# Command line

`roadstead` is a client of the REST API (`docs/api.md`), and of nothing else. This page is generated from the
commands; `scripts/docs` writes it anew.

| exit code | means |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | wrong usage: an option, a filter, an answer that nobody was there to give |
| 3 | what was named does not exist, or the name is ambiguous (the candidates are listed) |
| 4 | some targets failed; each has its line |
| 5 | no server answers |
| 130 | interrupted |

Output is plain when it is piped: no colours, no shortened values, the heading kept. `NO_COLOR` turns colours off on a
terminal. Messages go to stderr. `--install-completion` makes the Tab key complete commands, options, and the names of
containers, VMs and pools.
"""


def text(commands: typer.Typer = app) -> str:
    """Return the page, with every command of ``commands`` that is not hidden."""
    root = get_command(commands)
    return "\n".join([_HEAD, *_pages(root, "roadstead", None)])


def _pages(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = typer.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=PAGE_CELLS,
        max_content_width=PAGE_CELLS,
        help_option_names=["--help", "-h"],
    )
    depth = len(context.command_path.split()) - 1
    yield f"{'#' * min(2 + depth, 4)} `{context.command_path}`\n"
    yield f"```text\n{context.get_help().rstrip()}\n```\n"
    for below in getattr(command, "commands", {}).values():
        if not below.hidden:
            yield from _pages(below, below.name, context)
