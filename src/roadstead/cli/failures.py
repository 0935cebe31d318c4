"""What a failure says to people and to scripts: one or two sentences on stderr, and the exit code of its kind."""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from roadstead.cli.api import client
from roadstead.errors import RoadsteadError
from roadstead.kit.text import terminal_clean

OK, FAILED, USAGE, NOT_FOUND, SOME_FAILED, NO_SERVER, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
"""The exit codes that scripts rely on."""
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What the operating system says when the output finds no room."""
ERROR = "Error: "
"""What every failure begins with."""
_WRONG_INPUT = 422
_NO_SERVER = {"server-gone", "server-answer-invalid", "server-socket-denied", "shutting-down"}
_TYPED = {
    "ca_file": "--ca-file",
    "ca_pem": "--ca-file",
    "fields": "--fields",
    "fingerprint": "--fingerprint",
    "host_key": "--host-key",
    "passphrase": "the passphrase",
    "password": "the password",
    "place": "--place",
    "private_key": "--key-file",
    "publish": "--publish",
    "since": "--since",
    "until": "--until",
}
"""Fields of the API that are typed under another name."""
_SHOWN_CANDIDATES, _SHOWN_SUGGESTIONS = 20, 3


def exit_code(code: str, status: int) -> int:
    """Return the exit code for an error's ``code`` and HTTP ``status``."""
    if code in _NO_SERVER:
        return NO_SERVER
    if code == "ambiguous-name" or (code.startswith("no-such-") and code != "no-such-page"):
        return NOT_FOUND
    if status == _WRONG_INPUT or code == "confirmation-needed":
        return USAGE
    return FAILED


def told(error: client.Refused | RoadsteadError) -> int:
    """Say on stderr what happened and what to do, and return the exit code."""
    for line in sentences(error):
        print(terminal_clean(line), file=sys.stderr)
    return exit_code(error.code, error.status)


def unwritten(error: OSError) -> int:
    """Say on stderr that what was to be printed cannot be written, and return the exit code."""
    stop_writing()
    print(f"{ERROR}The output cannot be written: {(error.strerror or type(error).__name__).lower()}.", file=sys.stderr)
    return FAILED


def stop_writing() -> None:
    """Send what is still buffered nowhere: the reader of our pipe has seen enough, or the disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def ending(*, debug: bool = False, usage: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Let whatever the block raises end the process as a sentence with its exit code, never as a stack trace.

    Errors of ``usage`` are told by whoever parsed the command line; with ``debug`` a mistake of ours is shown whole.
    """
    try:
        yield
        sys.stdout.flush()
    except (RoadsteadError, client.Refused) as error:
        raise SystemExit(told(error)) from error
    except KeyboardInterrupt:
        interrupted()
    except BrokenPipeError:
        stop_writing()
        raise SystemExit(OK) from None
    except usage:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            raise SystemExit(unwritten(error)) from error
        if debug:
            raise
        print(f"{ERROR}Roadstead made a mistake ({type(error).__name__}).", file=sys.stderr)
        print("Please report it with what `roadstead --debug …` prints.", file=sys.stderr)
        raise SystemExit(FAILED) from error


@contextmanager
def leaving(what_stays: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Let an interruption of the block end the command with what stays behind, which goes on without it."""
    try:
        yield
    except KeyboardInterrupt:
        interrupted(what_stays())


def interrupted(stays: Sequence[str] = ()) -> NoReturn:
    """End the command because somebody pressed Ctrl-C, and say on stderr what stays behind."""
    if sys.stderr.isatty():
        # What was being asked, and the ^C after it, stand in a line without an end.
        print(file=sys.stderr)
    for line in stays:
        print(terminal_clean(line), file=sys.stderr)
    raise SystemExit(INTERRUPTED) from None


def leave(worked: list[bool]) -> None:
    """End the command by what became of its targets: all well, some failed, all failed."""
    if not all(worked):
        raise SystemExit(SOME_FAILED if any(worked) else FAILED)


def stop() -> NoReturn:
    """End the command because the answer to its question was no; nothing was changed."""
    print("Nothing was changed.", file=sys.stderr)
    raise SystemExit(FAILED)


def sentences(error: client.Refused | RoadsteadError) -> list[str]:
    """Return the lines that tell ``error``: its cause, what may have been meant instead, its remedy."""
    lines = [f"{ERROR}{cause(error)}"]
    if isinstance(error, client.Refused):
        if error.candidates and "name" in error.fields:
            lines = [f"{ERROR}{error.fields['name']} names {_count(error)} {error.fields.get('kind', 'thing')}s:"]
        lines += [f"  {candidate}" for candidate in error.candidates[:_SHOWN_CANDIDATES]]
        if error.suggestions:
            lines.append(f"Did you mean {' or '.join(error.suggestions[:_SHOWN_SUGGESTIONS])}?")
    return [*lines, *filter(None, [error.remedy])]


def cause(error: client.Refused | RoadsteadError) -> str:
    """Return what happened, where a field of the API is called as it is typed."""
    field = error.fields.get("field", "") if error.code == "field-invalid" else ""
    return f"{_TYPED[field]}{error.cause.removeprefix(field)}" if field in _TYPED else error.cause


def line(error: client.Refused | RoadsteadError) -> str:
    """Return the cause and the remedy of ``error``, as they stand beside the name of a VM."""
    return f"{cause(error)} {error.remedy}".strip()


def _count(error: client.Refused) -> str:
    return str(error.fields.get("count") or len(error.candidates))
