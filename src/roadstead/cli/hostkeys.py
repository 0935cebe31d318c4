"""`roadstead hostkey`: the SSH host keys of VMs, which are trusted at first use and never again unasked."""

import typer

from roadstead.cli import helping, options, session

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Read, confirm and forget the SSH host keys of VMs."
)


@helping.command(app)
def show(ctx: typer.Context, names: options.VmNames) -> None:
    """Show the remembered host key of VMs, and the one that each shows now.

    Examples:
      roadstead hostkey show web1
      roadstead hostkey show '*'
    """
    from roadstead.cli import managing

    managing.show_keys(session.connect(ctx), names)


@helping.command(app)
def confirm(ctx: typer.Context, names: options.VmNames, yes: options.Yes = False) -> None:
    """Trust the host keys that VMs show now, after one question.

    Compare each fingerprint on the VM's console first: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`.

    Examples:
      roadstead hostkey confirm web1
      roadstead hostkey confirm 'clone-*' --yes
    """
    from roadstead.cli import managing

    managing.confirm_keys(session.connect(ctx), names, yes=yes)


@helping.command(app)
def forget(ctx: typer.Context, names: options.VmNames, yes: options.Yes = False) -> None:
    """Forget the remembered host keys of VMs, so that the next contact is the first again.

    Examples:
      roadstead hostkey forget web1
    """
    from roadstead.cli import managing

    managing.forget_keys(session.connect(ctx), names, yes=yes)
