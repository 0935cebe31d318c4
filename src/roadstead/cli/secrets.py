"""How secrets come to the command line: typed where nobody sees them, or read from a file.

Never as a word of a command, which every account of the machine can read.
"""

import getpass
import sys
from pathlib import Path

from roadstead.cli import output
from roadstead.errors import InputError

FILE_BYTES = 1 << 20
"""A password, a key or a certificate that is longer is none."""


def password(source: str | None, question: str) -> str:
    """Return the password that ``source`` holds (``-`` is standard input), or ask for it. Raises `InputError`."""
    if source == "-":
        return _first_line(sys.stdin.readline(FILE_BYTES), "standard input")
    if source is not None:
        return _first_line(text_of(Path(source)), source)
    if not output.is_asked():
        raise InputError(
            "field-invalid", field="--password-file", reason="without a terminal nobody can type a password"
        )
    return asked(question)


def asked(question: str) -> str:
    """Return what is typed, unseen."""
    return getpass.getpass(question)


def text_of(path: Path) -> str:
    """Return the text of a file. Raises `InputError` ``file-unreadable``."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES).decode()
    except OSError as error:
        raise InputError("file-unreadable", path=path, reason=error.strerror or "it cannot be opened") from error
    except UnicodeDecodeError as error:
        raise InputError("file-unreadable", path=path, reason="it is not text") from error


def _first_line(text: str, source: str) -> str:
    # Whoever writes a password into a file leaves a newline after it, which is no part of it.
    password = text.split("\n", 1)[0].removesuffix("\r")
    if not password:
        raise InputError("file-unreadable", path=source, reason="there is no password in it")
    return password
