"""The whole of coordination: who waits, chains of tasks, quiet and lost leases."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBERS = (
    ("tasks", "critical_path"),
    ("agents", "active_t"),
    ("leases", "acquired_t"),
    ("leases", "is_quiet"),
    ("leases", "told"),
)
"""New columns; rows from before start with what `ZERO` says."""
ZERO = {"critical_path": "0", "active_t": "0", "acquired_t": "0", "is_quiet": "0", "told": "1"}


def upgrade() -> None:
    """The queue is there, empty; tasks know the chain behind them, leases their progress."""
    for table, column in NUMBERS:
        op.add_column(
            table, sa.Column(column, sa.BigInteger(), nullable=False, server_default=ZERO[column])
        )
        with op.batch_alter_table(table) as altered:
            altered.alter_column(column, server_default=None)
    op.create_index(
        "ix_tasks_critical",
        "tasks",
        ["workspace", "priority", "critical_path", "ready_t", "id"],
        unique=False,
        sqlite_where=sa.text("ready_t IS NOT NULL"),
        postgresql_where=sa.text("ready_t IS NOT NULL"),
    )
    op.create_index(
        "ix_leases_untold",
        "leases",
        ["workspace", "holder"],
        unique=False,
        sqlite_where=sa.text("told = 0"),
        postgresql_where=sa.text("told = 0"),
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
    op.drop_index("ix_leases_untold", "leases")
    op.drop_index("ix_tasks_critical", "tasks")
    for table, column in NUMBERS:
        op.drop_column(table, column)
    op.drop_table("waiters")
