"""`roadstead stats`: what containers take of their guests, now."""

import typer

from roadstead.cli import failures, options, session
from roadstead.cli.api import client
from roadstead.cli.display import output


def stats(
    ctx: typer.Context,
    names: options.ContainerNames,
    format: options.Format = "table",
    no_trunc: options.NoTrunc = False,
) -> None:
    """Tell how much CPU, memory and so on containers take.

    Their engines are asked twice, a second apart; nothing is kept. CPU is in percent of one CPU: 200 are two. Bytes of
    network and disk are counted from the start of the container. A dash stands for what an engine does not tell. Of
    several containers only those that run are asked.

    Examples:
      roadstead stats web1/nginx
      roadstead stats 'web1/*'
      roadstead stats 'web*/*' --format json | jq '.[] | [.vm_name, .name, .usage.cpu_percent]'
    """
    waiting = session.connect(ctx).ask("/containers/stats", {"name": [client.given(name) for name in names]})
    from roadstead.cli.api.views import UsageResult

    if format == "json":
        output.write_json(waiting.raw())
        return
    from roadstead.cli.display import usages

    failures.leave(usages.write(waiting.read(list[UsageResult]), cut=not no_trunc))
