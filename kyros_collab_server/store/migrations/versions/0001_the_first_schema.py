"""The first schema"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TABLES = (
    "workspaces",
    "tasks",
    "task_edges",
    "store_meta",
    "leases",
    "kinds",
    "inbox_marks",
    "inbox",
    "idempotency",
    "events",
    "api_keys",
    "agents",
)
REFUSE = {
    "sqlite": (
        "CREATE TRIGGER events_no_update BEFORE UPDATE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
        "CREATE TRIGGER events_no_delete BEFORE DELETE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$",
        "CREATE TRIGGER events_no_change BEFORE UPDATE OR DELETE ON events "
        "FOR EACH ROW EXECUTE FUNCTION events_refuse()",
        "CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
    ),
}
"""Nothing updates or deletes an event: the schema refuses it on both engines."""


def upgrade() -> None:
    """Every table of the first release, and the triggers that keep the log append-only."""
    op.create_table(
        "agents",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("seen_t", sa.BigInteger(), nullable=False),
        sa.Column("etag", TEXT, nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name", name=op.f("pk_agents")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("agent", TEXT, nullable=True),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("scopes", TEXT, nullable=False),
        sa.Column("workspaces", TEXT, nullable=False),
        sa.Column("token_hash", TEXT, nullable=False),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("expires_wall_ms", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", TEXT, nullable=True),
        sa.Column("revoked_at", TEXT, nullable=True),
        sa.Column("last_used_at", TEXT, nullable=True),
        sa.Column("last_used_wall_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_table(
        "events",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("t", sa.BigInteger(), nullable=False),
        sa.Column("ts", TEXT, nullable=False),
        sa.Column("event", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=True),
        sa.Column("hash", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "seq", name=op.f("pk_events")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("ix_events_target", ["workspace", "target", "seq"], unique=False)

    op.create_table(
        "idempotency",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("operation", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("answer", TEXT, nullable=False),
        sa.Column("t", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "workspace", "principal", "actor", "operation", "key", name=op.f("pk_idempotency")
        ),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index("ix_idempotency_t", ["t"], unique=False)

    op.create_table(
        "inbox",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("recipient", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "recipient", "seq", name=op.f("pk_inbox")),
    )
    op.create_table(
        "inbox_marks",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("recipient", TEXT, nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "recipient", name=op.f("pk_inbox_marks")),
    )
    op.create_table(
        "kinds",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "kind", name=op.f("pk_kinds")),
    )
    op.create_table(
        "leases",
        sa.Column("lock_id", TEXT, nullable=False),
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("resource", TEXT, nullable=False),
        sa.Column("is_path", sa.BigInteger(), nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("task_id", TEXT, nullable=True),
        sa.Column("acquired_at", TEXT, nullable=False),
        sa.Column("ttl_ms", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_t", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", TEXT, nullable=False),
        sa.Column("expires_t", sa.BigInteger(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("ended", TEXT, nullable=True),
        sa.Column("ended_t", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", TEXT, nullable=True),
        sa.CheckConstraint("ended IN ('released', 'reclaimed')", name=op.f("ck_leases_ended")),
        sa.CheckConstraint("mode IN ('exclusive', 'shared')", name=op.f("ck_leases_mode")),
        sa.PrimaryKeyConstraint("lock_id", name=op.f("pk_leases")),
    )
    with op.batch_alter_table("leases", schema=None) as batch_op:
        batch_op.create_index(
            "ix_leases_fence", ["workspace", "resource", "fencing_token"], unique=False
        )
        batch_op.create_index(
            "ix_leases_held_expiry",
            ["workspace", "expires_t"],
            unique=False,
            sqlite_where=sa.text("ended IS NULL"),
            postgresql_where=sa.text("ended IS NULL"),
        )
        batch_op.create_index(
            "ix_leases_held_holder",
            ["workspace", "holder"],
            unique=False,
            sqlite_where=sa.text("ended IS NULL"),
            postgresql_where=sa.text("ended IS NULL"),
        )
        batch_op.create_index(
            "ix_leases_held_path",
            ["workspace", "is_path"],
            unique=False,
            sqlite_where=sa.text("ended IS NULL"),
            postgresql_where=sa.text("ended IS NULL"),
        )
        batch_op.create_index(
            "ix_leases_held_resource",
            ["workspace", "resource"],
            unique=False,
            sqlite_where=sa.text("ended IS NULL"),
            postgresql_where=sa.text("ended IS NULL"),
        )
        batch_op.create_index(
            "ix_leases_held_task",
            ["workspace", "task_id"],
            unique=False,
            sqlite_where=sa.text("ended IS NULL"),
            postgresql_where=sa.text("ended IS NULL"),
        )

    op.create_table(
        "store_meta",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_store_meta")),
    )
    op.create_table(
        "task_edges",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("task_id", TEXT, nullable=False),
        sa.Column("depends_on", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "task_id", "depends_on", name=op.f("pk_task_edges")),
    )
    with op.batch_alter_table("task_edges", schema=None) as batch_op:
        batch_op.create_index("ix_task_edges_depends_on", ["workspace", "depends_on"], unique=False)

    op.create_table(
        "tasks",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("assignee", TEXT, nullable=True),
        sa.Column("assignee_principal", TEXT, nullable=True),
        sa.Column("open_dependencies", sa.BigInteger(), nullable=False),
        sa.Column("ready_t", sa.BigInteger(), nullable=True),
        sa.Column("returned_t", sa.BigInteger(), nullable=True),
        sa.Column("needs_attention", sa.BigInteger(), nullable=False),
        sa.Column("labels", TEXT, nullable=False),
        sa.Column("searched", TEXT, nullable=False),
        sa.Column("etag", TEXT, nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.CheckConstraint(
            "status IN ('queued', 'claimed', 'in_progress', 'review', 'approved', 'merging', "
            "'done', 'cancelled')",
            name=op.f("ck_tasks_status"),
        ),
        sa.CheckConstraint("open_dependencies >= 0", name=op.f("ck_tasks_open_dependencies")),
        sa.CheckConstraint("priority BETWEEN 0 AND 3", name=op.f("ck_tasks_priority")),
        sa.PrimaryKeyConstraint("workspace", "id", name=op.f("pk_tasks")),
    )
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index(
            "ix_tasks_attention",
            ["workspace", "place"],
            unique=False,
            sqlite_where=sa.text("needs_attention = 1"),
            postgresql_where=sa.text("needs_attention = 1"),
        )
        batch_op.create_index("ix_tasks_number", ["workspace", "number"], unique=False)
        batch_op.create_index("ix_tasks_place", ["workspace", "place"], unique=False)
        batch_op.create_index(
            "ix_tasks_ready",
            ["workspace", "priority", "ready_t", "id"],
            unique=False,
            sqlite_where=sa.text("ready_t IS NOT NULL"),
            postgresql_where=sa.text("ready_t IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_tasks_returned",
            ["workspace", "returned_t"],
            unique=False,
            sqlite_where=sa.text("returned_t IS NOT NULL"),
            postgresql_where=sa.text("returned_t IS NOT NULL"),
        )
        batch_op.create_index("ix_tasks_status", ["workspace", "status", "place"], unique=False)

    op.create_table(
        "workspaces",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
    )
    for statement in REFUSE[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    """The store is empty."""
    for table in TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION events_refuse()")
