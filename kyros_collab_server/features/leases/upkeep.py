"""Upkeep: what time alone does to leases and agents, written by a duty every second."""

from dataclasses import replace

from kyros_collab_server.features.agents import rules as agent_rules
from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import AgentStatus
from kyros_collab_server.features.agents.rules import AgentRecord
from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.features.leases import rules
from kyros_collab_server.features.leases.holding import end
from kyros_collab_server.features.leases.model import RECLAIM_BATCH, LeaseState
from kyros_collab_server.features.leases.ports import LeaseWork
from kyros_collab_server.features.leases.rules import LeaseRecord


def reclaim_stale(work: LeaseWork) -> list[LeaseRecord]:
    """Up to 1,000 stale leases are over; returns them as they were."""
    stale = work.leases.stale(work.now, RECLAIM_BATCH)
    for lease in stale:
        current = work.leases.get(lease.lock_id)
        if current is not None and current.ended is None:
            end(work, current, LeaseState.RECLAIMED)
    return stale


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


def _quiet_changes(work: LeaseWork) -> list[tuple[LeaseRecord, bool]]:
    """Live leases of agents whose quiet flag is wrong, or that were quiet for twice the limit."""
    limit = work.workspaces.settings(work.workspace).max_quiet_seconds * 1000
    active = {f"agent:{one.agent.name}": one.active_t for one in work.agents.all()}
    changes = []
    for lease in work.leases.held():
        if lease.holder not in active or not rules.is_live(lease, work.now):
            continue
        quiet = rules.quiet_for(lease, active[lease.holder], work.now)
        if (quiet > limit) is not lease.is_quiet or quiet > 2 * limit:
            changes.append((lease, quiet > 2 * limit))
    return changes


def sweep_is_due(work: LeaseWork) -> bool:
    """True when a lease or a waiter is past its time, or a flag or a status is wrong."""
    if any(not rules.still_waits(waiter, work.now) for waiter in work.waiters.all()):
        return True
    return bool(work.leases.stale(work.now, 1) or _status_changes(work) or _quiet_changes(work))


def sweep(work: LeaseWork) -> bool:
    """The duty: stale and too quiet leases are reclaimed, flags and statuses are right.

    True when more is left.
    """
    stale = reclaim_stale(work)
    for lease, is_over in _quiet_changes(work):
        current = work.leases.get(lease.lock_id)
        if current is None or current.ended is not None:
            continue
        if is_over:
            end(work, current, LeaseState.RECLAIMED)
            continue
        work.leases.save(replace(current, is_quiet=not current.is_quiet))
        if not current.is_quiet:
            details = {"lock_id": lease.lock_id, "resource": lease.resource, "holder": lease.holder}
            work.events.append(EventName.LEASE_QUIET, f"lease:{lease.lock_id}", details)
    for record, status in _status_changes(work):
        agents.change(work, record, status=status)
    work.waiters.prune(work.now)
    return len(stale) >= RECLAIM_BATCH
