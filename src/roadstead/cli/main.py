"""The commands of `roadstead`, put together; `app` adds those that start something (`serve`, `lab`) to them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from roadstead.cli import failures, helping, options, session
from roadstead.cli.commands import (
    actions,
    certificates,
    config_drives,
    firewall,
    hostkeys,
    logs,
    looking,
    pools,
    prepare,
    ps,
    stats,
    vms,
)
from roadstead.cli.display import output
from roadstead.cli.group import Commands

app = typer.Typer(
    name="roadstead",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the signature is Typer's
    if wanted:
        from importlib.metadata import version

        print(f"roadstead {version('roadstead')}")
        raise typer.Exit


@app.callback(help=helping.INTRODUCTION)
def main(
    ctx: typer.Context,
    server: Annotated[
        str | None,
        typer.Option(
            envvar="ROADSTEAD_SERVER",
            metavar="ADDRESS",
            show_default=False,
            help="The server: unix:PATH, or http://127.0.0.1:PORT. [default: the local socket]",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="The token for http://. [default: `token` in the state folder]",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the stack trace of an unexpected failure.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keep the global options for the command that follows."""
    del debug, version
    ctx.obj = session.Session(server, token_file)


helping.add(app, options.SEEING, ps.ps, vms.vms, vms.tree, vms.search, looking.inspect, stats.stats, logs.logs)
helping.add(app, options.SEEING, looking.events)
helping.add(app, options.DOING, actions.start, actions.stop, actions.restart, actions.pause, actions.unpause)
helping.add(app, options.VMS, prepare.prepare, prepare.unprepare, vms.enable, vms.disable, vms.why)
app.add_typer(hostkeys.app, name="hostkey", rich_help_panel=options.VMS)
app.add_typer(certificates.app, name="certificates", rich_help_panel=options.VMS)
app.add_typer(config_drives.app, name="config-drive", rich_help_panel=options.VMS)
app.add_typer(pools.app, name="pool", rich_help_panel=options.POOLS)
helping.add(app, options.POOLS, firewall.firewall)
helping.add(app, options.PROGRAM, looking.audit, looking.version)


def text(word: str) -> str:
    """Return a word of the command line as UTF-8, in which names are written whatever the locale says."""
    if word.isascii():
        return word
    try:
        return word.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeDecodeError:
        return word


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit the process with its code; ``arguments`` are those of the process when None."""
    output.prepare()
    with failures.ending(debug=True):  # even the help may find a full disk
        app(args=[text(word) for word in (sys.argv[1:] if arguments is None else arguments)], prog_name="roadstead")
