"""`roadstead hostkey`: the SSH host keys of VMs, which are trusted at first use and never again unasked."""

from typing import Annotated

import typer

from roadstead.cli import helping, options, session

HostKey = Annotated[
    str | None,
    typer.Option(
        "--host-key",
        metavar="KEY",
        show_default=False,
        help="The key that the VM must show, also before it was ever reached: `SHA256:…`, or the whole line of the "
        "public key, as OpenSSH prints them.",
    ),
]

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Read, confirm and forget the SSH host keys of VMs."
)


@helping.command(app)
def show(ctx: typer.Context, names: options.AnyVms = None) -> None:
    """Show the remembered host key of VMs, the one that each must show next, and the one that it shows now.

    Without a name those of all VMs are shown.

    Examples:
      roadstead hostkey show
      roadstead hostkey show web1
      roadstead hostkey show '*'
    """
    from roadstead.cli.commands import managing

    managing.show_keys(session.connect(ctx), names or ())


@helping.command(app)
def confirm(ctx: typer.Context, names: options.VmNames, host_key: HostKey = None, yes: options.Yes = False) -> None:
    """Trust the host keys that VMs show now, after one question; or say beforehand which key a VM must show.

    A VM that is connected and shows another key than the one you name is cut off, so you are asked (`--yes` says yes).
    Compare each fingerprint on the VM's console first: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`.

    Examples:
      roadstead hostkey confirm web1
      roadstead hostkey confirm 'clone-*' --yes
      roadstead hostkey confirm web2 --host-key SHA256:H5rFOb2nv8u66O/4/SwUiYvU9nYb/E1t57ZFHsTF5L0
      roadstead hostkey confirm web2 --host-key "$(cat web2/ssh_host_ed25519_key.pub)"
    """
    from roadstead.cli.commands import managing

    if host_key is not None:
        managing.expect_key(session.connect(ctx), names, host_key, yes=yes)
        return
    managing.confirm_keys(session.connect(ctx), names, yes=yes)


@helping.command(app)
def forget(ctx: typer.Context, names: options.VmNames, yes: options.Yes = False) -> None:
    """Forget the remembered host keys of VMs, so that the next contact is the first again.

    Examples:
      roadstead hostkey forget web1
    """
    from roadstead.cli.commands import managing

    managing.forget_keys(session.connect(ctx), names, yes=yes)
