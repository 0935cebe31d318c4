"""`roadstead stats`: what containers take of their guests, now."""

from typing import Annotated

import typer

from roadstead.cli import completion, failures, options, session
from roadstead.cli.api import client
from roadstead.cli.display import output, patience

EVERY = "*/*"
NONE = "no-such-container"
Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME…",
        autocompletion=completion.containers,
        show_default=False,
        help=f"{options.A_CONTAINER} Without a name all are meant.",
    ),
]


def stats(
    ctx: typer.Context,
    names: Names = None,
    format: options.Format = "table",
    no_trunc: options.NoTrunc = False,
) -> None:
    """Tell how much CPU, memory and so on containers take.

    Their engines are asked twice, a second apart; nothing is kept. CPU is in percent of one CPU: 200 are two. Bytes of
    network and disk are counted from the start of the container. A dash stands for what an engine does not tell. Of
    several containers only those that run are asked.

    Examples:
      roadstead stats
      roadstead stats web1/nginx
      roadstead stats 'web1/*'
      roadstead stats 'web*/*' --format json | jq '.[] | [.vm_name, .name, .usage.cpu_percent]'
    """
    connected = session.connect(ctx)
    asked = [client.given(name) for name in names or (EVERY,)]
    waiting = connected.ask("/containers/stats", {"name": asked})
    from roadstead.cli.api.views import UsageResult

    try:
        with patience.told(f"Waiting for the engines of {', '.join(names or ('all VMs',))} to answer …"):
            answer = waiting.raw()
    except client.Refused as error:
        if names or error.code != NONE:
            raise
        from roadstead.cli.display import empty

        answer = b"[]"
        empty.containers(connected)
    if format == "json":
        output.write_json(answer)
        return
    from roadstead.cli.display import usages

    failures.leave(usages.write(client.decoded(answer, list[UsageResult], connected.server), cut=not no_trunc))
