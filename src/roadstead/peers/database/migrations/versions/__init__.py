"""One script for each change of the tables; Alembic finds them here and orders them by ``down_revision``."""
