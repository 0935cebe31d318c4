"""`roadstead prepare` and `roadstead unprepare`: guests are let in by the operator's own sign-in, many at once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from roadstead.cli import completion, options, session
from roadstead.errors import InputError

ANSWER_SECONDS = 600.0
"""An engine may be installed meanwhile."""
VmNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="VM…",
        autocompletion=completion.vms,
        show_default=False,
        help="A VM: its name, its uuid or the first digits of it (at least 4), or a pattern such as `web*`.",
    ),
]
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
HostKeys = Annotated[
    list[str] | None,
    typer.Option(metavar="VM=SHA256:…", show_default=False, help="The host key that a VM must show; repeatable."),
]
AcceptNew = Annotated[
    bool, typer.Option("--accept-new", help="Trust what a VM shows of which no host key is remembered.")
]
Mode = Annotated[Literal["ssh", "tls"], typer.Option(help="How the engine is to be reached.")]


def prepare(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    names: VmNames = None,
    filters: options.Filters = None,
    needs_key: NeedsKey = None,
    user: User = None,
    password_file: PasswordFile = None,
    key_file: KeyFile = None,
    host_key: HostKeys = None,
    accept_new: AcceptNew = False,
    mode: Mode = "ssh",
    exec_only: Annotated[
        bool, typer.Option("--exec-only", help="The key runs docker's relay and nothing else; no socket is forwarded.")
    ] = False,
    unrestricted: Annotated[
        bool, typer.Option("--unrestricted", help="The key may do whatever the user may, as it always was.")
    ] = False,
    source: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="NET", show_default=False, help="Where the key may come from; repeatable."),
    ] = None,
    remove_former_key: Annotated[
        bool, typer.Option("--remove-former-key", help="Take lines of other pools' keys out without asking.")
    ] = False,
    yes: options.Yes = False,
) -> None:
    """Let the pool's key into VMs, and enable them.

    You sign in once with what is yours: a password that is asked for, or a key. What is missing in the guest is
    offered with the exact commands, and done when you agree (`--yes` agrees to all but the removal of other pools'
    keys). It can be repeated: what is there already stays. Several VMs are done at once.

    Examples:
      roadstead prepare web1 --user ann
      roadstead prepare 'web*' db1 --user ann --from 10.0.0.0/24
      roadstead prepare -f tag:docker --key-file ~/.ssh/id_ed25519 --accept-new --yes
      roadstead prepare --needs-key prod --user ann
    """
    from roadstead.cli.commands import preparing, targets

    if exec_only and unrestricted:
        raise InputError("field-invalid", field="--exec-only", reason="it and --unrestricted exclude each other")
    form = "exec-only" if exec_only else "unrestricted" if unrestricted else "restricted"
    said = {"mode": mode, "form": form, "sources": source or [], **({"user": user} if user else {})}
    if remove_former_key:
        said["agreed"] = [preparing.FORMER_KEY]
    connected = session.of(ctx).client(ANSWER_SECONDS)
    wanted = preparing.Wanted("prepare", said, host_key or [], password_file, key_file, accept_new=accept_new, yes=yes)
    preparing.work(connected, targets.vms(connected, names, filters, needs_key), wanted)


def unprepare(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    names: VmNames = None,
    filters: options.Filters = None,
    user: User = None,
    password_file: PasswordFile = None,
    key_file: KeyFile = None,
    host_key: HostKeys = None,
    yes: options.Yes = False,
) -> None:
    """Take the pool's key out of VMs, and disable them.

    Their host keys are forgotten, too. The key cannot take itself out: you sign in as for `roadstead prepare`.
    Containers run on.

    Examples:
      roadstead unprepare web1 --user ann
    """
    from roadstead.cli.commands import managing, preparing, targets

    said = {"action": "unprepare", **({"user": user} if user else {})}
    connected = session.of(ctx).client(ANSWER_SECONDS)
    wanted = preparing.Wanted("unprepare", said, host_key or [], password_file, key_file, yes=yes)
    preparing.work(connected, managing.confirmed(targets.vms(connected, names, filters), "unprepare", yes=yes), wanted)
