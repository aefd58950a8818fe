"""Events: one line each of a workspace's append-only log."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from kyros_collab_server.kernel.ids import Text, at_most_bytes, clean_text

MAX_EVENT_BYTES = 65_536
MAX_DETAILS_BYTES = 16_384
MAX_LOG_BYTES = 49_152
"""An entry of the human log, in bytes: it is one event and must fit into its line."""
GENESIS = "0" * 64
"""`prev_hash` of the first event of a workspace."""
CHECKPOINT_EVENTS = 1_000
"""A checkpoint is made at least once in so many events."""
CHECKPOINT_MS = 60_000
"""An event stands this long, in milliseconds, before a checkpoint covers it."""


class EventName(StrEnum):
    """Names that only the server writes."""

    TASK_CREATED = "task_created"
    """A task stands on the board. `task` holds all its fields."""
    TASK_UPDATED = "task_updated"
    """Fields of a task changed."""
    TASK_TRANSITIONED = "task_transitioned"
    """A task moved. `released` lists leases that ended with it; `reason`, `undo_of` when said."""
    TASK_CLAIMED = "task_claimed"
    """An agent has the task, under `lock_id` and `fencing_token`."""
    TASK_READY = "task_ready"
    """The last open dependency of a task is done: `closed`."""
    TASK_REQUEUED = "task_requeued"
    """The task's lease ended without a move, so it waits again."""
    TASK_NEEDS_ATTENTION = "task_needs_attention"
    """A person should look: lost `attempts` times, or `reopened` beneath begun work."""
    LEASE_ACQUIRED = "lease_acquired"
    """A holder has a resource. Its seq is the `fencing_token`; `upgraded` from shared."""
    LEASE_RELEASED = "lease_released"
    """A lease was given back, or ended by an operator: `by`."""
    LEASE_RECLAIMED = "lease_reclaimed"
    """A stale lease was taken back by whoever met it, with its last `heartbeat_at`."""
    LEASE_QUIET = "lease_quiet"
    """A lease is renewed, and its holder has done nothing else for long."""
    WRITE_FENCED = "write_fenced"
    """A write without the live token was refused: `writer`, `offered`, `current`."""
    LATE_RESULT = "late_result"
    """Output of whoever had lost the task, kept beside it; the one name here that agents write."""
    AGENT_REGISTERED = "agent_registered"
    """An agent is known. `agent` holds its fields."""
    AGENT_STATUS_CHANGED = "agent_status_changed"
    """An agent's status, role, skills or switch changed."""
    MESSAGE_SENT = "message_sent"
    """A message lies in inboxes: `to`, `text`."""
    LOG_APPENDED = "log_appended"
    """Somebody wrote `text` into the human log."""
    CLOCK_STEPPED = "clock_stepped"
    """The wall clock was set; decisions go by the steady one."""
    KEY_CREATED = "key_created"
    """A key exists: `name`, `scopes`, `workspaces`; never the key itself."""
    KEY_REVOKED = "key_revoked"
    """A key opens nothing any more."""
    WORKSPACE_CREATED = "workspace_created"
    """A board was opened, with its `settings`."""
    WORKSPACE_UPDATED = "workspace_updated"
    """The settings of a board changed."""


RESERVED_PREFIXES = ("job_", "variant_", "schedule_", "executor_")
"""Families whose every name is the server's."""

CLIENT_EVENTS = ("note", "progress", "decision", "blocked", "question")
"""Plain names that agents and people may append; any other name of theirs is dotted."""

ClientEventName = Annotated[
    str,
    Field(
        max_length=64,
        pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$",
        description="note, progress, decision, blocked, question, or a dotted name.",
    ),
]
TargetName = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^[a-z]+:[^\s\x00-\x1f]+$",
        description="What it is about: task:<id>, lease:<lock_id>, agent:<name>, …",
    ),
    AfterValidator(clean_text),
]
Seq = Annotated[int, Field(ge=0, le=9_007_199_254_740_991, description="Position in the log.")]
EventTypes = Annotated[
    list[Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_.*]+$")]],
    Field(max_length=64, description="Event names; a trailing * matches a family."),
]
Recipients = Annotated[
    list[Annotated[str, Field(max_length=80, pattern=r"^[A-Za-z0-9:._-]+$")]],
    Field(min_length=1, max_length=64, description="Agent names, role:<role>, or all."),
]


Unsaid = Annotated[str | None, Field(exclude_if=lambda value: value is None)]
"""Left out when there is nothing to say: an event is shown with the very keys its hash covers."""


class Event(BaseModel):
    """One line of the log, as everybody sees it."""

    model_config = ConfigDict(frozen=True)

    seq: int
    ts: str
    event: str
    actor: str
    target: str | None = None
    details: dict[str, Any]
    workspace: str
    on_behalf_of: Unsaid = None
    request_id: str
    trace_id: Unsaid = None
    prev_hash: str
    hash: str


class AppendEvent(BaseModel):
    """Append an event of one's own to the log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: ClientEventName
    text: Annotated[Text, Field(max_length=16_384)] | None = None
    target: TargetName | None = None
    to: Recipients | None = None
    details: dict[str, Any] | None = None


class Appended(BaseModel):
    """Where an event went into the log."""

    model_config = ConfigDict(frozen=True)

    ok: bool = True
    seq: int


class EventFilter(BaseModel):
    """Which events a reader wants; an absent field matches all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: EventTypes | None = None
    actor: Annotated[Text, Field(max_length=160)] | None = None
    target: Annotated[Text, Field(max_length=256)] | None = None

    def admits(self, event: str, actor: str, target: str | None) -> bool:
        """True when an event with these columns passes."""
        if self.actor is not None and self.actor != actor:
            return False
        if self.target is not None and self.target != target:
            return False
        return self.types is None or any(_named(event, name) for name in self.types)


def _named(event: str, name: str) -> bool:
    return event.startswith(name[:-1]) if name.endswith("*") else event == name


class ReadEvents(EventFilter):
    """Read events in order of seq: after a cursor, or the newest before one."""

    after: Seq | None = None
    before: Seq | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    wait_seconds: Annotated[float, Field(ge=0, le=60)] = 0


class EventBatch(BaseModel):
    """Matching events and the cursor that also covers what the filter skipped."""

    model_config = ConfigDict(frozen=True)

    items: list[Event]
    cursor: int
    head: int


class ReadAt(BaseModel):
    """Ask for a state as it was: at a seq, or at an RFC 3339 instant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Annotated[str, Field(min_length=1, max_length=40)]


Moment = Annotated[
    str, Field(min_length=1, max_length=40, description="A seq, or an RFC 3339 instant.")
]


class AppendLog(BaseModel):
    """Append a Markdown text to the human log."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[Text, at_most_bytes(MAX_LOG_BYTES), Field(min_length=1, pattern=r"\S")]


class ReadHumanLog(BaseModel):
    """Ask for the human log, as it is or as it was at a moment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Moment | None = None


class HumanLog(BaseModel):
    """The human log as Markdown."""

    model_config = ConfigDict(frozen=True)

    text: str
    etag: str


class Summarise(EventFilter):
    """Ask for a summary: of a range from one moment through another, or of a selection of seqs."""

    begin: Moment | None = None
    end: Moment | None = None
    seqs: Annotated[list[Seq], Field(min_length=1, max_length=500)] | None = None
    append: bool = False
    """Also append it to the human log."""


class Summary(BaseModel):
    """Markdown that tells what happened, with the seqs that it cites.

    `is_whole` is false when the range held more events than a summary tells: then it is of the
    newest. `appended_seq` is the entry of the human log that it became.
    """

    model_config = ConfigDict(frozen=True)

    markdown: str
    first_seq: int
    last_seq: int
    events: int
    is_whole: bool
    cited: list[int]
    appended_seq: int | None = None


class ReadStats(BaseModel):
    """Ask how many events a range has: when, of which names, by whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    begin: Moment | None = None
    end: Moment | None = None
    buckets: Annotated[int, Field(ge=1, le=200)] = 60


class Bucket(BaseModel):
    """Events from an instant on, until the next bucket begins."""

    model_config = ConfigDict(frozen=True)

    ts: str
    count: int


class Facet(BaseModel):
    """A value of one column, and how many events have it."""

    model_config = ConfigDict(frozen=True)

    value: str
    count: int


class LogStats(BaseModel):
    """The events of a range: a histogram over time, and the commonest names and actors.

    `facets_of` says of how many events names and actors were counted: the newest of the range.
    """

    model_config = ConfigDict(frozen=True)

    begins_at: str
    ends_at: str
    total: int
    buckets: list[Bucket]
    facets_of: int
    events: list[Facet]
    actors: list[Facet]


class FindSeq(BaseModel):
    """Ask for the last seq before an instant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ts: Annotated[str, Field(max_length=40)]


class Head(BaseModel):
    """The newest seq of a workspace, its hash, and the store's epoch."""

    model_config = ConfigDict(frozen=True)

    seq: int
    hash: str
    epoch: str
    server_time: str


class ReadHead(BaseModel):
    """Ask for the head of the log."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Checkpoint(BaseModel):
    """A signed statement: at this seq the log of this workspace had this hash.

    `signature` is Ed25519 over the RFC 8785 text of all other members, in base64url.
    """

    model_config = ConfigDict(frozen=True)

    workspace: str
    seq: int
    hash: str
    ts: str
    key_id: str
    signature: str


class CheckpointKey(BaseModel):
    """A public key that checkpoints are signed by, as a JSON Web Key (RFC 8037).

    `kid` is its thumbprint (RFC 7638), so a key cannot take another's name.
    """

    model_config = ConfigDict(frozen=True)

    kid: str
    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    alg: Literal["EdDSA"] = "EdDSA"
    x: str


class ReadCheckpoints(BaseModel):
    """Ask for the checkpoints after a seq, in order of seq."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: Seq = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class Checkpoints(BaseModel):
    """Checkpoints in order of seq, and every public key that one was ever signed by.

    `next_cursor` is the `after` of the next page; null when there is none.
    """

    model_config = ConfigDict(frozen=True)

    data: list[Checkpoint]
    keys: list[CheckpointKey]
    next_cursor: str | None = None
