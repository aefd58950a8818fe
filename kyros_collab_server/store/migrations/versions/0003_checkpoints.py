"""Signed checkpoints of the log, and the public keys that they are signed by."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TABLES = ("checkpoints", "checkpoint_keys")


def _refusals(table: str) -> dict[str, tuple[str, ...]]:
    """Statements after which nothing updates or deletes a row; the function is 0001's."""
    return {
        "sqlite": tuple(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"
            for verb in ("UPDATE", "DELETE")
        ),
        "postgresql": (
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION events_refuse()",
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
        ),
    }


def upgrade() -> None:
    """Nothing is signed yet; the duty catches up."""
    op.create_table(
        "checkpoints",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.Column("ts", TEXT, nullable=False),
        sa.Column("key_id", TEXT, nullable=False),
        sa.Column("signature", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "seq", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "checkpoint_keys",
        sa.Column("kid", TEXT, nullable=False),
        sa.Column("x", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_checkpoint_keys")),
    )
    for table in TABLES:
        for statement in _refusals(table)[op.get_bind().dialect.name]:
            op.execute(statement)


def downgrade() -> None:
    """The signatures are gone."""
    for table in TABLES:
        op.drop_table(table)
