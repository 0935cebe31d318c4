"""`roadstead logs`: what a container has written, and what it writes."""

from typing import Annotated, Literal

import typer

from roadstead.cli import completion, failures, options, session
from roadstead.cli.api import client
from roadstead.cli.display import output
from roadstead.errors import InputError

SHOWN_NAMES = 5


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        autocompletion=completion.containers,
        show_default=False,
        help="A container, as elsewhere: its name, vm/name, id, the first digits of its id. Or its VM, with the "
        "container after it.",
    ),
]
InVm = Annotated[
    str | None, typer.Argument(metavar="CONTAINER", show_default=False, help="The container, where NAME is its VM.")
]
Follow = Annotated[bool, typer.Option("--follow", help="Go on with what it writes, until it ends.")]
Tail = Annotated[
    int | None, typer.Option(min=0, max=10**9, metavar="N", show_default=False, help="Only the last N lines.")
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        show_default=False,
        help="Only from then on: a time such as 2026-11-27T12:00:00Z, or how long ago (90s, 10m, 2h, 3d).",
    ),
]
Until = Annotated[
    str | None, typer.Option(metavar="TIME", show_default=False, help="Only up to then, written the same.")
]
Timestamps = Annotated[bool, typer.Option("--timestamps", help="With the time of each line, as the engine tells it.")]
OneStream = Annotated[
    Literal["stdout", "stderr"] | None,
    typer.Option("--stream", show_default=False, help="Only what was written there."),
]
Raw = Annotated[bool, typer.Option("--raw", help="Every byte as it was written; never done on a terminal.")]


def logs(  # noqa: PLR0913, PLR0917 - one parameter for each option
    ctx: typer.Context,
    name: Name,
    container: InVm = None,
    follow: Follow = False,
    tail: Tail = None,
    since: Since = None,
    until: Until = None,
    timestamps: Timestamps = False,
    stream: OneStream = None,
    format: options.TextFormat = "text",
    raw: Raw = False,
) -> None:
    """Print what a container has written.

    On a terminal what it wrote to stderr is red. What could command a terminal is shown as `?`, and colours are left
    out; `--raw` writes all of it byte for byte, into a file or a pipe. `--format json` has an object on each line.

    When the VM is lost, `--follow` waits for it and goes on where it stopped; stderr tells of either.

    Examples:
      roadstead logs web1/nginx --tail 100
      roadstead logs web1 nginx --follow --since 10m
      roadstead logs web1/nginx --stream stderr --timestamps | less
    """
    if raw and output.is_terminal():
        raise InputError("field-invalid", field="--raw", reason="a container could command this terminal; pipe it")
    asked: client.Query = {
        "stream": stream,
        "tail": tail,
        "since": since,
        "until": until,
        "timestamps": "true" if timestamps else None,
        "follow": "true" if follow else None,
        "exact": "true" if raw else None,
    }
    connected = session.of(ctx).client(client.SILENCE_SECONDS)
    path = f"/containers/{_found(connected, name if container is None else f'{client.given(name)}/{container}')}/logs"
    waiting = connected.ask(path, asked)
    try:
        is_whole = _printed(waiting, format, raw=raw, at_once=follow)
    except KeyboardInterrupt:
        return
    failures.leave([is_whole])


def _printed(waiting: client.Waiting, format: str, *, raw: bool, at_once: bool) -> bool:
    """Print what comes, each entry ``at_once`` or when there are some; return whether the logs were read whole."""
    from roadstead.cli.display import logs as display

    shown = display.as_json if format == "json" else display.as_written if raw else display.as_text
    return display.write(waiting, shown, at_once=at_once)


def _found(connected: client.Client, name: str) -> str:
    """Return the path of the one container that ``name`` stands for."""
    from roadstead.cli.api.views import Match
    from roadstead.cli.display import words

    found = connected.get(list[Match], "/containers/match", {"name": [client.given(name)]})
    if len(found) != 1:
        listed = words.listed([f"{match.vm_name}/{match.name}" for match in found], SHOWN_NAMES)
        reason = f"it names {len(found)} containers ({listed}), and logs are those of one"
        raise InputError("field-invalid", field="NAME", reason=reason)
    vm, _, engine_id = found[0].id.partition("/")
    return f"{client.part(vm)}/{client.part(engine_id)}"
