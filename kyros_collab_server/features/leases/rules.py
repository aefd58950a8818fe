"""Decisions about leases: live or stale, who may have what, which write is fenced off."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from kyros_collab_server.features.leases import globs
from kyros_collab_server.features.leases.errors import LeaseHeld, UseClaim, WriteFenced
from kyros_collab_server.features.leases.model import (
    MAX_RESOURCE_BYTES,
    Lease,
    LeaseMode,
    LeaseState,
)
from kyros_collab_server.kernel.errors import Invalid, TooLarge
from kyros_collab_server.kernel.ids import clean_line
from kyros_collab_server.kernel.time import rfc3339

PATH = "path:"
TASK = "task:"


@dataclass(frozen=True)
class LeaseRecord:
    """A stored lease. Times ending in `_t` are steady milliseconds, in `_at` RFC 3339 text."""

    lock_id: str
    resource: str
    mode: LeaseMode
    holder: str
    task_id: str | None
    acquired_at: str
    ttl_ms: int
    heartbeat_t: int
    heartbeat_at: str
    fencing_token: int
    ended: LeaseState | None = None
    ended_t: int | None = None
    ended_at: str | None = None


def is_live(lease: LeaseRecord, now: int) -> bool:
    """True up to and at the very end of its TTL, while nobody ended it."""
    return lease.ended is None and now <= lease.heartbeat_t + lease.ttl_ms


def is_stalled(lease: LeaseRecord, now: int) -> bool:
    """True past two thirds of the TTL without a heartbeat."""
    return 3 * (now - lease.heartbeat_t) > 2 * lease.ttl_ms


def renewal_is_due(lease: LeaseRecord, now: int) -> bool:
    """True when a third of the TTL has passed since the last heartbeat."""
    return 3 * (now - lease.heartbeat_t) >= lease.ttl_ms


def renewed(lease: LeaseRecord, now: int, ts: str, ttl_seconds: int | None) -> LeaseRecord:
    """The lease with a heartbeat at this instant, and another TTL when one is named."""
    ttl_ms = lease.ttl_ms if ttl_seconds is None else ttl_seconds * 1000
    return replace(lease, heartbeat_t=now, heartbeat_at=ts, ttl_ms=ttl_ms)


def ended(lease: LeaseRecord, how: LeaseState, now: int, ts: str) -> LeaseRecord:
    """The lease, over for its holder."""
    return replace(lease, ended=how, ended_t=now, ended_at=ts)


def state_of(lease: LeaseRecord, now: int) -> LeaseState:
    """Where the lease stands at this instant."""
    if lease.ended is not None:
        return lease.ended
    return LeaseState.ACTIVE if is_live(lease, now) else LeaseState.STALE


def published(lease: LeaseRecord, now: int, wall_ms: int) -> Lease:
    """The lease as everybody sees it at this instant."""
    left = lease.heartbeat_t + lease.ttl_ms - now if lease.ended is None else 0
    return Lease(
        lock_id=lease.lock_id,
        resource=lease.resource,
        mode=lease.mode,
        holder=lease.holder,
        task_id=lease.task_id,
        acquired_at=lease.acquired_at,
        ttl_seconds=lease.ttl_ms // 1000,
        heartbeat_at=lease.heartbeat_at,
        fencing_token=lease.fencing_token,
        state=state_of(lease, now),
        expires_in_ms=max(0, left),
        expires_at=rfc3339(wall_ms + left),
    )


def canonical_resource(resource: str) -> str:
    """The one spelling of a resource: NFC, and for paths the normalised glob.

    Raises:
        Invalid: not visible on one line, or not a legal glob; names the rule.
        TooLarge: more than 512 bytes.
        UseClaim: `task:<id>` is granted by claiming only.
    """
    try:
        text = clean_line(unicodedata.normalize("NFC", resource))
    except ValueError as error:
        raise Invalid("resources", str(error)) from None
    if len(text.encode()) > MAX_RESOURCE_BYTES:
        raise TooLarge("resources", MAX_RESOURCE_BYTES, "bytes")
    if text.startswith(TASK):
        raise UseClaim(text.removeprefix(TASK))
    if text.startswith(PATH):
        try:
            return PATH + globs.parse(text.removeprefix(PATH)).pattern
        except globs.BadGlob as error:
            raise Invalid(
                "resources",
                error.rule,
                allowed="a relative glob over / such as src/**/*.py",
                fix="Write the path from the root of the repository, with / between its parts.",
            ) from None
    return text


def canonical_resources(resources: Iterable[str]) -> list[str]:
    """The resources of a set in canonical order, each once."""
    return sorted({canonical_resource(resource) for resource in resources})


def witness(wanted: str, held: str) -> str | None:
    """A name that both resources cover, or None when they do not meet.

    Two paths meet when some path matches both globs; other resources when they are equal.
    """
    if wanted == held:
        return wanted
    if wanted.startswith(PATH) and held.startswith(PATH):
        return globs.overlap(
            globs.parse(wanted.removeprefix(PATH)), globs.parse(held.removeprefix(PATH))
        )
    return None


def meeting(wanted: str, candidates: Iterable[LeaseRecord]) -> list[tuple[LeaseRecord, str]]:
    """The leases whose resource meets the wanted one, each with a witness."""
    found = ((lease, witness(wanted, lease.resource)) for lease in candidates)
    return [(lease, seen) for lease, seen in found if seen is not None]


def held_by_another(
    wanted: str, lease: LeaseRecord, seen: str, now: int, wall_ms: int
) -> LeaseHeld:
    """The refusal that names the live lease in the way."""
    shown = published(lease, now, wall_ms)
    return LeaseHeld(
        resource=wanted,
        held_resource=lease.resource,
        lock_id=lease.lock_id,
        holder=lease.holder,
        fencing_token=lease.fencing_token,
        expires_in_ms=shown.expires_in_ms,
        expires_at=shown.expires_at,
        witness=seen.removeprefix(PATH) if seen != wanted else None,
    )


def passes_fence(live: LeaseRecord, writer: str, offered: int | None) -> bool:
    """True for the live lease's holder with exactly the live token; there is no force."""
    return live.holder == writer and offered == live.fencing_token


def fenced_off(
    resource: str,
    writer: str,
    operation: str,
    offered: int | None,
    live: LeaseRecord | None,
    current: int | None,
) -> WriteFenced:
    """The refusal of a write, with the token that is current and who holds it."""
    return WriteFenced(
        resource=resource,
        writer=writer,
        operation=operation,
        offered=offered,
        current=live.fencing_token if live else current,
        holder=live.holder if live else None,
    )
