"""`roadstead certificates`: those of VMs whose engine is reached over TLS, as on Windows Server."""

from pathlib import Path
from typing import Annotated

import typer

from roadstead.cli import helping, options, session
from roadstead.cli.commands.prepare import ANSWER_SECONDS

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
FormerAddress = Annotated[
    list[str] | None,
    typer.Option(
        "--address",
        metavar="IP",
        show_default=False,
        help="An IP address of the VM, which its certificate is for; repeatable. [default: those of the former one]",
    ),
]
FormerDays = Annotated[
    int | None,
    typer.Option(
        "--days", show_default=False, help="How long they are valid, at most 730. [default: as long as before]"
    ),
]
Expiring = Annotated[
    int | None,
    typer.Option(
        "--expiring",
        metavar="DAYS",
        min=0,
        max=3650,
        show_default=False,
        help="Only where the first certificate ends within so many days.",
    ),
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
ReplaceImported = Annotated[
    bool,
    typer.Option("--replace-imported", help="Also those that were made elsewhere and imported; --yes does not say so."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not watch until the VM uses them.")]

app = typer.Typer(
    invoke_without_command=True, rich_markup_mode=None, help="Certificates of VMs that are reached over TLS."
)


@app.callback()
def main(ctx: typer.Context, format: options.Format = "table", no_trunc: options.NoTrunc = False) -> None:
    """List until when the certificates of all VMs that are reached over TLS are good; `make`, `renew` and `import`
    give a VM others.

    Examples:
      roadstead certificates
      roadstead certificates --format json
    """
    if ctx.invoked_subcommand is None:
        from roadstead.cli.commands import certifying

        certifying.listing(session.connect(ctx), format, cut=not no_trunc)


@helping.command(app)
def make(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    names: options.VmNames,
    address: Address = None,
    source: Source = None,
    days: Days = None,
    with_client_key: WithClientKey = False,
    storage: Storage = "",
    eject: Eject = False,
    add_drive: AddDrive = False,
    no_wait: NoWait = False,
    yes: options.Yes = False,
    no_trunc: options.NoTrunc = False,
) -> None:
    """Make certificates for VMs and bring them to each on a virtual CD.

    This is `roadstead prepare VM… --mode tls --generate-certs`. In the VM somebody runs configure_tls.cmd from the CD,
    as an administrator. As soon as the engine uses the new certificates they are stored in the pool and the VM is
    managed with them; then the CD is destroyed. Ctrl-C ends the watching only.

    Examples:
      roadstead certificates make win1
      roadstead certificates make win1 --address 10.0.1.17 --eject --yes
    """
    from roadstead.cli.commands import preparing, renewing, targets
    from roadstead.cli.commands.preparing_options import TlsOptions

    made = (tuple(address or ()), days, with_client_key, storage, eject, add_drive)
    wanted = renewing.wanted(
        TlsOptions(True, *made, source=tuple(source or ())), "prepare", yes=yes, is_watched=not no_wait
    )
    connected = session.of(ctx).client(ANSWER_SECONDS)
    preparing.work(connected, targets.vms(connected, names), wanted, cut=not no_trunc)


@helping.command(app)
def renew(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    names: options.AnyVms = None,
    filters: options.Filters = None,
    expiring: Expiring = None,
    address: FormerAddress = None,
    source: Source = None,
    days: FormerDays = None,
    with_client_key: WithClientKey = False,
    storage: Storage = "",
    eject: Eject = False,
    replace_imported: ReplaceImported = False,
    no_wait: NoWait = False,
    yes: options.Yes = False,
    no_trunc: options.NoTrunc = False,
) -> None:
    """Replace the certificates of VMs that are reached over TLS: all are made anew, and go the way of those of `make`.

    What is not said is as it was: for which addresses they are, and for how long. The old ones are used until the
    VM uses the new ones. Certificates that were made elsewhere are replaced after a question of their own. With
    `--expiring` a VM is left alone whose certificates are good for longer; without names all VMs are meant. VMs that
    fail stop no others; a summary ends it, and the exit code is 4 when some failed.

    Examples:
      roadstead certificates renew win1
      roadstead certificates renew 'win*' --yes
      roadstead certificates renew --expiring 30
    """
    from roadstead.cli.commands import preparing, renewing
    from roadstead.cli.commands.preparing_options import TlsOptions

    made = (tuple(address or ()), days, with_client_key, storage, eject)
    wanted = renewing.wanted(
        TlsOptions(False, *made, replace_imported=replace_imported, source=tuple(source or ())),
        "renew",
        yes=yes,
        is_watched=not no_wait,
    )
    connected = session.of(ctx).client(ANSWER_SECONDS)
    vms, refused = renewing.chosen(connected, names, filters, expiring)
    if vms:
        preparing.work(connected, vms, wanted, refused, cut=not no_trunc)


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

    They are checked, and the engine is reached with them, before anything is changed. `roadstead prepare --mode tls`
    does the same.

    Examples:
      roadstead certificates import win1 --client-cert cert.pem --client-key key.pem --ca-cert ca.pem
    """
    from roadstead.cli.commands import preparing, renewing, targets
    from roadstead.cli.commands.preparing_options import TlsOptions

    given = TlsOptions(client_cert=client_cert, client_key=client_key, ca_cert=ca_cert, legacy_certificate=legacy)
    wanted = renewing.wanted(given, "prepare")
    connected = session.of(ctx).client(ANSWER_SECONDS)
    preparing.work(connected, targets.vms(connected, [name]), wanted)


@helping.command(app)
def show(ctx: typer.Context, name: options.VmName, format: options.Format = "table") -> None:
    """Show until when the certificates of a VM are good, and how new ones stand.

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

    certifying.cancel(session.of(ctx).client(certifying.ENDING_SECONDS), name)
