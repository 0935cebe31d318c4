"""The border at which errors of SQLAlchemy and its drivers become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from roadstead.errors import PeerError, RoadsteadError
from roadstead.peers.database.migrations import NewerDatabaseError

_REASONS = (
    ("not a database", "the file holds no database"),
    ("malformed", "the database in it is damaged"),
    ("database is locked", "another program has locked the database"),
    ("disk is full", "the disk is full"),
    ("readonly", "the database may not be written"),
    ("unable to open", "the database cannot be opened"),
)
"""Words of SQLite's messages, and what they mean for people."""


@contextmanager
def border(path: str, kind: type[RoadsteadError] = PeerError) -> Iterator[None]:
    """Turn database errors in the block into ``kind`` with the code ``state-unusable``.

    An error that the caller knows how to read (`sqlalchemy.exc.IntegrityError`) is caught inside the block.
    """
    try:
        yield
    except NewerDatabaseError as error:
        raise kind("state-unusable", path=path, reason="a newer version of Roadstead wrote its database") from error
    except (SQLAlchemyError, ImportError, OSError) as error:
        raise kind("state-unusable", path=path, reason=_reason(error)) from error


def _reason(error: Exception) -> str:
    text = str(error.orig).lower() if isinstance(error, DBAPIError) else ""
    for words, reason in _REASONS:
        if words in text:
            return reason
    return "the database does not answer" if isinstance(error, OperationalError | OSError) else "the database failed"
