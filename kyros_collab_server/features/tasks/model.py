"""Tasks: cards on the board, and the moves between its columns."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kyros_collab_server.features.agents.model import RoleName, Skills
from kyros_collab_server.features.events.model import Seq
from kyros_collab_server.features.leases.model import (
    DEFAULT_TTL_SECONDS,
    FencingToken,
    Lease,
    Resource,
    TtlSeconds,
    WaitSeconds,
)
from kyros_collab_server.kernel.ids import Line, TaskId, Text, at_most_bytes

UNDO_WITHIN_MS = 60_000
RETURNED_TO_OTHERS_AFTER_MS = 600_000
"""A task sent back is its assignee's alone to claim next for this long."""
BRIEF_CHARACTERS = 6_000


class TaskStatus(StrEnum):
    """The columns of the board."""

    QUEUED = "queued"
    """Waits for its dependencies, then for an agent. Entered by creation, release, reclaim."""
    CLAIMED = "claimed"
    """Leased to an agent that has not started. Entered by claiming only."""
    IN_PROGRESS = "in_progress"
    """Being worked on under a lease, or sent back and waiting for its assignee."""
    REVIEW = "review"
    """Finished by its assignee, read by somebody else. Holds no lease."""
    APPROVED = "approved"
    """Passed the critical review."""
    MERGING = "merging"
    """On its way into the main line."""
    DONE = "done"
    """Its whole definition of done is ticked; dependants may start."""
    CANCELLED = "cancelled"
    """Given up. Never leaves."""


class Priority(StrEnum):
    """How urgent a task is; P0 goes first."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"

    @property
    def rank(self) -> int:
        """0 for P0 up to 3 for P3."""
        return int(self.value[1])


Title = Annotated[Line, Field(min_length=1, max_length=200)]
MAX_MARKDOWN_BYTES = 16_384
Markdown = Annotated[Text, Field(max_length=MAX_MARKDOWN_BYTES), at_most_bytes(MAX_MARKDOWN_BYTES)]
Label = Annotated[Line, Field(max_length=64)]
Labels = Annotated[list[Label], Field(max_length=64)]
DependsOn = Annotated[list[TaskId], Field(max_length=64)]
Resources = Annotated[list[Resource], Field(max_length=64)]
IfMatch = Annotated[str, Field(max_length=256, description="The etag that you read.")]


class ChecklistItem(BaseModel):
    """One line of a definition of done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    text: Annotated[Line, Field(max_length=500)]
    done: bool = False


class ChecklistDraft(BaseModel):
    """One line of a definition of done to be; the id is given when absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[Line, Field(max_length=500)]
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    done: bool = False


def _as_item(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


ChecklistLine = Annotated[ChecklistDraft, BeforeValidator(_as_item)]
"""A checklist line, or just its text."""
Checklist = Annotated[list[ChecklistLine], Field(max_length=50)]


class Link(BaseModel):
    """A pointer from a card to somewhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[Line, Field(max_length=2_048)]
    title: Annotated[Line, Field(max_length=200)] | None = None


def _as_link(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


Links = Annotated[list[Annotated[Link, BeforeValidator(_as_link)]], Field(max_length=64)]


class Task(BaseModel):
    """A card as everybody in the workspace sees it."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    description: str = ""
    status: TaskStatus = TaskStatus.QUEUED
    priority: Priority = Priority.P2
    labels: list[str] = []
    role: str | None = None
    skills: list[str] = []
    depends_on: list[str] = []
    resources: list[str] = []
    definition_of_done: list[ChecklistItem] = []
    assignee: str | None = None
    lock_id: str | None = None
    links: list[Link] = []
    attempts: int = 0
    needs_attention: bool = False
    handoff: str = ""
    created_by: str
    created_at: str
    updated_at: str
    version: int = 1
    etag: str = ""


class TaskDraft(BaseModel):
    """A task to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Title
    id: TaskId | None = None
    description: Markdown = ""
    priority: Priority = Priority.P2
    labels: Labels = []
    role: RoleName | None = None
    skills: Skills = []
    depends_on: DependsOn = []
    resources: Resources = []
    definition_of_done: Checklist = []
    links: Links = []


class CreateTasks(BaseModel):
    """Create tasks, all or none. They may depend on each other, in any order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: Annotated[list[TaskDraft], Field(min_length=1, max_length=50)]


class CreatedTasks(BaseModel):
    """The new tasks in the order of their drafts."""

    model_config = ConfigDict(frozen=True)

    tasks: list[Task]


class ReadTask(BaseModel):
    """Ask for one task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: TaskId


class ReadHeldTask(BaseModel):
    """Ask for a task with its brief; without an id, the one that the caller holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: TaskId | None = None


class LateResult(BaseModel):
    """Output of an agent that had lost the task: kept beside it, never part of it."""

    model_config = ConfigDict(frozen=True)

    seq: int
    ts: str
    author: str
    text: str


class WhyWaiting(BaseModel):
    """One reason for which a queued task was not given out yet, with its facts."""

    model_config = ConfigDict(frozen=True)

    reason: str
    facts: dict[str, Any]


class TaskWithBrief(BaseModel):
    """A task and everything a fresh context needs to continue it, as Markdown."""

    model_config = ConfigDict(frozen=True)

    task: Task
    brief: str
    late_results: list[LateResult] = []
    why_waiting: list[WhyWaiting] = []


class Reasons(BaseModel):
    """Why a task waits; empty when it does not stand in the queue."""

    model_config = ConfigDict(frozen=True)

    data: list[WhyWaiting]


class LateResults(BaseModel):
    """The late results of a task, oldest first."""

    model_config = ConfigDict(frozen=True)

    data: list[LateResult]


class ReadHistory(BaseModel):
    """Ask for the revisions of a task, newest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: TaskId
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(max_length=1_024)] | None = None


class Revision(BaseModel):
    """One change of a task: who, when, and each field before and after."""

    model_config = ConfigDict(frozen=True)

    seq: int
    ts: str
    event: str
    actor: str
    version: int
    etag: str
    changes: dict[str, dict[str, Any]]


class History(BaseModel):
    """Revisions of a task, newest first, and where to go on."""

    model_config = ConfigDict(frozen=True)

    data: list[Revision]
    next_cursor: str | None = None


class ListTasks(BaseModel):
    """Ask for tasks, in order of creation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Annotated[list[TaskStatus], Field(max_length=8)] | None = None
    mine: bool = False
    label: Label | None = None
    query: Annotated[Text, Field(max_length=200)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(max_length=1_024)] | None = None


class TaskPage(BaseModel):
    """Tasks that match, how many there are in all, and where to go on."""

    model_config = ConfigDict(frozen=True)

    tasks: list[Task]
    total: int
    next_cursor: str | None = None


class TaskPatch(BaseModel):
    """An RFC 7396 merge patch of a task's editable fields. Null empties a field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Title | None = None
    description: Markdown | None = None
    priority: Priority | None = None
    labels: Labels | None = None
    role: RoleName | None = None
    skills: Skills | None = None
    depends_on: DependsOn | None = None
    resources: Resources | None = None
    definition_of_done: Checklist | None = None
    links: Links | None = None
    handoff: Markdown | None = None
    needs_attention: Literal[False] | None = None


class UpdateTask(BaseModel):
    """Change a task's fields, tick lines of its definition of done, or both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: TaskId
    if_match: IfMatch | None = None
    patch: TaskPatch = TaskPatch()
    tick: Annotated[list[str], Field(max_length=50)] = []
    fencing_token: FencingToken | None = None


class TransitionTask(BaseModel):
    """Move a task to another column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: TaskId
    to: TaskStatus
    reason: Annotated[Text, Field(max_length=2_000)] | None = None
    handoff: Markdown | None = None
    fencing_token: FencingToken | None = None
    if_match: IfMatch | None = None
    undo_of: Seq | None = None


class Transitioned(BaseModel):
    """The move that was made; `seq` names it for an undo."""

    model_config = ConfigDict(frozen=True)

    old_status: TaskStatus
    new_status: TaskStatus
    etag: str
    released: list[str]
    seq: int
    task: Task


class ClaimTask(BaseModel):
    """Claim a task: the one named, or the next ready one that fits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: TaskId | None = None
    role: RoleName | None = None
    skills: Skills | None = None
    resources: Annotated[list[Resource], Field(max_length=64)] = []
    ttl_seconds: TtlSeconds = DEFAULT_TTL_SECONDS
    wait_seconds: WaitSeconds = 0


class WhyNot(BaseModel):
    """A reason for which tasks were not given out, and how many it holds back."""

    model_config = ConfigDict(frozen=True)

    reason: str
    count: int


class Claim(BaseModel):
    """A granted task with its leases and brief, or why there is none."""

    model_config = ConfigDict(frozen=True)

    claimed: bool
    task: Task | None = None
    leases: list[Lease] | None = None
    brief: str | None = None
    why: list[WhyNot] | None = None
    retry_after_seconds: int | None = None


class ShowBoard(BaseModel):
    """Ask for the whole board at a glance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if_none_match: Annotated[str, Field(max_length=256)] | None = None


class Card(BaseModel):
    """A task in a column."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    priority: Priority
    assignee: str | None = None
    blocked_by: int = 0


class Column(BaseModel):
    """A column: how many cards, and the first of them."""

    model_config = ConfigDict(frozen=True)

    status: TaskStatus
    count: int
    cards: list[Card]


class Attention(BaseModel):
    """Something that somebody should look at."""

    model_config = ConfigDict(frozen=True)

    kind: str
    target: str
    text: str


class Holding(BaseModel):
    """A lease of the caller's, by its handles."""

    model_config = ConfigDict(frozen=True)

    lock_id: str
    resource: str
    fencing_token: int
    expires_in_ms: int
    task_id: str | None = None


class BoardMe(BaseModel):
    """The caller on this board."""

    model_config = ConfigDict(frozen=True)

    actor: str
    workspace: str
    unread: int
    holding: list[Holding]


class Board(BaseModel):
    """The board at one moment. `unchanged` answers a matching `if_none_match`."""

    model_config = ConfigDict(frozen=True)

    etag: str
    unchanged: bool = False
    me: BoardMe | None = None
    columns: list[Column] | None = None
    attention: list[Attention] | None = None


class TaskList(BaseModel):
    """Every task of a workspace, and the tag of the whole kind."""

    model_config = ConfigDict(frozen=True)

    data: list[Task]
    etag: str


class ListAllTasks(BaseModel):
    """Ask for every task of the workspace."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Move(BaseModel):
    """One legal move of the table, and what guards it."""

    model_config = ConfigDict(frozen=True)

    from_status: TaskStatus
    to_status: TaskStatus
    guards: list[str]


class Workflow(BaseModel):
    """The transition table as data."""

    model_config = ConfigDict(frozen=True)

    statuses: list[TaskStatus]
    moves: list[Move]


class ReadWorkflow(BaseModel):
    """Ask for the transition table."""

    model_config = ConfigDict(frozen=True, extra="forbid")
