"""`roadstead config-drive`: the small disk from which a VM reads who it is and who may sign in."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from roadstead.cli import helping, options, session
from roadstead.cli.commands import drive_templates

Profile = Annotated[
    Literal["cloud-config", "flatcar", "ignition", "windows", "coreos"] | None,
    typer.Option(
        show_default=False,
        help="Kind of guest: `cloud-config` (cloud-init), `flatcar`, `ignition`, `windows` (cloudbase-init), `coreos` "
        "(the historic one). [default: by the VM's system, else its name]",
    ),
]
File = Annotated[
    str | None,
    typer.Option(
        "--file",
        "-F",
        metavar="FILE",
        show_default=False,
        help="The text; `-` is standard input. [default: the pool's for the profile]",
    ),
]
Named = Annotated[
    str | None,
    typer.Option(
        "--template", metavar="NAME", show_default=False, help="One of the pool's templates (`template list`)."
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--sr",
        metavar="SR",
        show_default=False,
        help="Storage, by uuid or name. [default: where the former drive is, else the pool's default]",
    ),
]
Variables = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="What stands for %NAME% in the text; repeatable."),
]
Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--ssh-key", metavar="FILE", help="Public keys that may sign in besides those of the text; repeatable."
    ),
]
Again = Annotated[
    bool,
    typer.Option(
        "--re-provision",
        help="Let cloud-init (cloudbase-init) read the drive although it has read one: as a new instance, whose SSH "
        "host keys change; the remembered one is forgotten.",
    ),
]
Agent = Annotated[
    bool,
    typer.Option(
        "--agent",
        help="Put the guest agent's files, from the pool's guest tools ISO, into `/agent` of the drive, as the historic"
        " pack did.",
    ),
]
Only = Annotated[bool, typer.Option("--preview", help="Only show what the guest would see.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make, read and edit the config drives of VMs.")
app.add_typer(drive_templates.app, name="template")


@helping.command(app)
def default(
    ctx: typer.Context, name: options.VmName, profile: Profile = None, format: options.Format = "table"
) -> None:
    """Print the template that a VM's config drive begins with.

    Examples:
      roadstead config-drive default web1 > web1.yaml
      roadstead config-drive default fcos1 --profile ignition
    """
    from roadstead.cli.commands import drives

    drives.default(session.connect(ctx), name, profile, format)


@helping.command(app)
def validate(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False, help="The text; `-` is standard input.")],
    profile: Profile = None,
    format: options.Format = "table",
) -> None:
    """Tell what is wrong with a text for a config drive, each fault with line and column.

    Nothing is made. The exit code is 1 when no drive could be made of it; warnings alone give 0.

    Examples:
      roadstead config-drive validate web1.yaml
      roadstead config-drive validate core.ign --profile ignition
    """
    from roadstead.cli.commands import drives

    drives.validate(session.connect(ctx), file, profile, format)


@helping.command(app)
def create(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    name: options.VmName,
    file: File = None,
    named: Named = None,
    sr: Storage = None,
    profile: Profile = None,
    variables: Variables = None,
    keys: Keys = None,
    again: Again = False,
    agent: Agent = False,
    preview: Only = False,
    format: options.Format = "table",
    yes: options.Yes = False,
) -> None:
    """Make a VM's config drive, in the place of the one that it has.

    It first shows what the guest will see, with secrets masked, and asks. The former drive goes when the new one is in
    its place; whatever fails before leaves the VM as it was.

    Examples:
      roadstead config-drive create web1
      roadstead config-drive create web1 --file web1.yaml --ssh-key ~/.ssh/id_ed25519.pub
      roadstead config-drive create web1 --template web --var SITE=north --preview
      roadstead config-drive create web1 --re-provision
      roadstead config-drive create core1 --profile coreos --agent
      cat web1.yaml | roadstead config-drive create web1 --file - --yes
    """
    from roadstead.cli.commands import drives

    wanted = drives.wanted(file, sr, profile, variables or [], keys or [], named)
    wanted |= {"provision_again": True} if again else {}
    wanted |= {"agent": "tools"} if agent else {}
    connected = session.connect(ctx)
    if preview:
        drives.preview(connected, name, wanted, format)
    else:
        drives.create(connected, name, wanted, format, yes=yes)


@helping.command(app)
def rebuild(
    ctx: typer.Context, names: options.VmNames, again: Again = False, preview: Only = False, yes: options.Yes = False
) -> None:
    """Make the config drives of VMs anew from their own templates, with the key of the pool that they are in now.

    For VMs that moved here from another pool. Flatcar reads the drive at its next boot; a guest with cloud-init read
    one already and passes over it, unless it is re-provisioned: with a drive of another pool's key that is offered.

    Examples:
      roadstead config-drive rebuild web1
      roadstead config-drive rebuild 'web*' --re-provision --yes
    """
    from roadstead.cli.commands import rebuilding

    rebuilding.rebuild(session.connect(ctx), names, again=again, preview=preview, yes=yes)


@helping.command(app)
def show(
    ctx: typer.Context,
    name: options.VmName,
    template: Annotated[
        bool, typer.Option("--template", help="Print only the template that the drive was made from, as it is.")
    ] = False,
    secrets: Annotated[bool, typer.Option("--secrets", help="Mask no secrets.")] = False,
    format: options.Format = "table",
) -> None:
    """Read a VM's config drive back: what the guest sees, and the template that it was made from.

    Nothing is mounted, and the VM may run.

    Examples:
      roadstead config-drive show web1
      roadstead config-drive show web1 --template > web1.yaml
    """
    from roadstead.cli.commands import drives

    if template:
        drives.show_template(session.connect(ctx), name)
    else:
        drives.show(session.connect(ctx), name, format, secrets=secrets)


@helping.command(app)
def edit(
    ctx: typer.Context,
    name: options.VmName,
    profile: Profile = None,
    sr: Storage = None,
    keys: Keys = None,
    agent: Agent = False,
    yes: options.Yes = False,
) -> None:
    """Edit the template of a VM's config drive, and make the drive anew.

    It opens $VISUAL or $EDITOR, checks what comes out, shows what the guest will see, and asks. A text that is refused
    can be edited again; it is kept in a file when you give up. Without a drive it begins with the default. Keys and
    the guest agent's files of the present drive are kept.

    Examples:
      roadstead config-drive edit web1
      EDITOR=nano roadstead config-drive edit web1 --yes
    """
    from roadstead.cli.commands import drives, editing

    wanted = drives.wanted(None, sr, profile, [], keys or []) | ({"agent": "tools"} if agent else {})
    editing.edit(session.connect(ctx), name, wanted, yes=yes)
