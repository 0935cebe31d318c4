"""What is done to containers: one operation on all that the names stand for, and a line for what became of each."""

import typer

from roadstead.cli import failures, options, session
from roadstead.cli.api import client
from roadstead.cli.display import output
from roadstead.errors import InputError
from roadstead.kit.text import terminal_clean

WAIT_SECONDS = 20
"""How long the server holds the question how an operation stands; it answers earlier when the operation ends."""
FIRST_WAIT_SECONDS = 1
SHOWN_NAMES = 10
_DONE = {"start": "started", "stop": "stopped", "restart": "restarted", "pause": "paused", "unpause": "resumed"}


def start(ctx: typer.Context, names: options.ContainerNames, yes: options.Yes = False) -> None:
    """Start containers.

    It asks before it touches more than one.

    Examples:
      roadstead start web1/nginx
      roadstead start 'web*/nginx' --yes
    """
    act(ctx, "start", names, yes=yes)


def stop(ctx: typer.Context, names: options.ContainerNames, yes: options.Yes = False) -> None:
    """Stop containers.

    It asks before it touches more than one.

    Examples:
      roadstead stop nginx
      roadstead stop web1/nginx web2/nginx
    """
    act(ctx, "stop", names, yes=yes)


def restart(ctx: typer.Context, names: options.ContainerNames, yes: options.Yes = False) -> None:
    """Restart containers.

    It asks before it touches more than one.

    Examples:
      roadstead restart 'web1/*' --yes
    """
    act(ctx, "restart", names, yes=yes)


def pause(ctx: typer.Context, names: options.ContainerNames, yes: options.Yes = False) -> None:
    """Pause containers: their processes stand still.

    It asks before it touches more than one.

    Examples:
      roadstead pause web1/worker
    """
    act(ctx, "pause", names, yes=yes)


def unpause(ctx: typer.Context, names: options.ContainerNames, yes: options.Yes = False) -> None:
    """Let paused containers go on.

    It asks before it touches more than one.

    Examples:
      roadstead unpause web1/worker
    """
    act(ctx, "unpause", names, yes=yes)


def act(ctx: typer.Context, action: str, names: list[str], *, yes: bool) -> None:
    """Do ``action`` to the containers that ``names`` stand for, wait for the end, and end with the right exit code."""
    from roadstead.cli.api.views import Match, Operation
    from roadstead.cli.display import words

    connected = session.connect(ctx)
    found = connected.get(list[Match], "/containers/match", {"name": [client.given(name) for name in names]})
    shown = {match.id: terminal_clean(f"{match.vm_name}/{match.name}") for match in found}
    if len(shown) > 1 and not yes:
        listed = words.listed(shown.values(), SHOWN_NAMES)
        refusal = InputError("confirmation-needed", count=len(shown), kind="container", candidates=listed)
        question = f"{action.capitalize()} {words.counted(len(shown), 'container')} ({listed})?"
        if not session.agreed(question, refusal=refusal):
            failures.stop()
    operation = connected.post(Operation, "/operations", {"action": action, "targets": list(shown)})
    failures.leave(followed(connected, operation.id, shown, _DONE[action]))


def followed(connected: client.Client, operation_id: str, shown: dict[str, str], done: str) -> list[bool]:
    """Print a line for each target of an operation when its result is there; return what worked.

    An operation goes on when this command is interrupted: the server owns it.
    """
    from roadstead.cli.api.views import Operation

    told: dict[str, bool] = {}
    wait = FIRST_WAIT_SECONDS
    while True:
        now = connected.get(Operation, f"/operations/{client.part(operation_id)}", {"wait": wait})
        for result in now.results:
            if result.ok is not None and result.target not in told:
                told[result.target] = result.ok
                name = shown.get(result.target, result.target)
                output.result(name, done if result.ok else result.message or result.code, ok=result.ok)
        if now.state != "running":
            break
        wait = WAIT_SECONDS if len(shown) == 1 else FIRST_WAIT_SECONDS
    for target in shown.keys() - told.keys():
        output.result(shown[target], now.state, ok=False)
    return [told.get(target, False) for target in shown]
