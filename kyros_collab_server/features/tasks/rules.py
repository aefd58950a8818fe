"""Decisions about tasks: the table of moves, what fits whom, what comes first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from kyros_collab_server.features.tasks.errors import DependencyCycle, Guard, GuardFailed
from kyros_collab_server.features.tasks.model import (
    ChecklistDraft,
    ChecklistItem,
    Priority,
    Task,
    TaskDraft,
    TaskStatus,
)
from kyros_collab_server.kernel.errors import Invalid
from kyros_collab_server.kernel.etag import canonical, etag_of

S = TaskStatus
LEASED = frozenset({S.CLAIMED, S.IN_PROGRESS})
"""Columns that only the holder of the live lease, or an operator, may take a task out of."""
PAST_CLAIMED = frozenset({S.IN_PROGRESS, S.REVIEW, S.APPROVED, S.MERGING, S.DONE})
"""Columns of work that was begun: a reopened dependency cannot hold it back, only flag it."""
RELEASES = frozenset({S.REVIEW, S.DONE, S.CANCELLED, S.QUEUED})
"""Columns whose entry ends the task's leases."""

LEASE, DEPENDENCIES, REVIEWER, CHECKLIST, OPERATOR = (
    "lease_required",
    "open_dependencies",
    "self_review",
    "open_checklist",
    "operate",
)
MOVES: Mapping[tuple[TaskStatus, TaskStatus], tuple[str, ...]] = {
    (S.QUEUED, S.CLAIMED): (
        "open_dependencies",
        "role",
        "skills",
        "agent_paused",
        "needs_attention",
    ),
    (S.CLAIMED, S.IN_PROGRESS): (LEASE, DEPENDENCIES),
    (S.IN_PROGRESS, S.REVIEW): (LEASE,),
    (S.REVIEW, S.APPROVED): (REVIEWER,),
    (S.APPROVED, S.MERGING): (),
    (S.MERGING, S.DONE): (CHECKLIST,),
    (S.CLAIMED, S.QUEUED): (LEASE,),
    (S.IN_PROGRESS, S.QUEUED): (LEASE,),
    (S.REVIEW, S.IN_PROGRESS): (),
    (S.APPROVED, S.IN_PROGRESS): (),
    (S.MERGING, S.IN_PROGRESS): (),
    (S.APPROVED, S.REVIEW): (),
    (S.MERGING, S.APPROVED): (),
    (S.DONE, S.QUEUED): (OPERATOR,),
    (S.QUEUED, S.CANCELLED): (),
    (S.CLAIMED, S.CANCELLED): (LEASE,),
    (S.IN_PROGRESS, S.CANCELLED): (LEASE,),
    (S.REVIEW, S.CANCELLED): (),
    (S.APPROVED, S.CANCELLED): (),
    (S.MERGING, S.CANCELLED): (),
}
"""The board: every legal move with its guards. `claimed` is entered by claiming alone."""


@dataclass(frozen=True)
class TaskRecord:
    """A stored task: what is published, and what the claim queue keeps of it.

    `ready_t` is the steady time since which it can be claimed, None while it cannot;
    `returned_t` the one since which it is in progress without a lease. `critical_path` is the
    length of the longest chain of open tasks that wait for it.
    """

    task: Task
    number: int | None
    open_dependencies: int = 0
    ready_t: int | None = None
    returned_t: int | None = None
    critical_path: int = 0
    assignee_principal: str | None = None


@dataclass(frozen=True)
class Claimer:
    """Who asks for work: role and skills of the call, else of the agent."""

    role: str | None
    skills: frozenset[str]
    paused: bool


def revised(task: Task, ts: str, **changes: Any) -> Task:
    """The task with these fields, its version one higher, and the tag that follows."""
    values = {**changes, "updated_at": ts, "version": task.version + 1}
    return sealed(task.model_copy(update=values))


def sealed(task: Task) -> Task:
    """The task with the strong tag of its public fields."""
    body = canonical(task.model_dump(mode="json", exclude={"etag"}))
    return task.model_copy(update={"etag": etag_of(task.version, body)})


def drafted(draft: TaskDraft, task_id: str, created_by: str, ts: str) -> Task:
    """A new task, queued, as its draft says."""
    return sealed(
        Task(
            id=task_id,
            title=draft.title,
            description=draft.description,
            priority=draft.priority,
            labels=list(dict.fromkeys(draft.labels)),
            role=draft.role,
            skills=sorted(set(draft.skills)),
            depends_on=list(dict.fromkeys(draft.depends_on)),
            resources=list(draft.resources),
            definition_of_done=checklist(draft.definition_of_done),
            links=list(draft.links),
            created_by=created_by,
            created_at=ts,
            updated_at=ts,
        )
    )


def checklist(drafts: Sequence[ChecklistDraft]) -> list[ChecklistItem]:
    """The lines with an id each: the given one, else `d1`, `d2`, … by position.

    Raises:
        Invalid: two lines have the same id.
    """
    items = [
        ChecklistItem(id=draft.id or f"d{place}", text=draft.text, done=draft.done)
        for place, draft in enumerate(drafts, start=1)
    ]
    if len({item.id for item in items}) != len(items):
        raise Invalid("definition_of_done", "has the same id twice")
    return items


def ticked(task: Task, item_ids: Iterable[str]) -> list[ChecklistItem]:
    """The definition of done with these lines done.

    Raises:
        Invalid: a line of that id does not exist; `allowed` lists those that do.
    """
    wanted = set(item_ids)
    known = [item.id for item in task.definition_of_done]
    if not wanted <= set(known):
        raise Invalid("tick", "names a line that is not there", allowed=known)
    return [
        item.model_copy(update={"done": True}) if item.id in wanted else item
        for item in task.definition_of_done
    ]


def check_move(old: TaskStatus, new: TaskStatus) -> tuple[str, ...]:
    """The guards of a move.

    Raises:
        GuardFailed: the board has no such move; `allowed` lists those it has.
    """
    guards = MOVES.get((old, new))
    if guards is None:
        allowed = [to.value for start, to in MOVES if start is old]
        raise GuardFailed(
            Guard.ILLEGAL_MOVE, **{"from": old.value, "to": new.value, "allowed": allowed}
        )
    return guards


def check_checklist(task: Task) -> None:
    """Pass when the whole definition of done is ticked.

    Raises:
        GuardFailed: `open` lists the lines that are not.
    """
    left = [{"id": item.id, "text": item.text} for item in task.definition_of_done if not item.done]
    if left:
        raise GuardFailed(Guard.OPEN_CHECKLIST, open=left)


def misfit(task: Task, claimer: Claimer) -> tuple[Guard, dict[str, Any]] | None:
    """The guard that keeps this task from this claimer, with facts; None when it fits."""
    if claimer.paused:
        return Guard.AGENT_PAUSED, {}
    if task.needs_attention:
        return Guard.NEEDS_ATTENTION, {"attempts": task.attempts}
    if task.role is not None and task.role != claimer.role:
        return Guard.ROLE, {"needs": task.role, "has": claimer.role}
    missing = sorted(set(task.skills) - claimer.skills)
    if missing:
        return Guard.SKILLS, {"missing": missing}
    return None


def is_open(status: TaskStatus) -> bool:
    """True while the task can still hold up those that wait for it."""
    return status not in (S.DONE, S.CANCELLED)


def is_ready(task: Task, open_dependencies: int) -> bool:
    """True when nothing on the card itself keeps it from being claimed."""
    return task.status is S.QUEUED and open_dependencies == 0 and not task.needs_attention


def turn(
    priority: Priority,
    ready_t: int,
    task_id: str,
    now: int,
    ageing_seconds: int,
    critical_path: int = 0,
) -> tuple[int, int, int, str]:
    """Where a ready task stands in the queue; the smallest goes first.

    The class falls by one for every `ageing_seconds` waited, without a floor. Within a class the
    longest chain of open dependants goes first; below class 0 only age orders. Then age, then id.
    """
    waited = max(0, now - ready_t) // (ageing_seconds * 1000)
    effective = priority.rank - waited
    if effective < 0:
        return -1, 0, ready_t, task_id
    return effective, -critical_path, ready_t, task_id


def closing_cycle(
    task_id: str, depends_on: Iterable[str], edges: Callable[[list[str]], Mapping[str, list[str]]]
) -> None:
    """Pass when the task can depend on these without waiting for itself.

    `edges` gives the dependencies of some tasks; it is asked once per layer.

    Raises:
        DependencyCycle: with the circle, from the task back to itself.
    """
    came_from: dict[str, str] = {}
    layer = list(dict.fromkeys(depends_on))
    for one in layer:
        came_from.setdefault(one, task_id)
    while layer:
        if task_id in came_from:
            raise DependencyCycle(_path_back(task_id, came_from))
        following: list[str] = []
        for one, others in edges(layer).items():
            for other in others:
                if other not in came_from:
                    came_from[other] = one
                    following.append(other)
        layer = following


def _path_back(task_id: str, came_from: Mapping[str, str]) -> list[str]:
    path = [task_id]
    while True:
        path.append(came_from[path[-1]])
        if path[-1] == task_id:
            return path[::-1]


def plain(value: Any) -> Any:
    """A field's value as JSON, for a diff."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
