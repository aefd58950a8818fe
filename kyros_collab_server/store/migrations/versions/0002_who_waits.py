"""Who waits: the queue for leases and for work."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """The queue is there, empty."""
    op.create_table(
        "waiters",
        sa.Column("waiter_id", TEXT, nullable=False),
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("is_claim", sa.BigInteger(), nullable=False),
        sa.Column("resources", TEXT, nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=True),
        sa.Column("skills", TEXT, nullable=False),
        sa.Column("deadline_t", sa.BigInteger(), nullable=False),
        sa.Column("alive_t", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("waiter_id", name=op.f("pk_waiters")),
    )
    op.create_index("ix_waiters_place", "waiters", ["workspace", "place"], unique=False)


def downgrade() -> None:
    """Nobody waits."""
    op.drop_table("waiters")
