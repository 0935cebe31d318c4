"""Since when VMs that a pool's key opens have been in no pool."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; of those that are gone already it begins with the next look."""
    op.add_column("keyed_vms", sa.Column("gone", sa.DateTime(timezone=True), nullable=True))
