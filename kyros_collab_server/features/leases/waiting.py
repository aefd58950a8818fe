"""The queue: who waits for which lease, first in, first out, and never in a circle."""

from collections.abc import Sequence

from kyros_collab_server.features.leases import holding, rules
from kyros_collab_server.features.leases.errors import Deadlock
from kyros_collab_server.features.leases.model import (
    WAITER_ALIVE_MS,
    AcquireLease,
    LeaseMode,
    Queued,
)
from kyros_collab_server.features.leases.ports import LeaseWork
from kyros_collab_server.features.leases.rules import LeaseRecord, Obstacle, Waiter
from kyros_collab_server.kernel.ids import new_id


def acquired(work: LeaseWork, command: AcquireLease) -> list[LeaseRecord] | int:
    """The granted leases; or, with a wait, the caller's place in the queue, counted from 1.

    A request waits behind every earlier waiter that it conflicts with, and passes the others.

    Raises:
        LeaseHeld: it is held, or waited for by an earlier one, and the caller does not wait.
        Deadlock: waiting would close a circle.
    """
    resources = rules.canonical_resources(command.resources)
    queue = [waiter for waiter in work.waiters.all() if not waiter.is_claim]
    mine = _own(work, queue, resources, command.mode)
    ahead = _ahead(work, queue, mine)
    obstacles = list(
        rules.obstacles(
            work.actor,
            command.mode,
            resources,
            lambda wanted: holding.meeting(work, wanted),
            ahead,
            work.now,
        )
    )
    if not obstacles:
        if mine is not None:
            work.waiters.delete(mine.waiter_id)
        return holding.grant_set(
            work, resources, command.ttl_seconds, mode=command.mode, ahead=ahead
        )
    place = 1 + len({one.by.waiter_id for one in obstacles if isinstance(one.by, Waiter)})
    if command.wait_seconds <= 0:
        raise rules.held_by_another(obstacles[0], work.now, work.wall_ms, place)
    _refuse_circle(work, obstacles)
    _enqueue(work, mine, resources, command)
    return place


def still_blocked(work: LeaseWork, command: AcquireLease) -> bool:
    """True while another try would find something in the way."""
    resources = rules.canonical_resources(command.resources)
    queue = [waiter for waiter in work.waiters.all() if not waiter.is_claim]
    ahead = _ahead(work, queue, _own(work, queue, resources, command.mode))
    return holding.conflict(work, resources, command.mode, ahead) is not None


def queued_for(work: LeaseWork, lease: LeaseRecord) -> list[Queued]:
    """Who waits for this live lease, first come first."""
    if not rules.is_live(lease, work.now):
        return []
    wait = [
        waiter
        for waiter in work.waiters.all()
        if rules.still_waits(waiter, work.now)
        and waiter.holder != lease.holder
        and rules.clash(waiter.mode, lease.mode)
        and any(rules.witness(wanted, lease.resource) for wanted in waiter.resources)
    ]
    return [
        Queued(
            holder=waiter.holder,
            resources=list(waiter.resources),
            mode=waiter.mode,
            place=place,
            gives_up_in_ms=waiter.deadline_t - work.now,
        )
        for place, waiter in enumerate(wait, start=1)
    ]


def leave(work: LeaseWork, command: AcquireLease) -> None:
    """The caller waits no more."""
    resources = rules.canonical_resources(command.resources)
    mine = _own(work, work.waiters.all(), resources, command.mode)
    if mine is not None:
        work.waiters.delete(mine.waiter_id)


def _own(
    work: LeaseWork, queue: Sequence[Waiter], resources: Sequence[str], mode: LeaseMode
) -> Waiter | None:
    wanted = tuple(resources)
    return next(
        (
            waiter
            for waiter in queue
            if waiter.holder == work.actor
            and not waiter.is_claim
            and waiter.resources == wanted
            and waiter.mode is mode
            and rules.still_waits(waiter, work.now)
        ),
        None,
    )


def _ahead(work: LeaseWork, queue: Sequence[Waiter], mine: Waiter | None) -> list[Waiter]:
    return [
        waiter
        for waiter in queue
        if rules.still_waits(waiter, work.now)
        and waiter.holder != work.actor
        and (mine is None or waiter.place < mine.place)
    ]


def _enqueue(
    work: LeaseWork, mine: Waiter | None, resources: Sequence[str], command: AcquireLease
) -> None:
    alive_t = work.now + WAITER_ALIVE_MS
    if mine is not None:
        work.waiters.heard_of(mine.waiter_id, alive_t)
        return
    work.waiters.insert(
        Waiter(
            waiter_id=new_id("wt"),
            place=work.waiters.next_place(),
            holder=work.actor,
            is_claim=False,
            resources=tuple(resources),
            mode=command.mode,
            role=None,
            skills=(),
            deadline_t=work.now + round(command.wait_seconds * 1000),
            alive_t=alive_t,
        )
    )


def _refuse_circle(work: LeaseWork, mine: Sequence[Obstacle]) -> None:
    """Pass when waiting for these closes no circle in the wait-for graph (holders ← waiters).

    Raises:
        Deadlock: with the circle.
    """
    waits_for = {work.actor: {one.by.holder for one in mine}}
    queue = [
        waiter
        for waiter in work.waiters.all()
        if not waiter.is_claim and rules.still_waits(waiter, work.now)
    ]
    for place, waiter in enumerate(queue):
        waits_for.setdefault(waiter.holder, set()).update(
            one.by.holder
            for one in rules.obstacles(
                waiter.holder,
                waiter.mode,
                waiter.resources,
                lambda wanted: holding.meeting(work, wanted),
                queue[:place],
                work.now,
            )
        )
    circle = rules.closed_circle(work.actor, waits_for)
    if circle is not None:
        raise Deadlock(circle)
