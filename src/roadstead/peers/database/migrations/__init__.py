"""Brings a database of any older version up to this one, at every start.

The scripts in ``versions`` are run by Alembic, each once, in the order of their revisions. They are part of the
package, so that an installed Roadstead has them. Reading them blocks, running them does not: so the two are apart.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


class NewerDatabaseError(Exception):
    """The database has a revision that this version of Roadstead does not know."""


def load_scripts() -> ScriptDirectory:
    """Return all scripts; blocks."""
    scripts = ScriptDirectory(str(Path(__file__).parent))
    scripts.get_heads()
    return scripts


def migrate(connection: Connection, scripts: ScriptDirectory) -> None:
    """Run those of ``scripts`` that the database has not seen, inside the connection's transaction.

    Raises `NewerDatabaseError`, with nothing changed.
    """
    known = {script.revision for script in scripts.walk_revisions()}
    if not known.issuperset(MigrationContext.configure(connection).get_current_heads()):
        raise NewerDatabaseError

    def missing(revision: Any, _context: MigrationContext) -> Sequence[Any]:
        return scripts._upgrade_revs("head", revision)  # noqa: SLF001 - what `alembic upgrade` itself asks

    with EnvironmentContext(Config(), scripts, fn=missing) as environment:
        environment.configure(connection=connection, render_as_batch=True)
        with environment.begin_transaction():
            environment.run_migrations()
