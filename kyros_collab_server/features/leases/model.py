"""Leases: bounded, fenced claims on resources."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kyros_collab_server.features.events.model import Moment

MIN_TTL_SECONDS = 5
MAX_TTL_SECONDS = 3_600
DEFAULT_TTL_SECONDS = 300
MAX_LEASES_PER_HOLDER = 512
MAX_RESOURCE_BYTES = 512
WAITER_ALIVE_MS = 30_000
"""A waiter that was not heard of for this long has left the queue."""
RECLAIM_BATCH = 1_000
"""Stale leases that the duty reclaims in one transaction."""

TtlSeconds = Annotated[
    int,
    Field(
        ge=MIN_TTL_SECONDS,
        le=MAX_TTL_SECONDS,
        strict=True,
        description="Seconds the lease lives without a heartbeat.",
    ),
]
Resource = Annotated[
    str,
    Field(min_length=1, max_length=512, description="path:<glob>, or any other name."),
]
LockId = Annotated[str, Field(pattern=r"^lk_[0-9a-f]{16}$", description="Lease id.")]
FencingToken = Annotated[
    int,
    Field(ge=0, le=9_007_199_254_740_991, strict=True, description="Token of the live lease."),
]
WaitSeconds = Annotated[
    float, Field(ge=0, le=60, description="Seconds to wait for it; 0 answers at once.")
]


class LeaseMode(StrEnum):
    """How a resource is held."""

    EXCLUSIVE = "exclusive"
    """By one holder alone."""
    SHARED = "shared"
    """Together with others that share."""


class LeaseState(StrEnum):
    """Where a lease stands at the moment of the answer."""

    ACTIVE = "active"
    """Live: within its TTL since the last heartbeat."""
    STALE = "stale"
    """Past its TTL: over for its holder, reclaimed by whoever meets it first."""
    RELEASED = "released"
    """Given back by its holder or ended by an operator."""
    RECLAIMED = "reclaimed"
    """Taken back after it went stale."""


class Lease(BaseModel):
    """A lease as everybody in the workspace sees it."""

    model_config = ConfigDict(frozen=True)

    lock_id: str
    resource: str
    mode: LeaseMode
    holder: str
    task_id: str | None = None
    acquired_at: str
    ttl_seconds: int
    heartbeat_at: str
    fencing_token: int
    state: LeaseState
    quiet: bool = False
    expires_in_ms: int
    expires_at: str


class PastLease(BaseModel):
    """A lease as the log tells of it; heartbeats are not in the log."""

    model_config = ConfigDict(frozen=True)

    lock_id: str
    resource: str
    mode: LeaseMode
    holder: str
    task_id: str | None = None
    acquired_at: str
    ttl_seconds: int
    fencing_token: int


class PastLeases(BaseModel):
    """The leases that were held at a moment."""

    model_config = ConfigDict(frozen=True)

    data: list[PastLease]
    etag: str


class Hold(PastLease):
    """One holder's time with a resource, from its grant to its end."""

    acquired_seq: int
    ended: LeaseState | None = None
    ended_at: str | None = None
    ended_seq: int | None = None
    ended_by: str | None = None


class ReadHolds(BaseModel):
    """Ask who held what in a range of the log, the latest grant first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    begin: Moment | None = None
    end: Moment | None = None
    resource: Resource | None = None
    holder: Annotated[str, Field(max_length=160)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 200
    cursor: Annotated[str, Field(max_length=1_024)] | None = None


class Holds(BaseModel):
    """Who held what and when, the latest grant first, and where to go on."""

    model_config = ConfigDict(frozen=True)

    data: list[Hold]
    next_cursor: str | None = None


class Queued(BaseModel):
    """Somebody who waits for a resource, and for how long at most."""

    model_config = ConfigDict(frozen=True)

    holder: str
    resources: list[str]
    mode: LeaseMode
    place: int
    gives_up_in_ms: int


class LeaseWithQueue(Lease):
    """A lease, and who waits for its resource, first come first."""

    waiters: list[Queued]


class AcquireLease(BaseModel):
    """Acquire leases on resources, all or none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resources: Annotated[list[Resource], Field(min_length=1, max_length=64)]
    mode: LeaseMode = LeaseMode.EXCLUSIVE
    ttl_seconds: TtlSeconds = DEFAULT_TTL_SECONDS
    wait_seconds: WaitSeconds = 0


class RenewLeases(BaseModel):
    """Renew leases that one holds; absent ids mean all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lock_ids: Annotated[list[LockId], Field(min_length=1, max_length=512)] | None = None
    ttl_seconds: TtlSeconds | None = None


class RenewLease(BaseModel):
    """Renew one lease, refused when it is lost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lock_id: LockId
    ttl_seconds: TtlSeconds | None = None


class ReleaseLeases(BaseModel):
    """Give leases back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lock_ids: Annotated[list[LockId], Field(min_length=1, max_length=64)]


class ReclaimLeases(BaseModel):
    """Take back stale leases; absent ids mean all stale ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lock_ids: Annotated[list[LockId], Field(min_length=1, max_length=512)] | None = None


class ReadLease(BaseModel):
    """Ask for one lease."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lock_id: LockId


class ListLeases(BaseModel):
    """Ask for the leases that are held, stale ones included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resource: Resource | None = None
    holder: Annotated[str, Field(max_length=160)] | None = None
    stale: bool | None = None


class Leases(BaseModel):
    """Leases that were granted or renewed; or, while one waits, none and the place in the queue."""

    model_config = ConfigDict(frozen=True)

    leases: list[Lease]
    queue_position: int | None = None


class LostLease(BaseModel):
    """A lease that could not be renewed, and who holds its resource now."""

    model_config = ConfigDict(frozen=True)

    lock_id: str
    resource: str
    holder: str | None
    fencing_token: int | None
    reclaimed_at: str | None


class Renewed(BaseModel):
    """What was renewed and what was lost."""

    model_config = ConfigDict(frozen=True)

    leases: list[Lease]
    lost: list[LostLease]


class Released(BaseModel):
    """The leases that are over now."""

    model_config = ConfigDict(frozen=True)

    ok: bool = True
    released: list[str]


class KeptLease(BaseModel):
    """A lease that was not reclaimed, and why."""

    model_config = ConfigDict(frozen=True)

    lock_id: str
    reason: str
    expires_in_ms: int | None = None


class Reclaimed(BaseModel):
    """What was taken back and what was kept."""

    model_config = ConfigDict(frozen=True)

    reclaimed: list[Lease]
    kept: list[KeptLease]


class LeaseList(BaseModel):
    """The held leases of a workspace, and the tag of the whole kind."""

    model_config = ConfigDict(frozen=True)

    data: list[Lease]
    etag: str
