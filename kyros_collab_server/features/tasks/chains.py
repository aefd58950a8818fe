"""Dependencies at work: what closing, reopening and rewiring a task does to the others."""

from collections.abc import Iterable
from dataclasses import replace

from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.features.tasks import rules
from kyros_collab_server.features.tasks.cards import save
from kyros_collab_server.features.tasks.model import Task, TaskStatus
from kyros_collab_server.features.tasks.ports import TaskWork


def open_dependencies(work: TaskWork, task: Task) -> list[str]:
    """The tasks that this one still waits for."""
    statuses = work.tasks.statuses(task.depends_on)
    return [one for one in task.depends_on if statuses.get(one) is not TaskStatus.DONE]


def settle_dependants(work: TaskWork, before: Task, after: Task) -> None:
    """Dependants of a task that was closed or reopened count it right.

    The freed ones are ready. After a reopening the queued ones are blocked again, and those that
    have begun are flagged.
    """
    was_done, is_done = (one.status is TaskStatus.DONE for one in (before, after))
    if was_done != is_done:
        for dependant_id in work.tasks.dependants(after.id):
            _recount(work, dependant_id, after.id, -1 if is_done else 1)
    if rules.is_open(before.status) != rules.is_open(after.status):
        settle_chains(work, after.depends_on)


def _recount(work: TaskWork, dependant_id: str, closed_id: str, change: int) -> None:
    record = work.tasks.get(dependant_id)
    if record is None:
        return
    left = max(0, record.open_dependencies + change)
    ready = rules.is_ready(record.task, left)
    ready_t = (record.ready_t or work.now) if ready else None
    counted = replace(record, open_dependencies=left, ready_t=ready_t)
    if change > 0 and record.task.status in rules.PAST_CLAIMED:
        flagged = rules.revised(record.task, work.ts, needs_attention=True)
        event = EventName.TASK_NEEDS_ATTENTION
        save(work, counted, replace(counted, task=flagged), event, reopened=closed_id)
        return
    work.tasks.save(counted)
    if ready and record.ready_t is None:
        work.events.append(EventName.TASK_READY, f"task:{dependant_id}", {"closed": closed_id})


def settle_chains(work: TaskWork, task_ids: Iterable[str]) -> None:
    """The critical paths of these tasks, and of all that they wait for, are right again."""
    layer = list(dict.fromkeys(task_ids))
    while layer:
        known = work.tasks.chains(layer)
        changed: list[str] = []
        for task_id in layer:
            if task_id not in known:
                continue
            length = _longest(work, task_id)
            if length != known[task_id][1]:
                work.tasks.set_critical_path(task_id, length)
                changed.append(task_id)
        above = work.tasks.dependencies(changed)
        layer = list(dict.fromkeys(one for found in above.values() for one in found))


def _longest(work: TaskWork, task_id: str) -> int:
    below = work.tasks.chains(work.tasks.dependants(task_id))
    return max(
        (1 + length for status, length in below.values() if rules.is_open(status)), default=0
    )
