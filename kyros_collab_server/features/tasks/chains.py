"""Dependencies at work: what closing, reopening and rewiring a task does to the others."""

from collections.abc import Iterable, Mapping
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
    """The critical paths of these tasks, and of all that they wait for, are right again.

    Each task is looked at once, after every task behind it that may change as well.
    """
    waits_for = _ancestry(work, task_ids)
    behind: dict[str, int] = dict.fromkeys(waits_for, 0)
    for one in waits_for:
        for other in waits_for[one]:
            behind[other] += 1
    free = [one for one, count in behind.items() if count == 0]
    known = dict(work.tasks.chains(list(waits_for)))
    while free:
        one = free.pop()
        if one in known:
            status, length = known[one]
            longest = _longest(work, one, known)
            if longest != length:
                work.tasks.set_critical_path(one, longest)
                known[one] = (status, longest)
        for other in waits_for[one]:
            behind[other] -= 1
            if behind[other] == 0:
                free.append(other)


def _ancestry(work: TaskWork, task_ids: Iterable[str]) -> dict[str, list[str]]:
    """These tasks and all that they wait for, each with what it waits for itself."""
    found: dict[str, list[str]] = {}
    layer = list(dict.fromkeys(task_ids))
    while layer:
        above = work.tasks.dependencies(layer)
        for one in layer:
            found[one] = list(above.get(one, ()))
        layer = list(
            dict.fromkeys(other for one in layer for other in found[one] if other not in found)
        )
    return found


def _longest(work: TaskWork, task_id: str, known: Mapping[str, tuple[TaskStatus, int]]) -> int:
    dependants = work.tasks.dependants(task_id)
    others = work.tasks.chains([one for one in dependants if one not in known])
    below = [known.get(one) or others.get(one) for one in dependants]
    lengths = [1 + one[1] for one in below if one is not None and rules.is_open(one[0])]
    return max(lengths, default=0)
