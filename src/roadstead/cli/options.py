"""Options that several commands share, so that one word means the same thing everywhere."""

from typing import Annotated, Literal

import typer

from roadstead.cli import completion

SEEING, DOING, VMS, POOLS, PROGRAM = "See", "Control", "Virtual machines", "Pools", "Roadstead itself"
"""The sections of the help."""
SECTIONS = (SEEING, DOING, VMS, POOLS)
"""Those that come first, in this order."""

ListFormat = Literal["table", "wide", "json"]
PlainFormat = Literal["table", "json"]

Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter", "-f", metavar="TERMS", help="Only what matches, e.g. `state:running image:nginx`; repeatable."
    ),
]
Terms = Annotated[
    list[str],
    typer.Argument(
        metavar="TERM…", show_default=False, help="Text, or field:value such as `image:nginx`; all must match."
    ),
]
Format = Annotated[PlainFormat, typer.Option("--format", help="A table for people or JSON for programs.")]
EventFormat = Annotated[
    Literal["text", "json"], typer.Option("--format", help="Sentences for people or JSON, line by line, for programs.")
]
TextFormat = Annotated[Literal["text", "json"], typer.Option("--format", help="Text for people or JSON for programs.")]
Sort = Annotated[
    str | None, typer.Option("--sort", metavar="FIELD,…", help="Order by these fields; `-FIELD` turns the order round.")
]
NoTrunc = Annotated[
    bool, typer.Option("--no-trunc", help="Shorten nothing and leave no column out, however wide the table gets.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
A_CONTAINER = (
    "A container: its name, vm/name, id, the first digits of its id (at least 4), or a pattern such as `vm1/web*`."
)
A_VM = "A VM: its name, its uuid or the first digits of it (at least 4), or a pattern such as `web*`."
ContainerNames = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME…",
        autocompletion=completion.containers,
        show_default=False,
        help=A_CONTAINER,
    ),
]
VmNames = Annotated[
    list[str],
    typer.Argument(
        metavar="VM…",
        autocompletion=completion.vms,
        show_default=False,
        help=A_VM,
    ),
]
AnyVms = Annotated[
    list[str] | None,
    typer.Argument(metavar="VM…", autocompletion=completion.vms, show_default=False, help=A_VM),
]
VmName = Annotated[
    str,
    typer.Argument(
        metavar="VM",
        autocompletion=completion.vms,
        show_default=False,
        help="The VM's name, uuid, or the first digits of it (at least 4).",
    ),
]
PoolName = Annotated[
    str,
    typer.Argument(
        metavar="POOL",
        autocompletion=completion.pools,
        show_default=False,
        help="The pool's name, uuid, or the first digits of it (at least 4).",
    ),
]


def query(filters: list[str] | None) -> str | None:
    """Return the filters as one search: every one of them must match."""
    return " ".join(filters) if filters else None
