"""Where the database is: a file of ours, which nobody else may read, or a server named by a URL."""

import os
import stat
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from roadstead.errors import StartError

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def url_of(where: str | Path) -> URL:
    """Return the URL of a database given as a path or as a URL, with the driver that asyncio needs.

    Raises `StartError` ``state-unusable``.
    """
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite+aiosqlite", database=str(where))
    try:
        url = make_url(where)
    except ArgumentError as error:
        raise unusable(where.partition("://")[0], "this is no URL of a database") from error
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def prepare(url: URL) -> None:
    """Make the file of an SQLite database, and its folder, readable by nobody else; blocks.

    SQLite gives the files that it puts beside it the same mode. Raises `StartError` ``state-unusable``.
    """
    if not url.drivername.startswith("sqlite") or not url.database:
        return
    path = Path(url.database)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_mode & _WRITABLE_BY_OTHERS:
            raise unusable(str(path.parent), "others may write into it; its mode should be 0700")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise unusable(str(path.parent), os.strerror(error.errno or 0).lower()) from error


def shown(url: URL) -> str:
    """Return where the database is, for people: without its password."""
    return url.database or "" if url.drivername.startswith("sqlite") else url.render_as_string(hide_password=True)


def unusable(path: str, reason: str) -> StartError:
    """Return the error for a place where no database can be."""
    return StartError("state-unusable", path=path, reason=reason)
