"""`roadstead prepare` and `roadstead unprepare`: guests are let in by the operator's own sign-in, many at once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from roadstead.cli import options, session
from roadstead.cli.display import output
from roadstead.kit.text import terminal_clean

ANSWER_SECONDS = 600.0
"""An engine may be installed meanwhile."""
NeedsKey = Annotated[
    str | None,
    typer.Option(metavar="POOL", show_default=False, help="Also the VMs that a rotation of this pool's key waits for."),
]
User = Annotated[
    str | None,
    typer.Option(show_default=False, help="Who signs in, and whom the pool's key opens; otherwise each VM's own user."),
]
PasswordFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", show_default=False, help="Its password; `-` reads it from standard input."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", show_default=False, help="The private key that signs in, in the place of a password."),
]
Agent = Annotated[
    bool, typer.Option("--agent", help="Sign in with your SSH agent, at SSH_AUTH_SOCK; it stays with this command.")
]
HostKeys = Annotated[
    list[str] | None,
    typer.Option(
        metavar="VM=SHA256:…",
        show_default=False,
        help="The host key that a VM must show; repeatable. Of one VM alone the key is enough.",
    ),
]
AcceptNew = Annotated[
    bool, typer.Option("--accept-new", help="Trust what a VM shows of which no host key is remembered.")
]
Mode = Annotated[Literal["ssh", "tls"], typer.Option(help="How the engine is to be reached.")]
GenerateCerts = Annotated[
    bool,
    typer.Option(
        "--generate-certs",
        help="TLS: make new certificates although those that the VM has are in use.",
    ),
]
ClientCert = Annotated[
    Path | None,
    typer.Option(
        "--client-cert",
        metavar="FILE",
        show_default=False,
        help="TLS: our certificate, made elsewhere; the engine has its own already.",
    ),
]
ClientKey = Annotated[
    Path | None,
    typer.Option("--client-key", metavar="FILE", show_default=False, help="TLS: its private key."),
]
CaCert = Annotated[
    Path | None,
    typer.Option("--ca-cert", metavar="FILE", show_default=False, help="TLS: the CA of the engine's certificate."),
]
Legacy = Annotated[
    bool,
    typer.Option("--legacy-certificate", help="TLS: take such without key usage, as the old pack made them."),
]
Eject = Annotated[
    bool, typer.Option("--eject", help="TLS: take out a CD that is in the drive; it is put back afterwards.")
]
AddDrive = Annotated[
    bool, typer.Option("--add-drive", help="TLS: give a VM without a CD drive one; the VM must be shut down.")
]
Address = Annotated[
    list[str] | None,
    typer.Option(
        "--address",
        metavar="IP",
        show_default=False,
        help="TLS: an address that the certificate is for; repeatable. [default: those that the VM announces]",
    ),
]
Days = Annotated[
    int | None,
    typer.Option(show_default=False, help="TLS: how long certificates are valid, at most 730. [default: a setting]"),
]
WithClientKey = Annotated[
    bool,
    typer.Option(
        "--with-client-key", help="TLS: put the client's key on the CD, too: whoever reads it controls the engine."
    ),
]
Storage = Annotated[
    str, typer.Option(metavar="UUID", help="TLS: the storage for the CD. [default: the pool's default]")
]
ExecOnly = Annotated[
    bool, typer.Option("--exec-only", help="The key runs docker's relay and nothing else; no socket is forwarded.")
]
Unrestricted = Annotated[
    bool, typer.Option("--unrestricted", help="The key may do whatever the user may, as it always was.")
]
Restricted = Annotated[
    bool,
    typer.Option(
        "--restricted",
        help="The key opens the engine's socket and nothing else. [default: as it is in the guest, or this]",
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="NET",
        show_default=False,
        help="Where the key may come from; repeatable; `any` lifts it. [default: as it is in the guest] TLS: from "
        "where the VM's firewall lets connections in. [default: the pool's management networks]",
    ),
]
RemoveFormerKey = Annotated[
    bool, typer.Option("--remove-former-key", help="Take lines of other pools' keys out without asking.")
]


def prepare(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    names: options.AnyVms = None,
    filters: options.Filters = None,
    needs_key: NeedsKey = None,
    user: User = None,
    password_file: PasswordFile = None,
    key_file: KeyFile = None,
    agent: Agent = False,
    host_key: HostKeys = None,
    accept_new: AcceptNew = False,
    mode: Mode = "ssh",
    exec_only: ExecOnly = False,
    unrestricted: Unrestricted = False,
    restricted: Restricted = False,
    source: Sources = None,
    remove_former_key: RemoveFormerKey = False,
    generate_certs: GenerateCerts = False,
    address: Address = None,
    days: Days = None,
    with_client_key: WithClientKey = False,
    storage: Storage = "",
    eject: Eject = False,
    add_drive: AddDrive = False,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    ca_cert: CaCert = None,
    legacy_certificate: Legacy = False,
    yes: options.Yes = False,
    no_trunc: options.NoTrunc = False,
) -> None:
    """Prepare the guests of VMs, over SSH or TLS, and enable them.

    You sign in once with what is yours: a password that is asked for, a key, or your SSH agent. What is missing in
    the guest is offered with the exact commands, and done when you agree (`--yes` agrees to all but the removal of
    other pools' keys). It can be repeated: what is there already stays. Several VMs are done at once.

    With `--mode tls`, as for Windows, nobody signs in: certificates are made and brought on a virtual CD, whose script
    is run in the VM. Any user of the VM can read the CD until the engine uses them; then it is destroyed. `--yes`
    agrees to all but `--eject` and `--add-drive`, which are said by themselves.

    Examples:
      roadstead prepare web1 --user ann
      roadstead prepare 'web*' db1 --user ann --from 10.0.0.0/24
      roadstead prepare -f tag:docker --key-file ~/.ssh/id_ed25519 --accept-new --yes
      roadstead prepare web1 --user ann --agent
      roadstead prepare --needs-key prod --user ann
      roadstead prepare win1 win2 --mode tls
      roadstead prepare win1 --mode tls --client-cert cert.pem --client-key key.pem --ca-cert ca.pem
    """
    from roadstead.cli.commands import preparing, preparing_options, targets
    from roadstead.cli.commands.preparing_guests import Signing
    from roadstead.cli.commands.preparing_options import Line, TlsOptions

    signing = Signing(user, password_file, key_file, tuple(host_key or ()), accept_new, agent)
    line = Line(exec_only, unrestricted, restricted, tuple(source or ()), remove_former_key)
    made = (generate_certs, tuple(address or ()), days, with_client_key, storage, eject, add_drive)
    tls = TlsOptions(*made, client_cert, client_key, ca_cert, legacy_certificate)
    wanted = preparing_options.wanted(mode, signing, line, tls, yes=yes)
    connected = session.of(ctx).client(ANSWER_SECONDS)
    vms = targets.vms(connected, names, filters, needs_key)
    if not vms:
        output.write([terminal_clean(f"No VM waits for the key of {needs_key}.")])
        return
    preparing.work(connected, vms, wanted, cut=not no_trunc)


def unprepare(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    names: options.AnyVms = None,
    filters: options.Filters = None,
    user: User = None,
    password_file: PasswordFile = None,
    key_file: KeyFile = None,
    agent: Agent = False,
    host_key: HostKeys = None,
    remove_former_key: RemoveFormerKey = False,
    yes: options.Yes = False,
    no_trunc: options.NoTrunc = False,
) -> None:
    """Take the pool's key out of VMs, and disable them.

    Their host keys are forgotten, too. The key cannot take itself out: you sign in as for `roadstead prepare`.
    Lines of other pools' keys are shown, and go as well if you agree (`--yes` does not). Containers run on.
    Of VMs that are reached over TLS the certificates are destroyed in the pool, without a sign-in; so even one such VM
    is asked about (`--yes` says yes).

    Examples:
      roadstead unprepare web1 --user ann
    """
    from roadstead.cli.commands import managing, preparing, targets
    from roadstead.cli.commands.preparing_guests import Signing, Wanted
    from roadstead.cli.commands.preparing_options import Line

    said = {"action": "unprepare", **({"user": user} if user else {}), **Line.removal(agreed=remove_former_key)}
    wanted = Wanted(said, Signing(user, password_file, key_file, tuple(host_key or ()), agent=agent), yes=yes)
    wanted.signing.check()
    connected = session.of(ctx).client(ANSWER_SECONDS)
    vms = managing.let_go(connected, targets.vms(connected, names, filters), yes=yes)
    preparing.work(connected, vms, wanted, cut=not no_trunc)
