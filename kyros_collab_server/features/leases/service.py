"""Leases: acquire, renew, release, reclaim, and the fence before every write."""

from kyros_collab_server.features.leases import holding, rules, upkeep, waiting
from kyros_collab_server.features.leases.errors import LeaseLost
from kyros_collab_server.features.leases.model import (
    AcquireLease,
    KeptLease,
    Lease,
    LeaseList,
    Leases,
    LeaseState,
    LeaseWithQueue,
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
from kyros_collab_server.features.leases.pasts import holds, leases_at
from kyros_collab_server.features.leases.ports import LeaseWork
from kyros_collab_server.features.leases.rules import LeaseRecord, Obstacle
from kyros_collab_server.kernel.errors import NotFound
from kyros_collab_server.kernel.operation import Waiting, operation
from kyros_collab_server.kernel.principal import Scope

__all__ = [
    "acquire",
    "holds",
    "leases_at",
    "list_leases",
    "read_lease",
    "read_queue",
    "reclaim",
    "release",
    "renew",
    "renew_one",
]


def _shown(work: LeaseWork, lease: LeaseRecord) -> Lease:
    return rules.published(lease, work.now, work.wall_ms)


def _last_try(command: AcquireLease) -> AcquireLease:
    return command.model_copy(update={"wait_seconds": 0})


def _take_back(work: LeaseWork, answer: Leases) -> None:
    for lease in holding.granted_just_now(work, answer.leases):
        holding.end(work, lease, LeaseState.RELEASED)


@operation(
    Scope.LEASES_WRITE,
    waiting=Waiting(
        pending=lambda answer: answer.queue_position is not None,
        at_deadline=_last_try,
        blocked=waiting.still_blocked,
        leave=waiting.leave,
        abandon=_take_back,
    ),
)
def acquire(work: LeaseWork, command: AcquireLease) -> Leases:
    """The caller holds a live lease on every resource of the set.

    What it held already in the same mode is renewed and keeps its id and token; a sole holder's
    shared lease becomes exclusive under a new token. With a wait, whoever came first is served
    first.

    Raises:
        LeaseHeld: another holder's live lease, or an earlier waiter, meets one of them.
        Deadlock: waiting would close a circle; carries it.
        UseClaim: a resource is a task.
    """
    granted = waiting.acquired(work, command)
    if isinstance(granted, int):
        return Leases(leases=[], queue_position=granted)
    return Leases(leases=[_shown(work, lease) for lease in granted])


def _mine(work: LeaseWork, lock_id: str) -> LeaseRecord:
    """The live lease that the caller holds, or may act on as an operator."""
    lease = work.leases.get(lock_id)
    if lease is None:
        raise NotFound("lease")
    if not rules.is_live(lease, work.now):
        raise LeaseLost(**holding.lost_lease(work, lease).model_dump())
    if lease.holder != work.actor and not work.principal.is_operator:
        obstacle = Obstacle(lease.resource, lease.resource, lease)
        raise rules.held_by_another(obstacle, work.now, work.wall_ms)
    return lease


@operation(Scope.LEASES_WRITE, renews_only=True)
def renew_one(work: LeaseWork, command: RenewLease) -> Lease:
    """The lease lives for its TTL from this instant.

    Raises:
        LeaseLost: stale, reclaimed or released; names the holder and token of now.
        LeaseHeld: it is another holder's.
        NotFound: no such lease.
    """
    lease = _mine(work, command.lock_id)
    return _shown(work, holding.beat(work, lease, command.ttl_seconds))


@operation(Scope.LEASES_WRITE, renews_only=True)
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
            lost.append(holding.lost_lease(work, lease))
            continue
        kept.append(
            _shown(work, holding.beat(work, _mine(work, lease.lock_id), command.ttl_seconds))
        )
    return Renewed(leases=kept, lost=lost)


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
        holding.end(work, _mine(work, lock_id), LeaseState.RELEASED)
    return Released(released=list(dict.fromkeys(command.lock_ids)))


@operation(Scope.LEASES_WRITE)
def reclaim(work: LeaseWork, command: ReclaimLeases) -> Reclaimed:
    """Stale leases are over and their tasks queued; live ones are kept, with the reason."""
    taken: list[str] = []
    kept: list[KeptLease] = []
    if command.lock_ids is None:
        taken = [lease.lock_id for lease in upkeep.reclaim_stale(work)]
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
        holding.end(work, lease, LeaseState.RECLAIMED)
        taken.append(lock_id)
    over = [work.leases.get(lock_id) for lock_id in taken]
    return Reclaimed(reclaimed=[_shown(work, lease) for lease in over if lease], kept=kept)


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
def read_queue(work: LeaseWork, command: ReadLease) -> LeaseWithQueue:
    """One lease as it stands at this instant, and while it is live who waits for its resource.

    Raises:
        NotFound: no such lease in this workspace.
    """
    lease = work.leases.get(command.lock_id)
    if lease is None:
        raise NotFound("lease")
    return LeaseWithQueue(**dict(_shown(work, lease)), waiters=waiting.queued_for(work, lease))


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
