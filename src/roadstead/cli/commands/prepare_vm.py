"""The console script ``xscontainer-prepare-vm``: the old pack's options, the work of `roadstead prepare`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from roadstead.cli import failures, options, session
from roadstead.cli.commands import prepare
from roadstead.cli.display import output
from roadstead.errors import InputError

NAME = "xscontainer-prepare-vm"
app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
File = typer.Option(metavar="FILE", show_default=False, help="For --mode tls.")


@app.command()
def prepare_vm(  # noqa: PLR0913, PLR0917 - one parameter for each option
    vm: Annotated[str, typer.Option("-v", "--vm", metavar="UUID", help="The VM's uuid.", show_default=False)],
    user: Annotated[
        str | None,
        typer.Option("-u", "--user", help="Who signs in, and whom the pool's key opens.", show_default=False),
    ] = None,
    mode: Annotated[Literal["ssh", "tls"], typer.Option(help="How the engine is to be reached.")] = "ssh",
    generate_certs: Annotated[bool, typer.Option("--generate-certs", help="For --mode tls.")] = False,
    client_cert: Annotated[Path | None, File] = None,
    client_key: Annotated[Path | None, File] = None,
    ca_cert: Annotated[Path | None, File] = None,
    password_file: prepare.PasswordFile = None,
    key_file: prepare.KeyFile = None,
    host_key: prepare.HostKeys = None,
    accept_new: prepare.AcceptNew = False,
    server: Annotated[
        str | None,
        typer.Option(envvar="ROADSTEAD_SERVER", metavar="ADDRESS", show_default=False, help="The Roadstead server."),
    ] = None,
    yes: options.Yes = False,
) -> None:
    """Let the pool's key into a VM, and enable it: `roadstead prepare`, with the old pack's options."""
    if mode == "ssh" and (generate_certs or client_cert or client_key or ca_cert):
        raise InputError("field-invalid", field="--mode", reason="certificates belong to --mode tls")
    from roadstead.cli.commands import preparing, targets

    connected = session.Session(server).client(prepare.ANSWER_SECONDS)
    said = {"mode": mode, **({"user": user} if user else {})}
    wanted = preparing.Wanted("prepare", said, host_key or [], password_file, key_file, accept_new=accept_new, yes=yes)
    preparing.work(connected, targets.vms(connected, [vm]), wanted)


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit the process with its code; ``arguments`` are those of the process when None."""
    output.prepare()
    with failures.ending():
        app(args=sys.argv[1:] if arguments is None else arguments, prog_name=NAME)
