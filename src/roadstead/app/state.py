"""The state folder: made for its owner alone, and held by one server at a time."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from roadstead.errors import StartError

TOKEN_BYTES = 32


class Newborn:
    """Removes a state folder that the block made, when the block ends before `lives` was called: whoever mistypes an
    option need not find a folder with keys that nobody knows. One that was there before is left as it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_new = not folder.exists()

    def lives(self) -> None:
        """The server runs: from now on there is something to keep."""
        self._is_new = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_another_s = isinstance(error, StartError) and error.code == "state-taken"
        if self._is_new and not is_another_s:
            shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """Make the state folder (0700) and hold its lock for the length of the block.

    Raises `StartError` ``state-taken`` when another server holds it, ``state-unusable`` when it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError("state-unusable", path=folder, reason=os.strerror(error.errno or 0).lower()) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StartError("state-taken", path=folder) from error
    try:
        yield folder
    finally:
        os.close(lock)


def token(folder: Path) -> str:
    """Return the bearer token of the state folder, made on first need (0600).

    One that holds nothing (the disk was full) is made anew: nobody could tell it from no token at all. Raises
    `StartError` ``state-unusable``.
    """
    path = folder / "token"
    try:
        known = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if known:
            return known
        made = secrets.token_urlsafe(TOKEN_BYTES)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(made + "\n")
    except OSError as error:
        raise StartError("state-unusable", path=path, reason=os.strerror(error.errno or 0).lower()) from error
    return made
