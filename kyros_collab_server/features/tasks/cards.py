"""Cards as the parts of the service handle them: loaded, saved with their event, named."""

from typing import Any

from kyros_collab_server.features.leases import rules as lease_rules
from kyros_collab_server.features.tasks.ports import TaskWork
from kyros_collab_server.features.tasks.rules import TaskRecord
from kyros_collab_server.kernel.errors import NotFound
from kyros_collab_server.kernel.etag import field_diff

_UNCHANGING = ("version", "etag", "updated_at")


def load(work: TaskWork, task_id: str) -> TaskRecord:
    """The task of this id.

    Raises:
        NotFound: no such task in this workspace.
    """
    record = work.tasks.get(task_id)
    if record is None:
        raise NotFound("task")
    return record


def resource_of(task_id: str) -> str:
    """The resource whose lease is the task's."""
    return f"{lease_rules.TASK}{task_id}"


def save(work: TaskWork, before: TaskRecord, after: TaskRecord, event: str, **more: Any) -> int:
    """The task is stored, and the log tells what changed; returns the event's seq."""
    work.tasks.save(after)
    old, new = before.task.model_dump(mode="json"), after.task.model_dump(mode="json")
    changes = {name: both for name, both in field_diff(old, new).items() if name not in _UNCHANGING}
    return work.events.append(
        event,
        f"task:{after.task.id}",
        {"version": after.task.version, "etag": after.task.etag, "changes": changes, **more},
    )
