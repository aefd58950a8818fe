"""Holding: what other features do with leases inside their own transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from kyros_collab_server.features.events.errors import ReservedEvent
from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.features.leases import rules
from kyros_collab_server.features.leases.errors import LeaseHeld
from kyros_collab_server.features.leases.model import (
    MAX_LEASES_PER_HOLDER,
    Lease,
    LeaseMode,
    LeaseState,
    LostLease,
)
from kyros_collab_server.features.leases.ports import LeaseWork
from kyros_collab_server.features.leases.rules import LeaseRecord, Waiter
from kyros_collab_server.kernel.errors import TooLarge
from kyros_collab_server.kernel.ids import new_lock_id

NOTICES = 5
"""Lost leases that one answer tells of at most."""


def conflict(
    work: LeaseWork,
    resources: Sequence[str],
    mode: LeaseMode = LeaseMode.EXCLUSIVE,
    ahead: Sequence[Waiter] | None = None,
    holder: str | None = None,
) -> LeaseHeld | None:
    """What stands in the way of a lease on these canonical resources, or None.

    `ahead` are the waiters that go first; None: all that wait. `holder` is who would hold it;
    None: the caller.
    """
    first = _queue_of(work) if ahead is None else ahead
    who = work.actor if holder is None else holder
    for obstacle in rules.obstacles(
        who, mode, resources, lambda wanted: meeting(work, wanted), first, work.now
    ):
        return rules.held_by_another(obstacle, work.now, work.wall_ms)
    return None


def _queue_of(work: LeaseWork) -> list[Waiter]:
    return [
        waiter
        for waiter in work.waiters.all()
        if not waiter.is_claim and rules.still_waits(waiter, work.now)
    ]


def meeting(work: LeaseWork, resource: str) -> Iterator[tuple[LeaseRecord, str]]:
    """The held leases that meet a resource, stale ones included, each with a witness."""
    return rules.meeting(resource, _candidates(work, resource))


def _candidates(work: LeaseWork, resource: str) -> list[LeaseRecord]:
    is_path = resource.startswith(rules.PATH)
    return work.leases.held_paths() if is_path else work.leases.held_on(resource)


def grant_set(
    work: LeaseWork,
    resources: Sequence[str],
    ttl_seconds: int,
    task_id: str | None = None,
    mode: LeaseMode = LeaseMode.EXCLUSIVE,
    ahead: Sequence[Waiter] | None = None,
) -> list[LeaseRecord]:
    """Leases on these canonical resources are the caller's, all or none.

    Stale leases in the way are reclaimed first.

    Raises:
        LeaseHeld: another holder's live lease, or an earlier waiter, is in the way.
        TooLarge: the caller would hold more than 512.
    """
    if (refusal := conflict(work, resources, mode, ahead)) is not None:
        raise refusal
    _check_room(work, resources)
    return [_grant(work, resource, ttl_seconds, task_id, mode) for resource in resources]


def _check_room(work: LeaseWork, resources: Sequence[str]) -> None:
    if work.leases.count_held_by(work.actor) + len(resources) <= MAX_LEASES_PER_HOLDER:
        return
    mine = {
        lease.resource
        for lease in work.leases.held_by(work.actor)
        if rules.is_live(lease, work.now)
    }
    if len(mine.union(resources)) > MAX_LEASES_PER_HOLDER:
        raise TooLarge("leases of one holder", MAX_LEASES_PER_HOLDER, "leases")


def _grant(
    work: LeaseWork, resource: str, ttl_seconds: int, task_id: str | None, mode: LeaseMode
) -> LeaseRecord:
    mine: LeaseRecord | None = None
    for lease in _candidates(work, resource):
        if not rules.is_live(lease, work.now):
            if rules.witness(resource, lease.resource) is not None:
                end(work, lease, LeaseState.RECLAIMED)
        elif lease.resource == resource and lease.holder == work.actor:
            mine = lease
    if mine is not None:
        if mine.mode is LeaseMode.SHARED and mode is LeaseMode.EXCLUSIVE:
            return _upgraded(work, mine, ttl_seconds)
        return beat(work, mine, ttl_seconds)
    lease = LeaseRecord(
        lock_id=new_lock_id(),
        resource=resource,
        mode=mode,
        holder=work.actor,
        task_id=task_id,
        acquired_at=work.ts,
        ttl_ms=ttl_seconds * 1000,
        heartbeat_t=work.now,
        heartbeat_at=work.ts,
        fencing_token=work.events.next_seq,
        acquired_t=work.now,
    )
    _tell_of_grant(work, lease)
    work.leases.insert(lease)
    return lease


def _upgraded(work: LeaseWork, lease: LeaseRecord, ttl_seconds: int) -> LeaseRecord:
    """The sole holder's shared lease is exclusive, under a new token."""
    lease = replace(
        rules.renewed(lease, work.now, work.ts, ttl_seconds),
        mode=LeaseMode.EXCLUSIVE,
        fencing_token=work.events.next_seq,
    )
    _tell_of_grant(work, lease, upgraded=True)
    work.leases.save(lease)
    return lease


def _tell_of_grant(work: LeaseWork, lease: LeaseRecord, **more: bool) -> None:
    details: dict[str, object] = {
        "lock_id": lease.lock_id,
        "resource": lease.resource,
        "mode": lease.mode.value,
        "holder": lease.holder,
        "ttl_seconds": lease.ttl_ms // 1000,
        "fencing_token": lease.fencing_token,
        **more,
    }
    if lease.task_id is not None:
        details["task_id"] = lease.task_id
    work.events.append(EventName.LEASE_ACQUIRED, f"lease:{lease.lock_id}", details)


def beat(work: LeaseWork, lease: LeaseRecord, ttl_seconds: int | None = None) -> LeaseRecord:
    """The live lease has a heartbeat at this instant."""
    lease = rules.renewed(lease, work.now, work.ts, ttl_seconds)
    work.leases.save(lease)
    work.beat(lease.lock_id, lease.holder, lease.heartbeat_at)
    return lease


def end(work: LeaseWork, lease: LeaseRecord, how: LeaseState, *, tell: bool = True) -> None:
    """The lease is over, the log says so, and with `tell` its task goes back to the queue."""
    over = rules.ended(lease, how, work.now, work.ts)
    work.leases.save(over)
    details: dict[str, object] = {
        "lock_id": lease.lock_id,
        "resource": lease.resource,
        "holder": lease.holder,
        "by": work.actor,
    }
    if how is LeaseState.RECLAIMED:
        details |= {
            "heartbeat_at": lease.heartbeat_at,
            "ttl_seconds": lease.ttl_ms // 1000,
            "fencing_token": lease.fencing_token,
        }
    name = EventName.LEASE_RECLAIMED
    if how is LeaseState.RELEASED:
        name = EventName.LEASE_RELEASED
    work.events.append(name, f"lease:{lease.lock_id}", details)
    if tell:
        for told in work.lease_ended:
            told(work, over)


def renew_due(work: LeaseWork) -> None:
    """Every live lease of the caller that has used a third of its TTL has a heartbeat."""
    for lease in work.leases.held_by(work.actor):
        if rules.is_live(lease, work.now) and rules.renewal_is_due(lease, work.now):
            beat(work, lease)


def end_all(work: LeaseWork) -> None:
    """Nothing that was held under the caller's name is held any more."""
    for lease in work.leases.held_by(work.actor):
        current = work.leases.get(lease.lock_id)
        if current is not None and current.ended is None:
            end(work, current, LeaseState.RECLAIMED)


def granted_just_now(work: LeaseWork, shown: Sequence[Lease]) -> list[LeaseRecord]:
    """Of these answered leases, those that are live and that nothing has renewed since the grant.

    A lease that was held before, or that a repeated call has found meanwhile, is not among them.
    """
    found = [work.leases.get(one.lock_id) for one in shown if one.acquired_at == one.heartbeat_at]
    return [
        lease
        for lease in found
        if lease is not None
        and rules.is_live(lease, work.now)
        and lease.heartbeat_t == lease.acquired_t
    ]


def fence(
    work: LeaseWork, resource: str, offered: int | None, operation: str
) -> LeaseRecord | None:
    """The caller may write: it holds the live lease with this token, or there is no lease at all.

    A holder whose lease went stale may not, even if nobody has reclaimed it yet.

    Returns the live lease, or None when the resource is free and no token was offered.

    Raises:
        WriteFenced: anything else; the door logs it.
    """
    held = work.leases.held_on(resource)
    live = next((one for one in held if rules.is_live(one, work.now)), None)
    outlived = any(one.holder == work.actor for one in held) and live is None
    if live is None and offered is None and not outlived:
        return None
    if live is None or not rules.passes_fence(live, work.actor, offered):
        current = work.leases.highest_token(resource)
        raise rules.fenced_off(resource, work.actor, operation, offered, live, current)
    return live


def check_late_result(work: LeaseWork, target: str | None) -> None:
    """Pass when the caller lost a lease on this task, so that its output may be kept beside it.

    Raises:
        ReservedEvent: it did not.
    """
    if (
        target is None
        or not target.startswith(rules.TASK)
        or not work.leases.was_reclaimed_from(target, work.actor)
    ):
        raise ReservedEvent


def lost_notices(work: LeaseWork, *, tell: bool) -> list[LostLease]:
    """Leases that the caller lost and does not know of; with `tell` it is told by this."""
    lost = work.leases.untold(work.actor, NOTICES)
    if tell:
        for lease in lost:
            work.leases.save(replace(lease, told=True))
    return [lost_lease(work, lease) for lease in lost]


def lost_lease(work: LeaseWork, lease: LeaseRecord) -> LostLease:
    """What became of a lease that is over: who holds its resource now, under which token."""
    live = [one for one in work.leases.held_on(lease.resource) if rules.is_live(one, work.now)]
    now_held = live[0] if live else None
    return LostLease(
        lock_id=lease.lock_id,
        resource=lease.resource,
        holder=now_held.holder if now_held else None,
        fencing_token=(
            now_held.fencing_token if now_held else work.leases.highest_token(lease.resource)
        ),
        reclaimed_at=lease.ended_at if lease.ended is LeaseState.RECLAIMED else None,
    )
