"""`roadstead inspect`, `roadstead events`, `roadstead audit` and `roadstead version`."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from roadstead.cli import options, session
from roadstead.cli.api import client
from roadstead.cli.display import output
from roadstead.errors import ServerError


def inspect(ctx: typer.Context, names: options.ContainerNames) -> None:
    """Print all that the engine knows of containers, as JSON.

    It is a list, like that of `docker inspect`.

    Examples:
      roadstead inspect web1/nginx
      roadstead inspect web1/nginx | jq '.[0].NetworkSettings.Ports'
    """
    import msgspec

    from roadstead.cli.api.views import Match

    connected = session.connect(ctx)
    found = connected.get(list[Match], "/containers/match", {"name": [client.given(name) for name in names]})
    told = [connected.get(Any, f"/containers/{_path(match.id)}/inspect") for match in found]
    output.write_json(msgspec.json.encode(told))


def events(ctx: typer.Context, filters: options.Filters = None, format: options.EventFormat = "text") -> None:
    """Tell live, in plain words, what happens.

    Of every container and every VM, until Ctrl-C; with a filter, of the containers that match it. `--format json`
    prints each change as the API sends it, one in a line.

    Examples:
      roadstead events
      roadstead events -f vm:web1
      roadstead events --format json | jq -c '[.op, .record.name, .record.state]'
    """
    from roadstead.cli.display import happenings

    query = options.query(filters)
    try:
        if format == "json":
            happenings.tell_json(session.connect(ctx), query, "container,vm" if query is None else "container")
        happenings.tell(session.connect(ctx), query, with_vms=query is None)
    except KeyboardInterrupt:
        return


def audit(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="How many entries.")] = 50,
    format: options.Format = "table",
    no_trunc: options.NoTrunc = False,
) -> None:
    """Tell who changed what, the newest first.

    Every command that changes something, whoever gave it, and every call of a pool's plugin. What has a name now is
    shown by it, else by its id; RESULT is `done`, `cancelled`, or the code of what failed.

    Examples:
      roadstead audit
      roadstead audit --limit 1000 --format json | jq '.[] | select(.result != "done")'
    """
    waiting = session.connect(ctx).ask("/audit", {"limit": limit})
    if format == "json":
        output.write_json(waiting.raw())
        return
    from roadstead.cli.commands import auditing

    auditing.write(waiting, cut=not no_trunc)


def version(ctx: typer.Context) -> None:
    """Print the versions of this program and of the server.

    Examples:
      roadstead version
    """
    output.write(_versions(session.connect(ctx)))


def _versions(connected: client.Client) -> Iterator[str]:
    from importlib.metadata import version as installed

    from roadstead.cli.api.views import Health
    from roadstead.cli.display import words

    yield f"roadstead  {installed('roadstead')}"
    try:
        health = connected.get(Health, "/health")
    except ServerError:
        yield f"server     none at {connected.server}"
        return
    yield f"server     {health.version} at {connected.server}, up {words.span(health.uptime_seconds)}"
    counts = ((health.pools, "pool"), (health.vms, "VM"), (health.containers, "container"))
    yield "           " + ", ".join(words.counted(number, noun) for number, noun in counts)


def _path(container: str) -> str:
    vm, _, engine_id = container.partition("/")
    return f"{client.part(vm)}/{client.part(engine_id)}"
