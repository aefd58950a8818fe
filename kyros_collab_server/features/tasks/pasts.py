"""The past of tasks: their revisions, and the board as it was, folded from the log."""

from collections.abc import Iterable

from kyros_collab_server.features.events.model import Event, EventFilter, EventName, ReadAt
from kyros_collab_server.features.events.service import seq_of
from kyros_collab_server.features.tasks.cards import load
from kyros_collab_server.features.tasks.model import (
    History,
    LateResult,
    LateResults,
    ReadHistory,
    ReadTask,
    Revision,
    Task,
    TaskList,
)
from kyros_collab_server.features.tasks.ports import TaskWork
from kyros_collab_server.kernel.etag import kind_etag
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope

REVISIONS = (
    EventName.TASK_CREATED,
    EventName.TASK_UPDATED,
    EventName.TASK_TRANSITIONED,
    EventName.TASK_CLAIMED,
    EventName.TASK_REQUEUED,
    EventName.TASK_NEEDS_ATTENTION,
)
"""Events that may carry a new version of a task; every version has exactly one."""
LATE_RESULTS = 20


def folded(events: Iterable[Event]) -> list[Task]:
    """The tasks that these events tell of, exact to the field, in order of creation."""
    tasks: dict[str, Task] = {}
    for event in events:
        details = event.details
        if "version" not in details:
            continue
        sealed = {"version": details["version"], "etag": details["etag"]}
        task_id = (event.target or "").removeprefix("task:")
        if event.event == EventName.TASK_CREATED:
            tasks[task_id] = Task.model_validate({**details["task"], **sealed})
        elif task_id in tasks:
            changes = {field: both["after"] for field, both in details["changes"].items()}
            known = tasks[task_id].model_dump(mode="json")
            tasks[task_id] = Task.model_validate(
                {**known, **changes, **sealed, "updated_at": event.ts}
            )
    return list(tasks.values())


@operation(Scope.TASKS_READ, read=True)
def tasks_at(work: TaskWork, command: ReadAt) -> TaskList:
    """Every task as it was at a moment, in order of creation.

    Raises:
        Invalid: the moment is neither a seq nor an instant with a zone.
    """
    seq = seq_of(work, command.at)
    tasks = folded(work.events.scan(REVISIONS, seq))
    return TaskList(data=tasks, etag=kind_etag(seq, [(task.id, task.etag) for task in tasks]))


@operation(Scope.TASKS_READ, read=True)
def history(work: TaskWork, command: ReadHistory) -> History:
    """A page of the task's revisions, newest first.

    Raises:
        NotFound: no such task in this workspace.
        Invalid: the cursor is not one of this list.
    """
    task = load(work, command.task_id).task
    scope = f"history:{work.workspace}:{task.id}"
    before = None if command.cursor is None else int(work.seal.open(scope, command.cursor))
    wanted = EventFilter(types=list(REVISIONS), target=f"task:{task.id}")
    events = work.events.before(before, command.limit + 1, wanted)[::-1]
    page = events[: command.limit]
    more = len(events) > command.limit
    cursor = work.seal.seal(scope, page[-1].seq) if more else None
    return History(
        data=[_revision(event) for event in page if "version" in event.details], next_cursor=cursor
    )


def _revision(event: Event) -> Revision:
    details = event.details
    created = details.get("task", {})
    return Revision(
        seq=event.seq,
        ts=event.ts,
        event=event.event,
        actor=event.actor,
        version=details["version"],
        etag=details["etag"],
        changes=details.get("changes")
        or {field: {"before": None, "after": value} for field, value in created.items()},
    )


@operation(Scope.TASKS_READ, read=True)
def late_results(work: TaskWork, command: ReadTask) -> LateResults:
    """What agents that had lost the task handed in for it, oldest first.

    Raises:
        NotFound: no such task in this workspace.
    """
    return LateResults(data=late_results_of(work, load(work, command.task_id).task))


def late_results_of(work: TaskWork, task: Task) -> list[LateResult]:
    """The newest late results of a task, oldest first."""
    found = work.events.about(f"task:{task.id}", (EventName.LATE_RESULT,), LATE_RESULTS)
    return [
        LateResult(seq=one.seq, ts=one.ts, author=one.actor, text=str(one.details.get("text", "")))
        for one in found
    ]
