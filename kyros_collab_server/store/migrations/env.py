"""Alembic's entry: runs on the connection that `store.migrate` hands over."""

from alembic import context

from kyros_collab_server.store import agents, checkpoints, events, identity, leases, tasks, waiters
from kyros_collab_server.store.schema import metadata

TABLES = (
    agents.AgentRow,
    checkpoints.CheckpointRow,
    events.EventRow,
    identity.KeyRow,
    leases.LeaseRow,
    tasks.TaskRow,
    waiters.WaiterRow,
)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
