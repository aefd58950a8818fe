"""Leases over REST."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from http_api.endpoint import Endpoint
from http_api.reply import Answering
from http_api.request import Call
from kyros_collab_server.features.events.model import Moment
from kyros_collab_server.features.leases import service
from kyros_collab_server.features.leases.errors import Deadlock, LeaseHeld, LeaseLost, UseClaim
from kyros_collab_server.features.leases.model import (
    DEFAULT_TTL_SECONDS,
    AcquireLease,
    Lease,
    LeaseList,
    LeaseMode,
    Leases,
    LeaseWithQueue,
    ReadHolds,
    ReleaseLeases,
    Resource,
    TtlSeconds,
)
from kyros_collab_server.kernel.errors import NotFound


class AcquireBody(BaseModel):
    """Acquire a lease on one resource, or on several all or none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resource: Resource | None = None
    resources: Annotated[list[Resource], Field(min_length=1, max_length=64)] | None = None
    mode: LeaseMode = LeaseMode.EXCLUSIVE
    ttl_seconds: TtlSeconds = DEFAULT_TTL_SECONDS
    wait_seconds: Annotated[
        float, Field(ge=0, le=30, description="Seconds to wait for it; 0 answers at once.")
    ] = 0

    @model_validator(mode="after")
    def _names_resources_once(self) -> "AcquireBody":
        if (self.resource is None) == (self.resources is None):
            raise ValueError("name either resource or resources")
        return self


class Acquired(BaseModel):
    """The leases that were granted; with one resource its fields at top level, too."""

    model_config = ConfigDict(frozen=True)

    leases: list[Lease]


class AcquiredOne(Acquired, Lease):
    """The lease that was granted, and the same as a list of one."""


class NoFields(BaseModel):
    """An empty object."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HeldLeases(BaseModel):
    """The held leases, stale ones included, and the tag of the whole kind."""

    model_config = ConfigDict(frozen=True)

    data: list[Lease]
    next_cursor: str | None = None
    etag: str


class LeaseInView(LeaseWithQueue):
    """A lease with who waits for it, and its latest heartbeats that this server heard."""

    heartbeats: list[str]


class _Watched(Endpoint):
    """Heartbeats are not logged: those that this process heard are told."""

    async def answer_to(self, call: Call) -> Answering:
        lease: LeaseWithQueue = await self.perform(
            call, self.operation, await self.command_of(call)
        )
        beats = call.face.recent.beats_of(call.principal.workspace, lease.lock_id)
        return self.reply(LeaseInView(**dict(lease), heartbeats=beats), call)


class HoldsQuery(ReadHolds):
    """Which range of the log, whose holds, of what."""

    begin: Moment | None = Field(default=None, alias="from")
    end: Moment | None = Field(default=None, alias="to")


def _acquisition(body: AcquireBody, _: Any) -> AcquireLease:
    named = body.resources if body.resources is not None else [body.resource or ""]
    return AcquireLease(
        resources=named,
        mode=body.mode,
        ttl_seconds=body.ttl_seconds,
        wait_seconds=body.wait_seconds,
    )


def _acquired(granted: Leases) -> Acquired:
    if len(granted.leases) != 1:
        return Acquired(leases=granted.leases)
    lease = granted.leases[0]
    return AcquiredOne.model_construct(leases=granted.leases, **dict(lease))


def _held(leases: LeaseList) -> HeldLeases:
    return HeldLeases(data=leases.data, etag=leases.etag)


ENDPOINTS = [
    Endpoint(
        "POST",
        "/collab/leases/{lock_id}/heartbeat",
        service.renew_one,
        "Renew a lease.",
        errors=(NotFound, LeaseLost),
        things={"lock_id": "lease"},
    ),
    Endpoint(
        "POST",
        "/collab/leases/acquire",
        service.acquire,
        "Acquire leases on resources, all or none.",
        body=AcquireBody,
        command=_acquisition,
        answer=AcquiredOne | Acquired,
        shape=_acquired,
        errors=(LeaseHeld, Deadlock, UseClaim),
    ),
    Endpoint(
        "POST",
        "/collab/leases/heartbeat",
        service.renew,
        "Renew one's leases; the lost ones are listed.",
    ),
    Endpoint(
        "POST",
        "/collab/leases/reclaim",
        service.reclaim,
        "Take back stale leases; says which it kept and why.",
    ),
    Endpoint(
        "POST",
        "/collab/leases/{lock_id}/release",
        service.release,
        "Give a lease back.",
        body=NoFields,
        command=lambda body, elsewhere: ReleaseLeases(lock_ids=[elsewhere["lock_id"]]),
        errors=(NotFound, LeaseLost),
        things={"lock_id": "lease", "lock_ids.0": "lease"},
    ),
    Endpoint(
        "GET",
        "/collab/leases",
        service.list_leases,
        "List the held leases.",
        answer=HeldLeases,
        shape=_held,
        tagged=True,
    ),
    Endpoint(
        "GET",
        "/collab/leases/history",
        service.holds,
        "Read who held what and when, the latest grant first.",
        query=HoldsQuery,
        command=lambda query, _: ReadHolds.model_validate(dict(query)),
    ),
    _Watched(
        "GET",
        "/collab/leases/{lock_id}",
        service.read_queue,
        "Read a lease, its latest heartbeats, and who waits for its resource.",
        answer=LeaseInView,
        errors=(NotFound,),
        things={"lock_id": "lease"},
    ),
]
