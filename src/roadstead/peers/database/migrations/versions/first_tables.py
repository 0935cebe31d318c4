"""The first tables: pools, last pins, VMs that a pool key was put into."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "pools",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("password", sa.LargeBinary(), nullable=False),
        sa.Column("ca_pem", sa.Text(), nullable=False),
        sa.Column("fingerprints", sa.JSON(), nullable=False),
        sa.Column("members", sa.JSON(), nullable=False),
        sa.Column("admit", sa.JSON(), nullable=False),
        sa.Column("only_networks", sa.JSON(), nullable=False),
        sa.Column("added", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "last_pins",
        sa.Column("vm", sa.String(36), primary_key=True),
        sa.Column("pool", sa.String(36), nullable=False, index=True),
        sa.Column("host_key", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "keyed_vms",
        sa.Column("pool", sa.String(36), primary_key=True),
        sa.Column("vm", sa.String(36), primary_key=True),
        sa.Column("key_fingerprint", sa.String(64), primary_key=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
