"""Tasks: create, update and read; `moves` holds how they travel over the board."""

from dataclasses import replace
from typing import Any

from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.features.leases import holding
from kyros_collab_server.features.leases import rules as lease_rules
from kyros_collab_server.features.tasks import chains, rules
from kyros_collab_server.features.tasks.boards import board
from kyros_collab_server.features.tasks.cards import load, resource_of, save
from kyros_collab_server.features.tasks.claims import claim, reasons, why_waiting
from kyros_collab_server.features.tasks.errors import TaskExists
from kyros_collab_server.features.tasks.model import (
    CreatedTasks,
    CreateTasks,
    ListAllTasks,
    ListTasks,
    Move,
    ReadHeldTask,
    ReadTask,
    ReadWorkflow,
    Task,
    TaskDraft,
    TaskList,
    TaskPage,
    TaskStatus,
    TaskWithBrief,
    UpdateTask,
    Workflow,
)
from kyros_collab_server.features.tasks.moves import brief, check_if_match, requeue, transition
from kyros_collab_server.features.tasks.pasts import (
    history,
    late_results,
    late_results_of,
    tasks_at,
)
from kyros_collab_server.features.tasks.ports import TaskWork
from kyros_collab_server.features.tasks.rules import TaskRecord
from kyros_collab_server.kernel.errors import IfMatchRequired, Invalid, NotFound
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope

__all__ = [
    "board",
    "claim",
    "create",
    "history",
    "late_results",
    "list_all",
    "list_tasks",
    "read_held",
    "read_task",
    "requeue",
    "tasks_at",
    "transition",
    "update",
    "why_waiting",
    "workflow",
]

MAX_NUMBER = 10**12
"""The highest n of an id `T-<n>`: automatic ids count on from the highest that was given."""
OPEN_TO_ALL = frozenset({"priority", "labels", "links"})
"""Fields that anybody may change beside another's live lease."""
_LISTS = ("labels", "skills", "depends_on", "resources", "definition_of_done", "links")
_EMPTY: dict[str, Any] = {"description": "", "handoff": "", "role": None} | {
    name: [] for name in _LISTS
}
"""What null means in a merge patch: the field, emptied."""


@operation(Scope.TASKS_WRITE)
def create(work: TaskWork, command: CreateTasks) -> CreatedTasks:
    """All the tasks stand on the board, queued; or none, when one is refused.

    Raises:
        TaskExists: an id is taken.
        NotFound: a dependency does not exist.
        DependencyCycle: names the circle.
        Invalid: a resource or checklist breaks a rule.
    """
    number = work.tasks.highest_number()
    named: list[tuple[str, TaskDraft]] = []
    for draft in command.tasks:
        if draft.id is None:
            number += 1
        task_id = draft.id or f"T-{number}"
        number = max(number, numbered(task_id) or 0)
        named.append((task_id, draft))
    drafts = dict(named)
    for task_id, draft in named:
        if draft.id is not None and (numbered(task_id) or 0) > MAX_NUMBER:
            raise Invalid("id", "is a number beyond all others", allowed=f"T-1 … T-{MAX_NUMBER}")
        if work.tasks.get(task_id) is not None:
            raise TaskExists(task_id)
    if len(drafts) != len(named):
        raise TaskExists(next(one for one in drafts if [i for i, _ in named].count(one) > 1))
    for task_id, draft in named:
        rules.closing_cycle(
            task_id,
            draft.depends_on,
            lambda layer: {one: list(drafts[one].depends_on) for one in layer if one in drafts},
        )
    created = [_insert(work, task_id, drafts) for task_id, _ in named]
    chains.settle_chains(work, [one for task in created for one in task.depends_on])
    return CreatedTasks(tasks=created)


def numbered(task_id: str) -> int | None:
    """The n of an id `T-<n>`, None for any other id."""
    digits = task_id.removeprefix("T-")
    if digits == task_id or not digits.isascii() or not digits.isdigit():
        return None
    return int(digits)


def _insert(work: TaskWork, task_id: str, drafts: dict[str, TaskDraft]) -> Task:
    draft = drafts[task_id]
    resources = lease_rules.canonical_resources(draft.resources)
    draft = draft.model_copy(update={"resources": resources})
    task = rules.drafted(draft, task_id, work.actor, work.ts)
    outside = [one for one in task.depends_on if one not in drafts]
    open_count = _count_open(work, outside) + len(task.depends_on) - len(outside)
    work.tasks.insert(
        TaskRecord(
            task=task,
            number=numbered(task_id),
            open_dependencies=open_count,
            ready_t=work.now if open_count == 0 else None,
        )
    )
    work.tasks.set_dependencies(task_id, task.depends_on)
    work.events.append(
        EventName.TASK_CREATED,
        f"task:{task_id}",
        {
            "version": task.version,
            "etag": task.etag,
            "task": task.model_dump(mode="json", exclude={"etag", "version"}),
        },
    )
    return task


def _count_open(work: TaskWork, depends_on: list[str]) -> int:
    """How many of these tasks are not done.

    Raises:
        NotFound: one does not exist.
    """
    statuses = work.tasks.statuses(depends_on)
    if len(statuses) != len(set(depends_on)):
        raise NotFound("dependency")
    return sum(status is not TaskStatus.DONE for status in statuses.values())


@operation(Scope.TASKS_WRITE)
def update(work: TaskWork, command: UpdateTask) -> Task:
    """The named fields have their new values, the named lines of the checklist are done.

    Raises:
        IfMatchRequired: no etag was sent; carries the current one.
        EtagMismatch: the task changed; carries it, the diff, and the next call.
        WriteFenced: another holds the task, and more than priority, labels or links would change.
        DependencyCycle: names the circle.
        NotFound: no such task, or no such dependency.
    """
    record = load(work, command.task_id)
    task = record.task
    changes = _changes(task, command)
    if command.fencing_token is not None or not changes.keys() <= OPEN_TO_ALL:
        holding.fence(work, resource_of(task.id), command.fencing_token, "task_update")
    if command.if_match is None:
        raise IfMatchRequired(task.etag)
    wanted = {name: rules.plain(value) for name, value in changes.items()}
    check_if_match(command.if_match, task, wanted, "task_update")
    if "needs_attention" in changes:
        work.principal.require(frozenset({Scope.OPERATE}))
        changes["attempts"] = 0
    changes = {name: value for name, value in changes.items() if getattr(task, name) != value}
    if not changes:
        return task
    open_count = record.open_dependencies
    if "depends_on" in changes:
        rules.closing_cycle(task.id, changes["depends_on"], work.tasks.dependencies)
        open_count = _count_open(work, changes["depends_on"])
        work.tasks.set_dependencies(task.id, changes["depends_on"])
        chains.settle_chains(work, {*task.depends_on, *changes["depends_on"]})
    changed = rules.revised(task, work.ts, **changes)
    ready = rules.is_ready(changed, open_count)
    ready_t = (record.ready_t or work.now) if ready else None
    after = replace(record, task=changed, open_dependencies=open_count, ready_t=ready_t)
    save(work, record, after, EventName.TASK_UPDATED)
    return changed


def _changes(task: Task, command: UpdateTask) -> dict[str, Any]:
    """The fields that the patch and the ticks set, in their stored form."""
    patch = command.patch
    changes: dict[str, Any] = {}
    for name in patch.model_fields_set:
        value = getattr(patch, name)
        if value is None and name not in _EMPTY:
            raise Invalid(name, "cannot be empty")
        changes[name] = _EMPTY[name] if value is None else value
    if changes.get("definition_of_done"):
        changes["definition_of_done"] = rules.checklist(changes["definition_of_done"])
    if changes.get("resources"):
        changes["resources"] = lease_rules.canonical_resources(changes["resources"])
    for name in ("labels", "depends_on"):
        if name in changes:
            changes[name] = list(dict.fromkeys(changes[name]))
    if "skills" in changes:
        changes["skills"] = sorted(set(changes["skills"]))
    if command.tick:
        listed = changes.get("definition_of_done", task.definition_of_done)
        shown = task.model_copy(update={"definition_of_done": listed})
        changes["definition_of_done"] = rules.ticked(shown, command.tick)
    return changes


@operation(Scope.TASKS_READ, read=True)
def read_task(work: TaskWork, command: ReadTask) -> Task:
    """One task as everybody sees it.

    Raises:
        NotFound: no such task in this workspace.
    """
    return load(work, command.task_id).task


@operation(Scope.TASKS_READ, read=True)
def read_held(work: TaskWork, command: ReadHeldTask) -> TaskWithBrief:
    """A task with its brief; without an id, the one whose lease the caller holds.

    Raises:
        NotFound: no such task, or the caller holds none.
    """
    task_id = command.task_id
    if task_id is None:
        held = [
            lease
            for lease in work.leases.held_by(work.actor)
            if lease.task_id is not None
            and lease.resource == resource_of(lease.task_id)
            and lease_rules.is_live(lease, work.now)
        ]
        if not held:
            raise NotFound("held task")
        task_id = max(held, key=lambda lease: lease.fencing_token).task_id or ""
    record = load(work, task_id)
    return TaskWithBrief(
        task=record.task,
        brief=brief(work, record.task),
        late_results=late_results_of(work, record.task),
        why_waiting=reasons(work, record),
    )


@operation(Scope.TASKS_READ, read=True)
def list_tasks(work: TaskWork, command: ListTasks) -> TaskPage:
    """A page of the tasks that match, in order of creation, and how many match in all.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    scope = f"tasks:{work.workspace}"
    after = 0
    if command.cursor is not None:
        after = int(work.seal.open(scope, command.cursor))
    tasks, total, last = work.tasks.matching(
        command.status,
        work.actor if command.mine else None,
        command.label,
        command.query,
        command.limit,
        after,
    )
    cursor = None if last is None else work.seal.seal(scope, last)
    return TaskPage(tasks=tasks, total=total, next_cursor=cursor)


@operation(Scope.TASKS_READ, read=True)
def list_all(work: TaskWork, command: ListAllTasks) -> TaskList:
    """Every task of the workspace, in order of creation."""
    return TaskList(data=work.tasks.all(), etag=work.tasks.kind_etag())


@operation(Scope.TASKS_READ, read=True)
def workflow(work: TaskWork, command: ReadWorkflow) -> Workflow:
    """The transition table as data."""
    moves = [
        Move(from_status=old, to_status=new, guards=list(guards))
        for (old, new), guards in rules.MOVES.items()
    ]
    return Workflow(statuses=list(TaskStatus), moves=moves)
