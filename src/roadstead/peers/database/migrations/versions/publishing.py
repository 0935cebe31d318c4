"""What each pool publishes of its VMs' containers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; every pool publishes all its VMs, as new ones do."""
    op.add_column("pools", sa.Column("publish", sa.Text(), nullable=False, server_default="on"))
