"""Who waits, and for how long a chain of tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """The queue is there, empty; tasks know the chain behind them."""
    op.add_column(
        "tasks", sa.Column("critical_path", sa.BigInteger(), nullable=False, server_default="0")
    )
    with op.batch_alter_table("tasks") as tasks:
        tasks.alter_column("critical_path", server_default=None)
    op.create_index(
        "ix_tasks_critical",
        "tasks",
        ["workspace", "priority", "critical_path", "ready_t", "id"],
        unique=False,
        sqlite_where=sa.text("ready_t IS NOT NULL"),
        postgresql_where=sa.text("ready_t IS NOT NULL"),
    )
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
    op.drop_index("ix_tasks_critical", "tasks")
    op.drop_column("tasks", "critical_path")
    op.drop_table("waiters")
