"""Leases: acquire, renew, release, reclaim, and the fence before every write."""

from collections.abc import Sequence

from kyros_collab_server.features.agents import rules as agent_rules
from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import AgentStatus
from kyros_collab_server.features.agents.rules import AgentRecord
from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.features.leases import rules
from kyros_collab_server.features.leases.errors import LeaseHeld, LeaseLost
from kyros_collab_server.features.leases.model import (
    MAX_LEASES_PER_HOLDER,
    RECLAIM_BATCH,
    AcquireLease,
    KeptLease,
    Lease,
    LeaseList,
    LeaseMode,
    Leases,
    LeaseState,
    ListLeases,
    LostLease,
    ReadLease,
    Reclaimed,
    ReclaimLeases,
    Released,
    ReleaseLeases,
    Renewed,
    RenewLease,
    RenewLeases,
)
from kyros_collab_server.features.leases.ports import LeaseWork
from kyros_collab_server.features.leases.rules import LeaseRecord
from kyros_collab_server.kernel.errors import NotAvailable, NotFound, TooLarge
from kyros_collab_server.kernel.ids import new_lock_id
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope


def _shown(work: LeaseWork, lease: LeaseRecord) -> Lease:
    return rules.published(lease, work.now, work.wall_ms)


@operation(Scope.LEASES_WRITE)
def acquire(work: LeaseWork, command: AcquireLease) -> Leases:
    """The caller holds a live lease on every resource of the set.

    What it held already in the same mode is renewed and keeps its id and token.

    Raises:
        LeaseHeld: another holder's live lease meets one of them; nothing was granted.
        UseClaim: a resource is a task.
        NotAvailable: shared mode, or waiting for what is held, which come later.
    """
    if command.mode is LeaseMode.SHARED:
        raise NotAvailable("Shared leases", fix="Acquire with mode exclusive.")
    resources = rules.canonical_resources(command.resources)
    try:
        granted = grant_set(work, resources, command.ttl_seconds)
    except LeaseHeld as held:
        if command.wait_seconds > 0:
            raise NotAvailable(
                "Waiting in line for a held lease", fix="Repeat with wait_seconds=0."
            ) from held
        raise
    return Leases(leases=[_shown(work, lease) for lease in granted])


def conflict(work: LeaseWork, resources: Sequence[str]) -> LeaseHeld | None:
    """What stands in the way of the caller's lease on these canonical resources, or None."""
    for resource in resources:
        for lease, seen in _meeting(work, resource):
            if lease.holder != work.actor and rules.is_live(lease, work.now):
                return rules.held_by_another(resource, lease, seen, work.now, work.wall_ms)
    return None


def _meeting(work: LeaseWork, resource: str) -> list[tuple[LeaseRecord, str]]:
    if resource.startswith(rules.PATH):
        return rules.meeting(resource, work.leases.held_paths())
    return rules.meeting(resource, work.leases.held_on(resource))


def grant_set(
    work: LeaseWork, resources: Sequence[str], ttl_seconds: int, task_id: str | None = None
) -> list[LeaseRecord]:
    """Exclusive leases on these canonical resources are the caller's, all or none.

    Stale leases in the way are reclaimed first.

    Raises:
        LeaseHeld: another holder's live lease is in the way.
        TooLarge: the caller would hold more than 512.
    """
    if (refusal := conflict(work, resources)) is not None:
        raise refusal
    mine = len(work.leases.held_by(work.actor))
    if mine + len(resources) > MAX_LEASES_PER_HOLDER:
        raise TooLarge("leases of one holder", MAX_LEASES_PER_HOLDER, "leases")
    return [_grant(work, resource, ttl_seconds, task_id) for resource in resources]


def _grant(work: LeaseWork, resource: str, ttl_seconds: int, task_id: str | None) -> LeaseRecord:
    for lease, _ in _meeting(work, resource):
        if not rules.is_live(lease, work.now):
            end(work, lease, LeaseState.RECLAIMED)
        elif lease.resource == resource:
            return beat(work, lease, ttl_seconds)
    lease = LeaseRecord(
        lock_id=new_lock_id(),
        resource=resource,
        mode=LeaseMode.EXCLUSIVE,
        holder=work.actor,
        task_id=task_id,
        acquired_at=work.ts,
        ttl_ms=ttl_seconds * 1000,
        heartbeat_t=work.now,
        heartbeat_at=work.ts,
        fencing_token=work.events.next_seq,
    )
    work.events.append(
        EventName.LEASE_ACQUIRED,
        f"lease:{lease.lock_id}",
        {
            "lock_id": lease.lock_id,
            "resource": resource,
            "mode": lease.mode.value,
            "holder": lease.holder,
            "ttl_seconds": ttl_seconds,
            "fencing_token": lease.fencing_token,
            **({"task_id": task_id} if task_id else {}),
        },
    )
    work.leases.insert(lease)
    return lease


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


def _lost(work: LeaseWork, lease: LeaseRecord) -> LostLease:
    live = [
        other for other in work.leases.held_on(lease.resource) if rules.is_live(other, work.now)
    ]
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


def _mine(work: LeaseWork, lock_id: str) -> LeaseRecord:
    """The live lease that the caller holds, or may act on as an operator."""
    lease = work.leases.get(lock_id)
    if lease is None:
        raise NotFound("lease")
    if not rules.is_live(lease, work.now):
        raise LeaseLost(**_lost(work, lease).model_dump())
    if lease.holder != work.actor and not work.principal.is_operator:
        raise rules.held_by_another(lease.resource, lease, lease.resource, work.now, work.wall_ms)
    return lease


@operation(Scope.LEASES_WRITE)
def renew_one(work: LeaseWork, command: RenewLease) -> Lease:
    """The lease lives for its TTL from this instant.

    Raises:
        LeaseLost: stale, reclaimed or released; names the holder and token of now.
        LeaseHeld: it is another holder's.
        NotFound: no such lease.
    """
    lease = _mine(work, command.lock_id)
    return _shown(work, beat(work, lease, command.ttl_seconds))


@operation(Scope.LEASES_WRITE)
def renew(work: LeaseWork, command: RenewLeases) -> Renewed:
    """The caller's leases that are still live have a heartbeat; the others are listed as lost.

    Raises:
        NotFound: a named lease does not exist.
        LeaseHeld: a named lease is another holder's.
    """
    if command.lock_ids is None:
        leases = work.leases.held_by(work.actor)
    else:
        found = [work.leases.get(lock_id) for lock_id in dict.fromkeys(command.lock_ids)]
        leases = [lease for lease in found if lease is not None]
        if len(leases) != len(found):
            raise NotFound("lease")
    kept: list[Lease] = []
    lost: list[LostLease] = []
    for lease in leases:
        if not rules.is_live(lease, work.now):
            lost.append(_lost(work, lease))
            continue
        kept.append(_shown(work, beat(work, _mine(work, lease.lock_id), command.ttl_seconds)))
    return Renewed(leases=kept, lost=lost)


def renew_due(work: LeaseWork) -> None:
    """Every live lease of the caller that has used a third of its TTL has a heartbeat."""
    for lease in work.leases.held_by(work.actor):
        if rules.is_live(lease, work.now) and rules.renewal_is_due(lease, work.now):
            beat(work, lease)


@operation(Scope.LEASES_WRITE)
def release(work: LeaseWork, command: ReleaseLeases) -> Released:
    """The leases are over. Those that their holder released before count as released.

    Raises:
        LeaseLost: one went stale or was reclaimed.
        LeaseHeld: one is another holder's.
        NotFound: no such lease.
    """
    for lock_id in dict.fromkeys(command.lock_ids):
        lease = work.leases.get(lock_id)
        if (
            lease is not None
            and lease.ended is LeaseState.RELEASED
            and (lease.holder == work.actor or work.principal.is_operator)
        ):
            continue
        end(work, _mine(work, lock_id), LeaseState.RELEASED)
    return Released(released=list(dict.fromkeys(command.lock_ids)))


def _reclaim_stale(work: LeaseWork) -> list[LeaseRecord]:
    stale = work.leases.stale(work.now, RECLAIM_BATCH)
    for lease in stale:
        current = work.leases.get(lease.lock_id)
        if current is not None and current.ended is None:
            end(work, current, LeaseState.RECLAIMED)
    return stale


@operation(Scope.LEASES_WRITE)
def reclaim(work: LeaseWork, command: ReclaimLeases) -> Reclaimed:
    """Stale leases are over and their tasks queued; live ones are kept, with the reason."""
    taken: list[str] = []
    kept: list[KeptLease] = []
    if command.lock_ids is None:
        taken = [lease.lock_id for lease in _reclaim_stale(work)]
    for lock_id in dict.fromkeys(command.lock_ids or []):
        lease = work.leases.get(lock_id)
        state = rules.state_of(lease, work.now) if lease else None
        if lease is None or state is not LeaseState.STALE:
            left = _shown(work, lease).expires_in_ms if lease else None
            kept.append(
                KeptLease(
                    lock_id=lock_id,
                    reason=state.value if state else "not_found",
                    expires_in_ms=left if state is LeaseState.ACTIVE else None,
                )
            )
            continue
        end(work, lease, LeaseState.RECLAIMED)
        taken.append(lock_id)
    over = [work.leases.get(lock_id) for lock_id in taken]
    return Reclaimed(reclaimed=[_shown(work, lease) for lease in over if lease], kept=kept)


def fence(
    work: LeaseWork, resource: str, offered: int | None, operation: str
) -> LeaseRecord | None:
    """The caller may write: it holds the live lease with this token, or there is no lease at all.

    Returns the live lease, or None when the resource is free and no token was offered.

    Raises:
        WriteFenced: anything else; the door logs it.
    """
    live = next(
        (one for one in work.leases.held_on(resource) if rules.is_live(one, work.now)), None
    )
    if live is None and offered is None:
        return None
    if live is None or not rules.passes_fence(live, work.actor, offered):
        current = work.leases.highest_token(resource)
        raise rules.fenced_off(resource, work.actor, operation, offered, live, current)
    return live


def _status_changes(work: LeaseWork) -> list[tuple[AgentRecord, AgentStatus]]:
    by_holder: dict[str, list[LeaseRecord]] = {}
    for lease in work.leases.held():
        by_holder.setdefault(lease.holder, []).append(lease)
    changes = []
    for record in work.agents.all():
        held = by_holder.get(f"agent:{record.agent.name}", [])
        stalled = any(rules.is_stalled(lease, work.now) for lease in held)
        status = agent_rules.status_of(record, work.now, bool(held), stalled)
        if status is not record.agent.status:
            changes.append((record, status))
    return changes


def sweep_is_due(work: LeaseWork) -> bool:
    """True when a lease is stale, or an agent's status is not what it should be."""
    return bool(work.leases.stale(work.now, 1) or _status_changes(work))


def sweep(work: LeaseWork) -> bool:
    """The duty: stale leases are reclaimed, agents' statuses are right; True when more is left."""
    stale = _reclaim_stale(work)
    for record, status in _status_changes(work):
        agents.change(work, record, status=status)
    return len(stale) >= RECLAIM_BATCH


@operation(Scope.TASKS_READ, read=True)
def read_lease(work: LeaseWork, command: ReadLease) -> Lease:
    """One lease as it stands at this instant, ended ones included.

    Raises:
        NotFound: no such lease in this workspace.
    """
    lease = work.leases.get(command.lock_id)
    if lease is None:
        raise NotFound("lease")
    return _shown(work, lease)


@operation(Scope.TASKS_READ, read=True)
def list_leases(work: LeaseWork, command: ListLeases) -> LeaseList:
    """The held leases, stale ones included, by resource."""
    leases = [_shown(work, lease) for lease in work.leases.held()]
    if command.resource is not None:
        leases = [lease for lease in leases if lease.resource == command.resource]
    if command.holder is not None:
        leases = [lease for lease in leases if lease.holder == command.holder]
    if command.stale is not None:
        leases = [lease for lease in leases if (lease.state is LeaseState.STALE) is command.stale]
    return LeaseList(data=leases, etag=work.leases.kind_etag())
