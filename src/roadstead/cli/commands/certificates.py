"""`roadstead certificates`: those of VMs whose engine is reached over TLS, as on Windows Server."""

from pathlib import Path
from typing import Annotated

import typer

from roadstead.cli import helping, options, session

Address = Annotated[
    list[str] | None,
    typer.Option(
        "--address",
        metavar="IP",
        show_default=False,
        help="An IP address of the VM, which its certificate is for; repeatable. [default: those that it announces]",
    ),
]
Source = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="NET",
        show_default=False,
        help="From where the VM's firewall lets connections in; repeatable. [default: the pool's management networks]",
    ),
]
Days = Annotated[
    int | None,
    typer.Option("--days", show_default=False, help="How long they are valid, at most 730. [default: a setting]"),
]
WithClientKey = Annotated[
    bool,
    typer.Option(
        "--with-client-key", help="Put the client's key on the CD, too: whoever reads the CD controls the engine."
    ),
]
Storage = Annotated[
    str, typer.Option("--storage", metavar="UUID", help="The storage for the CD. [default: the pool's default]")
]
Eject = Annotated[bool, typer.Option("--eject", help="Take out a CD that is in the drive; it is put back afterwards.")]
AddDrive = Annotated[
    bool, typer.Option("--add-drive", help="Give a VM without a CD drive one; the VM must be shut down.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not watch until the VM uses them.")]

app = typer.Typer(
    invoke_without_command=True, rich_markup_mode=None, help="Certificates of VMs that are reached over TLS."
)


@app.callback()
def main(ctx: typer.Context, format: options.Format = "table") -> None:
    """List until when the certificates of all VMs that are reached over TLS are good; `make`, `renew` and `import`
    give a VM others.

    Examples:
      roadstead certificates
      roadstead certificates --format json
    """
    if ctx.invoked_subcommand is None:
        from roadstead.cli.commands import certifying

        certifying.listing(session.connect(ctx), format)


@helping.command(app)
def make(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    name: options.VmName,
    address: Address = None,
    source: Source = None,
    days: Days = None,
    with_client_key: WithClientKey = False,
    storage: Storage = "",
    eject: Eject = False,
    add_drive: AddDrive = False,
    no_wait: NoWait = False,
    yes: options.Yes = False,
) -> None:
    """Make certificates for a VM and bring them to it on a virtual CD.

    In the VM somebody runs configure_tls.cmd from the CD, as an administrator. As soon as the engine uses the new
    certificates they are stored in the pool and the VM is managed with them; then the CD is destroyed. Ctrl-C ends the
    watching only.

    Examples:
      roadstead certificates make win1
      roadstead certificates make win1 --address 10.0.1.17 --eject --yes
    """
    from roadstead.cli.commands import certifying

    wanted = certifying.Wanted(
        tuple(address or ()), tuple(source or ()), days, with_client_key, storage, eject, add_drive
    )
    certifying.make(session.of(ctx).client(certifying.MAKING_SECONDS), name, wanted, yes=yes, is_watched=not no_wait)


@helping.command(app)
def renew(
    ctx: typer.Context,
    name: options.VmName,
    address: Address = None,
    source: Source = None,
    eject: Eject = False,
    no_wait: NoWait = False,
    yes: options.Yes = False,
) -> None:
    """Replace the certificates of a VM: all of them are made anew, and go the same way as those of `make`.

    The old ones are used until the VM uses the new ones.

    Examples:
      roadstead certificates renew win1
    """
    from roadstead.cli.commands import certifying

    wanted = certifying.Wanted(tuple(address or ()), tuple(source or ()), eject=eject)
    certifying.make(session.of(ctx).client(certifying.MAKING_SECONDS), name, wanted, yes=yes, is_watched=not no_wait)


@helping.command(app, name="import")
def bring(
    ctx: typer.Context,
    name: options.VmName,
    client_cert: Annotated[Path, typer.Option("--client-cert", metavar="FILE", help="Our certificate, PEM.")],
    client_key: Annotated[Path, typer.Option("--client-key", metavar="FILE", help="Its private key, PEM.")],
    ca_cert: Annotated[
        Path, typer.Option("--ca-cert", metavar="FILE", help="The CA of the engine's certificate, PEM.")
    ],
    legacy: Annotated[
        bool, typer.Option("--legacy-certificate", help="Take certificates without key usage, as the old pack made.")
    ] = False,
) -> None:
    """Store certificates that were made elsewhere for a VM whose engine has its own already.

    They are checked, and the engine is reached with them, before anything is changed.

    Examples:
      roadstead certificates import win1 --client-cert cert.pem --client-key key.pem --ca-cert ca.pem
    """
    from roadstead.cli.commands import certifying, secrets

    files = {"client_cert": client_cert, "client_key": client_key, "ca_cert": ca_cert}
    texts = {field: secrets.pem_of(f"--{field.replace('_', '-')}", path) for field, path in files.items()}
    certifying.bring(session.of(ctx).client(certifying.MAKING_SECONDS), name, texts, legacy=legacy)


@helping.command(app)
def show(ctx: typer.Context, name: options.VmName, format: options.Format = "table") -> None:
    """Show how the new certificates of a VM stand.

    Examples:
      roadstead certificates show win1
    """
    from roadstead.cli.commands import certifying

    certifying.show(session.connect(ctx), name, format)


@helping.command(app)
def cancel(ctx: typer.Context, name: options.VmName) -> None:
    """End what is under way for a VM: the CD is taken out and destroyed, and the pool is as it was.

    Examples:
      roadstead certificates cancel win1
    """
    from roadstead.cli.commands import certifying

    certifying.cancel(session.of(ctx).client(certifying.MAKING_SECONDS), name)
