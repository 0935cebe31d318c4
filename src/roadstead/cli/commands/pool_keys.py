"""`roadstead pool key`: the SSH key with which a pool's VMs are opened, whom it opens, and its replacement."""

from typing import Annotated

import typer

from roadstead.cli import helping, options, session

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The SSH key with which a pool's VMs are opened.")

RetiredVms = Annotated[
    list[str],
    typer.Argument(metavar="VM…", show_default=False, help="A VM as `pool key where` lists it: its name or its uuid."),
]


@helping.command(app)
def show(ctx: typer.Context, pool: options.PoolName) -> None:
    """Print a pool's public key and its line for authorized_keys; the key is made on first need.

    On a terminal it also tells how to put the line into a VM; piped, it prints the line alone.

    Examples:
      roadstead pool key show lab
      roadstead pool key show lab | ssh core@web1 'cat >> .ssh/authorized_keys'
    """
    from roadstead.cli.display import keyrows

    keyrows.show(session.connect(ctx), pool)


@helping.command(app)
def where(
    ctx: typer.Context, pool: options.PoolName, format: options.Format = "table", no_trunc: options.NoTrunc = False
) -> None:
    """List the VMs that keys of a pool are known to open: managed or not, and also those that left the pool.

    A VM that is in no known pool any more is forgotten after a while (setting `pool.keyed_days`).

    Examples:
      roadstead pool key where lab
      roadstead pool key where lab --format json
    """
    from roadstead.cli.display import keyrows

    keyrows.where(session.connect(ctx), pool, format, cut=not no_trunc)


@helping.command(app)
def forget(ctx: typer.Context, pool: options.PoolName, vm: RetiredVms) -> None:
    """Say that the lines of a pool's retired keys were taken out of VMs: they are listed no more.

    Examples:
      roadstead pool key forget lab cache-4
    """
    from roadstead.cli.display import keyrows

    keyrows.forget(session.connect(ctx), pool, vm)


@helping.command(app)
def rotate(
    ctx: typer.Context,
    pool: options.PoolName,
    drop: Annotated[
        bool, typer.Option("--drop", help="End a rotation: retire the old key although VMs need it; they are lost.")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not watch how the VMs are changed over.")] = False,
    yes: options.Yes = False,
) -> None:
    """Replace a pool's key: a second one is made, the VMs are changed over, and then the old one is retired.

    A VM whose line runs no command cannot change it: until somebody puts the new line in, the old key opens it. VMs
    that are off follow when they run. Said again it goes on with a rotation; Ctrl-C ends the watching only.

    Examples:
      roadstead pool key rotate lab
      roadstead pool key rotate lab --drop
    """
    from roadstead.cli.commands import rotating

    connected = session.of(ctx).client(rotating.ANSWER_SECONDS)
    if drop:
        rotating.drop(connected, pool, yes=yes)
    else:
        rotating.rotate(connected, pool, yes=yes, is_watched=not no_wait)


@helping.command(app)
def status(ctx: typer.Context, pool: options.PoolName, format: options.Format = "table") -> None:
    """Show whether a pool's key is being replaced, and how far each VM is.

    Examples:
      roadstead pool key status lab
      roadstead pool key status lab --format json
    """
    from roadstead.cli.commands import rotating

    rotating.status(session.connect(ctx), pool, format)
