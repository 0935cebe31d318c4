"""VMs: listed, shown in their tree, found by a search, enabled, disabled, and asked why they are silent."""

from typing import Annotated, Any, Literal

import typer

from roadstead.cli import options, session
from roadstead.cli.display import output

FIELDS = "name,pool_name,host_name,state,containers,address,problem"


def vms(
    ctx: typer.Context,
    filters: options.Filters = None,
    format: options.Format = "table",
    sort: options.Sort = None,
    no_trunc: options.NoTrunc = False,
) -> None:
    """List the VMs of all pools, and how each stands.

    States: unmanaged (not enabled), off (not running), connecting, live, broken (`roadstead why VM` tells more). Where
    the heading ends in …, the terminal has no room for more columns: `--no-trunc`, or a wider one, shows them.

    Examples:
      roadstead vms
      roadstead vms -f state:broken
      roadstead vms --format json
    """
    if sort is not None:
        from roadstead.cli.display import vmrows

        vmrows.named(sort)
    connected, query = session.connect(ctx), options.query(filters)
    waiting = connected.ask("/vms", {"q": query})
    if format == "json" and sort is None:
        output.write_json(waiting.raw())
        return
    from roadstead.cli.display import records, vmrows

    if format == "json":
        records.write_json(records.ordered(waiting.read(list[dict[str, Any]]), sort), None)
    elif not vmrows.write(waiting, sort or "pool_name,name", cut=not no_trunc):
        from roadstead.cli.display import empty

        empty.vms(connected, query)


def search(
    ctx: typer.Context, terms: options.Terms, format: options.Format = "table", no_trunc: options.NoTrunc = False
) -> None:
    """Find VMs and containers by text or by fields.

    All pools are searched; every term must match.

    Examples:
      roadstead search nginx
      roadstead search port:8080
      roadstead search label:team=shop state:exited
    """
    waiting = session.connect(ctx).ask("/search", {"q": " ".join(terms)})
    if format == "json":
        output.write_json(waiting.raw())
        return
    from roadstead.cli.display import vmrows

    vmrows.write_found(waiting, cut=not no_trunc)


def tree(ctx: typer.Context) -> None:
    """Show pools, hosts, VMs and containers as a tree.

    Examples:
      roadstead tree
    """
    waiting = session.connect(ctx).ask("/tree")
    from roadstead.cli.display import branches

    branches.write(waiting.read(list[dict[str, Any]]))


def enable(
    ctx: typer.Context,
    names: options.VmNames,
    mode: Annotated[
        Literal["ssh", "tls"] | None,
        typer.Option(help="How the engine is reached: tls needs certificates in the pool.", show_default=False),
    ] = None,
    legacy_certificate: Annotated[
        Literal["on", "off"] | None,
        typer.Option(help="Whether TLS takes certificates that the old pack made.", show_default=False),
    ] = None,
    yes: options.Yes = False,
) -> None:
    """Enable container management for VMs.

    It is a property of the VM, kept in the pool's own database, and so is how its engine is reached, which can be
    changed at any time. It asks before it touches more than one VM.

    Examples:
      roadstead enable web1
      roadstead enable 'web*' --yes
      roadstead enable win1 --mode tls
    """
    from roadstead.cli.commands import managing

    how: dict[str, str | bool] = {"mode": mode} if mode else {}
    if legacy_certificate:
        how["legacy_certificate"] = legacy_certificate == "on"
    managing.set_enabled(session.connect(ctx), names, "enable", yes=yes, how=how)


def disable(ctx: typer.Context, names: options.VmNames, yes: options.Yes = False) -> None:
    """Disable container management for VMs.

    Their containers run on; they are only not shown any more.

    Examples:
      roadstead disable web1
    """
    from roadstead.cli.commands import managing

    managing.set_enabled(session.connect(ctx), names, "disable", yes=yes)


def why(
    ctx: typer.Context,
    names: options.AnyVms = None,
    filters: options.Filters = None,
    deep: Annotated[bool, typer.Option("--deep", help="Walk the path to its engine step by step.")] = False,
    format: options.TextFormat = "text",
) -> None:
    """Tell why VMs are not being watched, and what to do.

    Asking also tries to reach each VM, and waits a few seconds for what comes of it. Without a name, all managed VMs
    that have a problem are meant. With `--deep` the server walks the path to a VM's engine on a connection of its own,
    also when the VM is not enabled: each step is shown as it is done, and the first one that fails with its remedy.
    Exit code 1 when a step failed, 4 when one did on the way to some of several VMs. JSON of several VMs, or of those
    of a search, is a list.

    Examples:
      roadstead why web1
      roadstead why web1 --deep
      roadstead why 'web*' db1
      roadstead why -f tag:shop
      roadstead why
    """
    from roadstead.cli.commands import explaining

    explaining.explain(session.connect(ctx), names or (), filters, format, deep=deep)
