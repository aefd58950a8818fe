"""Decisions about leases: live or stale, who may have what, which write is fenced off."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from kyros_collab_server.features.events.model import Event, EventName
from kyros_collab_server.features.leases import globs
from kyros_collab_server.features.leases.errors import LeaseHeld, UseClaim, WriteFenced
from kyros_collab_server.features.leases.model import (
    MAX_RESOURCE_BYTES,
    Lease,
    LeaseMode,
    LeaseState,
    PastLease,
)
from kyros_collab_server.kernel.errors import Invalid, TooLarge
from kyros_collab_server.kernel.ids import clean_line
from kyros_collab_server.kernel.time import rfc3339

PATH = "path:"
TASK = "task:"


@dataclass(frozen=True)
class LeaseRecord:
    """A stored lease. Times ending in `_t` are steady milliseconds, in `_at` RFC 3339 text.

    `is_quiet`: renewed for long without progress. `told`: false while its holder does not know yet
    that it was reclaimed.
    """

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
    acquired_t: int = 0
    is_quiet: bool = False
    told: bool = True
    ended: LeaseState | None = None
    ended_t: int | None = None
    ended_at: str | None = None


@dataclass(frozen=True)
class Waiter:
    """Somebody in the queue. `place` orders by arrival; times are steady milliseconds.

    A waiter for leases names resources and a mode; one for work (`is_claim`) its role and skills.
    """

    waiter_id: str
    place: int
    holder: str
    is_claim: bool
    resources: tuple[str, ...]
    mode: LeaseMode
    role: str | None
    skills: tuple[str, ...]
    deadline_t: int
    alive_t: int


@dataclass(frozen=True)
class Obstacle:
    """What stands between a request and its lease: a live lease, or an earlier waiter."""

    wanted: str
    witness: str
    by: "LeaseRecord | Waiter"


def still_waits(waiter: Waiter, now: int) -> bool:
    """True until its deadline, while it was heard of lately."""
    return now <= waiter.deadline_t and now <= waiter.alive_t


def clash(one: LeaseMode, other: LeaseMode) -> bool:
    """True unless both share."""
    return not (one is LeaseMode.SHARED and other is LeaseMode.SHARED)


def is_live(lease: LeaseRecord, now: int) -> bool:
    """True up to and at the very end of its TTL, while nobody ended it."""
    return lease.ended is None and now <= lease.heartbeat_t + lease.ttl_ms


def is_stalled(lease: LeaseRecord, now: int) -> bool:
    """True past two thirds of the TTL without a heartbeat."""
    return 3 * (now - lease.heartbeat_t) > 2 * lease.ttl_ms


def renewal_is_due(lease: LeaseRecord, now: int) -> bool:
    """True when a third of the TTL has passed since the last heartbeat."""
    return 3 * (now - lease.heartbeat_t) >= lease.ttl_ms


def quiet_for(lease: LeaseRecord, active_t: int, now: int) -> int:
    """Milliseconds since its holder last did more than to renew it, counted from its grant."""
    return now - max(active_t, lease.acquired_t)


def renewed(lease: LeaseRecord, now: int, ts: str, ttl_seconds: int | None) -> LeaseRecord:
    """The lease with a heartbeat at this instant, and another TTL when one is named."""
    ttl_ms = lease.ttl_ms if ttl_seconds is None else ttl_seconds * 1000
    return replace(lease, heartbeat_t=now, heartbeat_at=ts, ttl_ms=ttl_ms)


def ended(lease: LeaseRecord, how: LeaseState, now: int, ts: str) -> LeaseRecord:
    """The lease, over for its holder."""
    told = how is not LeaseState.RECLAIMED
    return replace(lease, ended=how, ended_t=now, ended_at=ts, told=told)


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
        quiet=lease.is_quiet,
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


def meeting(wanted: str, candidates: Iterable[LeaseRecord]) -> Iterator[tuple[LeaseRecord, str]]:
    """The leases whose resource meets the wanted one, each with a witness; decided as asked."""
    for lease in candidates:
        seen = witness(wanted, lease.resource)
        if seen is not None:
            yield lease, seen


def obstacles(
    holder: str,
    mode: LeaseMode,
    resources: Iterable[str],
    meeting_leases: Callable[[str], Iterable[tuple[LeaseRecord, str]]],
    ahead: Sequence[Waiter],
    now: int,
) -> Iterator[Obstacle]:
    """What stands in a request's way: live leases of others, then waiters that came earlier.

    A waiter is no obstacle to whoever holds the resource already: it waits for that holder.
    """
    for wanted in resources:
        mine = False
        for lease, seen in meeting_leases(wanted):
            if lease.holder == holder:
                mine = mine or (lease.resource == wanted and is_live(lease, now))
            elif is_live(lease, now) and clash(mode, lease.mode):
                yield Obstacle(wanted, seen, lease)
        for waiter in () if mine else ahead:
            if waiter.holder != holder and clash(mode, waiter.mode):
                for other in waiter.resources:
                    if (seen_there := witness(wanted, other)) is not None:
                        yield Obstacle(wanted, seen_there, waiter)
                        break


def held_by_another(
    obstacle: Obstacle, now: int, wall_ms: int, queue_position: int | None = None
) -> LeaseHeld:
    """The refusal that names the live lease, or the earlier waiter, in the way."""
    by, wanted = obstacle.by, obstacle.wanted
    seen = obstacle.witness.removeprefix(PATH) if obstacle.witness != wanted else None
    if isinstance(by, Waiter):
        left = max(0, min(by.deadline_t, by.alive_t) - now)
        return LeaseHeld(
            resource=wanted,
            held_resource=wanted,
            holder=by.holder,
            expires_in_ms=left,
            expires_at=rfc3339(wall_ms + left),
            witness=seen,
            queue_position=queue_position,
        )
    shown = published(by, now, wall_ms)
    return LeaseHeld(
        resource=wanted,
        held_resource=by.resource,
        lock_id=by.lock_id,
        holder=by.holder,
        fencing_token=by.fencing_token,
        expires_in_ms=shown.expires_in_ms,
        expires_at=shown.expires_at,
        witness=seen,
        queue_position=queue_position,
    )


def closed_circle(start: str, waits_for: Mapping[str, set[str]]) -> list[dict[str, str]] | None:
    """The circle of holders through `start` in the wait-for graph, or None when there is none."""
    came_from: dict[str, str] = {}
    layer = [start]
    while layer:
        following: list[str] = []
        for one in layer:
            for other in sorted(waits_for.get(one, ())):
                if other == start:
                    return _circle(start, one, came_from)
                if other not in came_from:
                    came_from[other] = one
                    following.append(other)
        layer = following
    return None


def _circle(start: str, last: str, came_from: Mapping[str, str]) -> list[dict[str, str]]:
    back = [last]
    while back[-1] != start:
        back.append(came_from[back[-1]])
    holders = [*reversed(back), start]
    return [{"holder": one, "waits_for": other} for one, other in pairwise(holders)]


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


def folded(events: Iterable[Event]) -> list[PastLease]:
    """The leases that were held after these events, by resource and token."""
    held: dict[str, PastLease] = {}
    for event in events:
        lock_id = event.details["lock_id"]
        if event.event == EventName.LEASE_ACQUIRED:
            told = {name: event.details.get(name) for name in PastLease.model_fields}
            since = held[lock_id].acquired_at if lock_id in held else event.ts
            held[lock_id] = PastLease.model_validate({**told, "acquired_at": since})
        else:
            held.pop(lock_id, None)
    return sorted(held.values(), key=lambda lease: (lease.resource, lease.fencing_token))
