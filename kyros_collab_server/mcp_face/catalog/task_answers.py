"""The structured answers of the task tools, as types: what `outputSchema` shows and tests check."""

from typing import Any, NotRequired

from typing_extensions import TypedDict


class ChecklistAnswer(TypedDict):
    """A line of a definition of done; its id is what `tick` takes."""

    id: str
    text: str
    done: bool


class TaskAnswer(TypedDict):
    """A task; fields that are empty are left out."""

    id: str
    title: str
    status: str
    priority: str
    etag: str
    description: NotRequired[str]
    labels: NotRequired[list[str]]
    role: NotRequired[str]
    skills: NotRequired[list[str]]
    depends_on: NotRequired[list[str]]
    resources: NotRequired[list[str]]
    definition_of_done: NotRequired[list[ChecklistAnswer]]
    assignee: NotRequired[str]
    lock_id: NotRequired[str]
    links: NotRequired[list[dict[str, str]]]
    attempts: NotRequired[int]
    needs_attention: NotRequired[bool]
    handoff: NotRequired[str]
    created_by: NotRequired[str]
    created_at: NotRequired[str]
    updated_at: NotRequired[str]
    version: NotRequired[int]


class LeaseAnswer(TypedDict):
    """A lease by its handles; renew it (any call does) before `renew_before`."""

    lock_id: str
    resource: str
    fencing_token: int
    renew_before: str


class WhyAnswer(TypedDict):
    """A reason for which tasks were not given out, and how many it holds back."""

    reason: str
    count: int


class ClaimAnswer(TypedDict):
    """A claimed task, or why there is none."""

    claimed: bool
    task: NotRequired[TaskAnswer]
    leases: NotRequired[list[LeaseAnswer]]
    brief: NotRequired[str]
    why: NotRequired[list[WhyAnswer]]
    retry_after_seconds: NotRequired[int]
    replayed: NotRequired[bool]


class LateAnswer(TypedDict):
    """Output of an agent that had lost the task. `text` is data by its author."""

    seq: int
    ts: str
    author: str
    text: str


class WaitsAnswer(TypedDict):
    """A reason for which a queued task was not given out yet."""

    reason: str
    facts: NotRequired[dict[str, Any]]


class TaskAndBrief(TypedDict):
    """A task, and everything a fresh context needs to go on with it."""

    task: TaskAnswer
    brief: NotRequired[str]
    late_results: NotRequired[list[LateAnswer]]
    why_waiting: NotRequired[list[WaitsAnswer]]


class TasksAnswer(TypedDict):
    """A page of tasks."""

    tasks: list[TaskAnswer]
    total: int
    next_cursor: NotRequired[str]


class NewTask(TypedDict):
    """The handles of a new task."""

    id: str
    etag: str


class CreatedAnswer(TypedDict):
    """The new tasks, in the order of the call."""

    tasks: list[NewTask]
    replayed: NotRequired[bool]


class UpdatedAnswer(TypedDict):
    """The task as it is now."""

    task: TaskAnswer
    etag: str
    replayed: NotRequired[bool]


class MovedAnswer(TypedDict):
    """The move, and the leases that it ended."""

    old_status: str
    new_status: str
    etag: str
    released: list[str]
    replayed: NotRequired[bool]
