"""The host keys that VMs must show at their next contact."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "expected_host_keys",
        sa.Column("vm", sa.String(36), primary_key=True),
        sa.Column("pool", sa.String(36), nullable=False, index=True),
        sa.Column("host_key", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
