"""The frame around every command: help in sections, and one place where failures become sentences and exit codes."""

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from roadstead.cli import failures, options, quick
from roadstead.errors import checks

USAGE = (typer.Exit, typer.Abort, typer.TyperException)
"""What Typer itself ends a command with."""


class Commands(TyperGroup):
    """The root of the commands; those of one ``rich_help_panel`` stand in one section of the help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the global options; called by Typer."""
        quick.quicken(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed; whatever it raises ends as a sentence, never as a stack trace."""
        with failures.ending(debug=ctx.params["debug"], usage=USAGE):
            try:
                return super().invoke(ctx)
            except typer.BadParameter as error:
                found = getattr(error.__cause__, "errors", None)  # of pydantic, whose words Typer would hand on
                if found is not None:
                    error.message = checks.reason(found()[0])
                raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, section by section."""
        for title, rows in self._sections(ctx):
            with formatter.section(title):
                formatter.write_dl(rows)

    def _sections(self, ctx: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                title = getattr(command, "rich_help_panel", None)
                row = (name, command.get_short_help_str(limit=64))
                sections.setdefault(title if isinstance(title, str) else options.PROGRAM, []).append(row)
        order = [*options.SECTIONS, *sections]
        yield from sorted(sections.items(), key=lambda section: order.index(section[0]))
