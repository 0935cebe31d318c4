"""`roadstead config-drive template`: the texts that config drives of a pool begin with."""

from typing import Annotated

import typer

from roadstead.cli import helping, options, session

Name = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, help="The template; a profile's name is its default.")
]
Version = Annotated[
    str,
    typer.Argument(metavar="VERSION", show_default=False, help="0 (or `built in`) is the product's own."),
]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The templates that config drives of a pool are made from.",
)


@helping.command(app, "list")
def list_templates(ctx: typer.Context, pool: options.PoolName, format: options.Format = "table") -> None:
    """List the templates of a pool: its own, and the product's where it has none of that name.

    Examples:
      roadstead config-drive template list lab
    """
    from roadstead.cli.commands import templates

    templates.show_all(session.connect(ctx), pool, format)


@helping.command(app)
def show(
    ctx: typer.Context,
    pool: options.PoolName,
    name: Name,
    version: Annotated[
        str | None,
        typer.Option("--version", show_default=False, help="A former one; 0 (or `built in`) is the product's own."),
    ] = None,
    format: options.Format = "table",
) -> None:
    """Print the text of a template as it is.

    Examples:
      roadstead config-drive template show lab flatcar > flatcar.yaml
      roadstead config-drive template show lab flatcar --version 2
    """
    from roadstead.cli.commands import templates

    wanted = templates.version_of(version) if version is not None else None
    templates.show(session.connect(ctx), pool, name, wanted, format)


@helping.command(app)
def save(
    ctx: typer.Context,
    pool: options.PoolName,
    name: Name,
    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False, help="The text; `-` is standard input.")],
    profile: Annotated[
        str | None, typer.Option(show_default=False, help="Kind of guest. [default: by the name, else by the text]")
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(
            "--after", metavar="VERSION", min=0, show_default=False, help="Refuse if there is a newer one than this."
        ),
    ] = None,
    format: options.Format = "table",
) -> None:
    """Save a text as a template, or as a new version of one.

    A text of which no drive could be made is refused with its line. Under the name of a profile (`cloud-config`,
    `flatcar`, `ignition`, `windows`, `coreos`) it is what new drives of that profile begin with, also in XenCenter and
    Xen Orchestra. %WORDS% that are no tokens are variables, for which `create --var` gives values.

    Examples:
      roadstead config-drive template save lab flatcar flatcar.yaml
      roadstead config-drive template save lab web web.yaml --profile cloud-config
    """
    from roadstead.cli.commands import templates

    templates.save(session.connect(ctx), pool, name, (file, profile, after), format)


@helping.command(app)
def history(ctx: typer.Context, pool: options.PoolName, name: Name, format: options.Format = "table") -> None:
    """List the versions of a template that are kept, the newest first.

    Examples:
      roadstead config-drive template history lab flatcar
    """
    from roadstead.cli.commands import templates

    templates.history(session.connect(ctx), pool, name, format)


@helping.command(app)
def restore(ctx: typer.Context, pool: options.PoolName, name: Name, version: Version) -> None:
    """Make a former version of a template the newest one again; none is lost by that.

    Examples:
      roadstead config-drive template restore lab flatcar 2
      roadstead config-drive template restore lab flatcar 0
    """
    from roadstead.cli.commands import templates

    templates.restore(session.connect(ctx), pool, name, templates.version_of(version))


@helping.command(app)
def remove(ctx: typer.Context, pool: options.PoolName, name: Name, yes: options.Yes = False) -> None:
    """Remove an own template of a pool with all its versions. Drives that were made from it stay.

    Examples:
      roadstead config-drive template remove lab web
    """
    from roadstead.cli.commands import templates

    templates.remove(session.connect(ctx), pool, name, yes=yes)
