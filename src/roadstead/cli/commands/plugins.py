"""`roadstead pool plugin`: whether a pool's other clients may act through this server."""

from typing import Annotated

import typer

from roadstead.cli import helping, options, session

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Whether XenCenter and Xen Orchestra may act through the plugin in a pool's hosts.",
)


@helping.command(app)
def enable(
    ctx: typer.Context,
    pool: options.PoolName,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="https://HOST:8421, where the pool's hosts reach the server; otherwise where it listens.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Tell a pool where its plugin finds this server; a new token is made each time, and the former one ends.

    The server must listen for the plugin: `roadstead serve --plugin-listen ADDRESS:8421`.

    Examples:
      roadstead pool plugin enable lab
      roadstead pool plugin enable lab --url https://roadstead.example.net:8421
    """
    from roadstead.cli.commands import auditing

    auditing.set_plugin(session.connect(ctx), pool, url)


@helping.command(app)
def disable(ctx: typer.Context, pool: options.PoolName) -> None:
    """Let a pool's plugin call no more; address, certificate and token are taken out of the pool.

    Examples:
      roadstead pool plugin disable lab
    """
    from roadstead.cli.commands import auditing

    auditing.clear_plugin(session.connect(ctx), pool)


@helping.command(app)
def show(ctx: typer.Context, pool: options.PoolName, format: options.Format = "table") -> None:
    """Show how a pool's plugin stands with this server.

    Examples:
      roadstead pool plugin show lab
    """
    from roadstead.cli.commands import auditing

    auditing.show_plugin(session.connect(ctx), pool, format)
