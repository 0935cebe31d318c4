"""`roadstead ps`: every container of every VM, in the time that Docker needs for one VM.

It asks for the fields that it prints, and imports what reads the answer while the server is writing it.
"""

from typing import Annotated, Any

import typer

from roadstead.cli import options, session
from roadstead.cli.api import client
from roadstead.cli.display import output
from roadstead.cli.plain import BY_NAME, CONTAINERS, SHOWN, conclude

WIDE = SHOWN + ",id,command"


def ps(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    filters: options.Filters = None,
    format: Annotated[
        options.ListFormat, typer.Option("--format", help="A table, one with more columns, or JSON for programs.")
    ] = "table",
    fields: Annotated[
        str | None,
        typer.Option(
            "--fields",
            metavar="FIELD,…",
            help="Show these fields of the record instead: `vm` is the VM's id, `vm_name` its name.",
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing, live, until q or Ctrl-C.")] = False,
    sort: options.Sort = None,
    no_trunc: options.NoTrunc = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the ids alone.")] = False,
) -> None:
    """List the containers of all VMs, in every state.

    A container whose VM cannot be heard is shown as "unknown (was running)", with the time as of which that is. Where
    the heading ends in …, the terminal has no room for more columns: `--no-trunc`, or a wider one, shows them.

    `--watch` scrolls with the arrows, PgUp, PgDn, Home and End. Piped it prints the list, then a line for each change.

    Examples:
      roadstead ps
      roadstead ps --watch -f state:running -f image:nginx
      roadstead ps -f 'vm:web*' --format json --fields name,vm_name,state
      roadstead stop $(roadstead ps -q -f label:tier=test)
    """
    if sort is not None:
        from roadstead.cli.display import rows

        rows.named(sort)
    connected = session.connect(ctx)
    if watch:
        from roadstead.cli.commands import watching

        view = watching.View(options.query(filters), sort or BY_NAME, wide=format == "wide")
        watching.watch(connected, view, as_json=format == "json")
        return
    wanted = "id" if quiet else fields or {"table": SHOWN, "wide": WIDE, "json": None}[format]
    query = options.query(filters)
    waiting = connected.ask(CONTAINERS, {"q": query, "fields": with_sorting(wanted, sort)})
    if format == "json" and sort is None:
        output.write_json(waiting.raw())
    elif format == "json" or fields or quiet:
        from roadstead.cli.display import records

        found = records.ordered(waiting.read(list[dict[str, Any]]), sort)
        if format == "json":
            records.write_json(found, wanted)
        elif quiet:
            output.write(row["id"] for row in found)
        else:
            _write_fields(found, connected, query, fields=fields or SHOWN, cut=not no_trunc)
    else:
        from roadstead.cli.display import rows

        conclude(connected, rows.write(waiting, sort or BY_NAME, wide=format == "wide", cut=not no_trunc), query)


def _write_fields(
    found: list[dict[str, Any]], connected: client.Client, query: str | None, *, fields: str, cut: bool
) -> None:
    from roadstead.cli.display import records

    records.write_table(found, fields, cut=cut)
    if not found:
        conclude(connected, [], query)


def with_sorting(fields: str | None, sort: str | None) -> str | None:
    """Return the fields to ask for: those that are shown, and those that only the order needs."""
    if fields is None or sort is None:
        return fields
    needed = [name.strip().removeprefix("-") for name in sort.split(",")]
    return ",".join(dict.fromkeys([*fields.split(","), *needed]))
