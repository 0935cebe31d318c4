"""The console script ``xscontainer-prepare-vm``: the old pack's options, the work of `roadstead prepare`."""

import sys
from typing import Annotated

import typer

from roadstead.cli import failures, options, session
from roadstead.cli.commands import prepare
from roadstead.cli.display import output

NAME = "xscontainer-prepare-vm"
app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)


@app.command()
def prepare_vm(  # noqa: PLR0913, PLR0917 - one parameter for each option
    vm: Annotated[
        str, typer.Option("-v", "--vm", "--vmuuid", metavar="UUID", help="The VM's uuid.", show_default=False)
    ],
    user: Annotated[
        str | None,
        typer.Option(
            "-u", "--user", "--username", help="Who signs in, and whom the pool's key opens.", show_default=False
        ),
    ] = None,
    mode: prepare.Mode = "ssh",
    exec_only: prepare.ExecOnly = False,
    unrestricted: prepare.Unrestricted = False,
    restricted: prepare.Restricted = False,
    source: prepare.Sources = None,
    remove_former_key: prepare.RemoveFormerKey = False,
    generate_certs: prepare.GenerateCerts = False,
    client_cert: prepare.ClientCert = None,
    client_key: prepare.ClientKey = None,
    ca_cert: prepare.CaCert = None,
    legacy_certificate: prepare.Legacy = False,
    address: prepare.Address = None,
    eject: prepare.Eject = False,
    add_drive: prepare.AddDrive = False,
    password_file: prepare.PasswordFile = None,
    key_file: prepare.KeyFile = None,
    agent: prepare.Agent = False,
    host_key: prepare.HostKeys = None,
    accept_new: prepare.AcceptNew = False,
    server: Annotated[
        str | None,
        typer.Option(envvar="ROADSTEAD_SERVER", metavar="ADDRESS", show_default=False, help="The Roadstead server."),
    ] = None,
    yes: options.Yes = False,
) -> None:
    """Let the pool's key into a VM, and enable it: `roadstead prepare`, with the old pack's options.

    With `--mode tls` its engine gets certificates of its own instead, or those are taken that were made elsewhere.
    """
    from roadstead.cli.commands import preparing, preparing_options, targets
    from roadstead.cli.commands.preparing_guests import Signing
    from roadstead.cli.commands.preparing_options import Line, TlsOptions

    if mode == "tls" and user:
        print("-u is not used: over TLS nobody signs in to the guest.", file=sys.stderr)
        user = None
    made = (generate_certs, tuple(address or ()), None, False, "", eject, add_drive)
    tls = TlsOptions(*made, client_cert, client_key, ca_cert, legacy_certificate)
    signing = Signing(user, password_file, key_file, tuple(host_key or ()), accept_new, agent)
    line = Line(exec_only, unrestricted, restricted, tuple(source or ()), remove_former_key)
    wanted = preparing_options.wanted(mode, signing, line, tls, yes=yes)
    connected = session.Session(server).client(prepare.ANSWER_SECONDS)
    preparing.work(connected, targets.vms(connected, [vm]), wanted)


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit the process with its code; ``arguments`` are those of the process when None."""
    output.prepare()
    with failures.ending():
        app(args=sys.argv[1:] if arguments is None else arguments, prog_name=NAME)
