"""Tools of the leases feature: acquire and release; in `team` renew, list, reclaim."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import (
    AcquireLease,
    Lease,
    ListLeases,
    ReclaimLeases,
    ReleaseLeases,
    RenewLeases,
)
from kyros_collab_server.mcp_face.catalog.task_answers import LeaseAnswer
from kyros_collab_server.mcp_face.catalog.task_views import lease_answer, lease_words
from kyros_collab_server.mcp_face.toolbox import MAX_WAIT_SECONDS, Call, Reply, ToolSpec
from kyros_collab_server.mcp_face.wording import clock, fields, lean, listed


class AcquireCall(AcquireLease):
    """`AcquireLease` within the bounds of this face."""

    wait_seconds: Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS)] = 0


class LeasesAnswer(TypedDict):
    """Granted leases by their handles."""

    leases: list[LeaseAnswer]
    replayed: NotRequired[bool]


class ReleasedAnswer(TypedDict):
    """The leases that are over now."""

    released: list[str]
    replayed: NotRequired[bool]


class LostAnswer(TypedDict):
    """A lease that is over, and who holds its resource now."""

    lock_id: str
    resource: str
    holder: NotRequired[str]
    fencing_token: NotRequired[int]
    reclaimed_at: NotRequired[str]


class RenewedAnswer(TypedDict):
    """What was renewed and what was lost."""

    leases: list[LeaseAnswer]
    lost: list[LostAnswer]
    replayed: NotRequired[bool]


class ShownLease(TypedDict):
    """A lease as everybody sees it."""

    lock_id: str
    resource: str
    mode: str
    holder: str
    task_id: NotRequired[str]
    state: str
    fencing_token: int
    ttl_seconds: int
    expires_in_ms: int
    expires_at: str


class LeaseListAnswer(TypedDict):
    """Who holds what."""

    leases: list[ShownLease]


class KeptAnswer(TypedDict):
    """A lease that was not reclaimed, and why."""

    lock_id: str
    reason: str
    expires_in_ms: NotRequired[int]


class ReclaimedAnswer(TypedDict):
    """What was taken back and what was kept."""

    reclaimed: list[ShownLease]
    kept: list[KeptAnswer]
    replayed: NotRequired[bool]


SHOWN = (
    "lock_id resource mode holder task_id state fencing_token ttl_seconds expires_in_ms expires_at"
).split()


def shown_words(lease: Lease) -> str:
    """`path:src/** lk_… #13 exclusive by agent:ana until 12:08:10Z`."""
    return (
        f"{lease_words(lease)} {lease.mode.value} {lease.state.value} by {lease.holder}"
        f" until {clock(lease.expires_at)}"
    )


def granted_words(lease: Lease) -> str:
    """`path:src/** lk_… #13 · renew before 12:08:10Z`."""
    return f"{lease_words(lease)} · renew before {clock(lease.expires_at)}"


async def acquire(call: Call, command: AcquireCall) -> Reply:
    """Every resource is leased to the caller."""
    granted = (await call.perform(leases.acquire, command)).leases
    lines = [f"leased {granted_words(lease)}" for lease in granted]
    return Reply("\n".join(lines), {"leases": [lease_answer(lease) for lease in granted]})


async def release(call: Call, command: ReleaseLeases) -> Reply:
    """The leases are over."""
    released = (await call.perform(leases.release, command)).released
    return Reply(f"released {' '.join(released) or 'nothing'}", {"released": list(released)})


async def renew(call: Call, command: RenewLeases) -> Reply:
    """The caller's leases live a full TTL longer; those that are lost are named."""
    renewed = await call.perform(leases.renew, command)
    lines = [f"renewed {granted_words(lease)}" for lease in renewed.leases]
    lines += [
        f"lease_lost {lost.resource} {lost.lock_id}: {lost.holder or 'nobody'} holds it now"
        for lost in renewed.lost
    ]
    structured = {
        "leases": [lease_answer(lease) for lease in renewed.leases],
        "lost": [lean(lost.model_dump(mode="json")) for lost in renewed.lost],
    }
    return Reply("\n".join(lines) or "you hold no lease", structured)


async def list_leases(call: Call, command: ListLeases) -> Reply:
    """The leases that are held, stale ones included."""
    held = (await call.perform(leases.list_leases, command)).data
    text = listed(
        [shown_words(lease) for lease in held], "nobody holds a lease", narrow="resource or holder"
    )
    return Reply(text, {"leases": [fields(lease, only=SHOWN) for lease in held]})


async def reclaim(call: Call, command: ReclaimLeases) -> Reply:
    """Stale leases are taken back, their tasks are queued again."""
    answer = await call.perform(leases.reclaim, command)
    lines = [f"reclaimed {lease_words(lease)} of {lease.holder}" for lease in answer.reclaimed]
    lines += [f"kept {kept.lock_id}: {kept.reason}" for kept in answer.kept]
    structured = {
        "reclaimed": [fields(lease, only=SHOWN) for lease in answer.reclaimed],
        "kept": [lean(kept.model_dump(mode="json")) for kept in answer.kept],
    }
    return Reply(listed(lines, "no lease is stale", narrow="lock_ids"), structured)


TOOLS = (
    ToolSpec(
        name="lease_acquire",
        description="Lease paths or names before you touch them, all or none. Asking again for "
        "what you hold renews it.",
        takes=AcquireCall,
        arguments=("resources", "mode", "ttl_seconds", "wait_seconds"),
        answer=LeasesAnswer,
        run=acquire,
        operations=(leases.acquire,),
        hints="I",
        notes={"wait_seconds": {"type": "number", "maximum": MAX_WAIT_SECONDS}},
    ),
    ToolSpec(
        name="lease_release",
        description="Give leases back as soon as you are done with what they cover.",
        takes=ReleaseLeases,
        arguments=("lock_ids",),
        answer=ReleasedAnswer,
        run=release,
        operations=(leases.release,),
        hints="I",
        notes={"lock_ids": {"type": "array", "items": {"type": "string"}}},
    ),
    ToolSpec(
        name="lease_renew",
        description="Renew your leases during long silent work; any other call renews them too.",
        takes=RenewLeases,
        arguments=("lock_ids", "ttl_seconds"),
        answer=RenewedAnswer,
        run=renew,
        operations=(leases.renew,),
        hints="I",
        toolset="team",
        notes={
            "lock_ids": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Absent: all yours.",
            }
        },
    ),
    ToolSpec(
        name="lease_list",
        description="Show who holds what, and which leases are stale.",
        takes=ListLeases,
        arguments=("resource", "holder", "stale"),
        answer=LeaseListAnswer,
        run=list_leases,
        operations=(leases.list_leases,),
        hints="RI",
        toolset="team",
    ),
    ToolSpec(
        name="lease_reclaim",
        description="Take back stale leases whose holders are gone; live ones are kept.",
        takes=ReclaimLeases,
        arguments=("lock_ids",),
        answer=ReclaimedAnswer,
        run=reclaim,
        operations=(leases.reclaim,),
        hints="DI",
        toolset="team",
        notes={
            "lock_ids": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Absent: all stale ones.",
            }
        },
    ),
)
