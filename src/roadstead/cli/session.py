"""What the global options say, kept for the command that runs: which server, and whether questions are asked."""

import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from roadstead.cli.api import client
from roadstead.cli.display import output
from roadstead.errors import InputError


@dataclass(frozen=True)
class Session:
    """The global options of one run."""

    address: str | None = None
    token_file: Path | None = None

    def client(self, answer_seconds: float = client.ANSWER_SECONDS) -> client.Client:
        """Return a client of the server that was named. Raises `typer.BadParameter` when that is no address."""
        try:
            server = client.server_at(self.address, self.token_file)
        except client.AddressInvalid as error:
            raise typer.BadParameter(str(error), param_hint="--server") from error
        return client.Client(server, answer_seconds)


def of(ctx: typer.Context) -> Session:
    """Return the session of the run that ``ctx`` belongs to."""
    found = ctx.find_root().obj
    return found if isinstance(found, Session) else Session()


def connect(ctx: typer.Context) -> client.Client:
    """Return a client of the server that was named on the command line of ``ctx``."""
    return of(ctx).client()


def agreed(question: str, *, refusal: InputError) -> bool:
    """Ask ``question`` on stderr, so that piped output stays clean; nobody there to answer raises ``refusal``."""
    if not output.is_asked():
        raise refusal
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
