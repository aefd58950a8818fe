"""Claiming: which task an agent gets, and the one transaction that grants it."""

from dataclasses import replace
from typing import Any

from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.features.leases import holding
from kyros_collab_server.features.leases import rules as lease_rules
from kyros_collab_server.features.leases.model import LeaseState
from kyros_collab_server.features.tasks import chains, choosing, rules
from kyros_collab_server.features.tasks.cards import load, resource_of, save
from kyros_collab_server.features.tasks.errors import Guard, GuardFailed
from kyros_collab_server.features.tasks.model import (
    Claim,
    ClaimTask,
    ReadTask,
    Reasons,
    TaskStatus,
    WhyNot,
    WhyWaiting,
)
from kyros_collab_server.features.tasks.moves import brief
from kyros_collab_server.features.tasks.ports import TaskWork
from kyros_collab_server.features.tasks.rules import Claimer, TaskRecord
from kyros_collab_server.kernel.operation import Waiting, operation
from kyros_collab_server.kernel.principal import Scope

NOBODY = "system"
"""A holder that holds nothing: what stands in its way stands in everybody's."""
AHEAD_COUNTED = 1_000
RETRY_AFTER_SECONDS = 15
"""How long an agent that got no work waits before it asks again, when nothing says better."""


def abandon_claim(work: TaskWork, answer: Claim) -> None:
    """A task that was granted to a caller who had left is back in the queue."""
    for lease in holding.granted_just_now(work, answer.leases or []):
        holding.end(work, lease, LeaseState.RELEASED)


def _last_try(command: ClaimTask) -> ClaimTask:
    return command.model_copy(update={"wait_seconds": 0})


def _no_work(work: TaskWork, command: ClaimTask) -> bool:
    """True while another try would find nothing to give."""
    if command.task_id is not None:
        return False
    claimer = choosing.claimer(work, command)
    extra = lease_rules.canonical_resources(command.resources)
    mine = choosing.own_place(work, command, extra)
    return claimer.paused or choosing.choose(work, claimer, extra, mine, {}) is None


def _leave(work: TaskWork, command: ClaimTask) -> None:
    """The caller waits for work no more."""
    extra = lease_rules.canonical_resources(command.resources)
    if (mine := choosing.own_place(work, command, extra)) is not None:
        work.waiters.delete(mine.waiter_id)


@operation(
    Scope.TASKS_WRITE,
    Scope.LEASES_WRITE,
    waiting=Waiting(
        pending=lambda answer: not answer.claimed,
        at_deadline=_last_try,
        blocked=_no_work,
        leave=_leave,
        abandon=abandon_claim,
    ),
)
def claim(work: TaskWork, command: ClaimTask) -> Claim:
    """The task is the caller's under a live lease, with its resources; or the answer says why not.

    A claim that waits for work is served before every later one.

    Raises:
        GuardFailed: the named task cannot be claimed; names the guard.
        LeaseHeld: another holder has the named task, or one of its resources.
        NotFound: no such task.
    """
    claimer = choosing.claimer(work, command)
    extra = lease_rules.canonical_resources(command.resources)
    if command.task_id is not None:
        record = _reclaimed(work, load(work, command.task_id))
        return _claim_named(work, command, record, claimer, extra)
    if claimer.paused:
        return _nothing([WhyNot(reason=Guard.AGENT_PAUSED, count=1)])
    refusal = holding.conflict(work, extra)
    if refusal is not None:
        raise refusal
    mine = choosing.own_place(work, command, extra)
    held_back: dict[str, int] = {}
    record_or_none = choosing.choose(work, claimer, extra, mine, held_back)
    if record_or_none is not None:
        if mine is not None:
            work.waiters.delete(mine.waiter_id)
        return _grant(work, command, record_or_none, extra)
    if command.wait_seconds > 0:
        choosing.enqueue(work, command, extra, mine)
    elif mine is not None:
        work.waiters.delete(mine.waiter_id)
    return _nothing(_why(work, held_back))


def _claim_named(
    work: TaskWork, command: ClaimTask, record: TaskRecord, claimer: Claimer, extra: list[str]
) -> Claim:
    task = record.task
    if task.status not in (TaskStatus.QUEUED, *rules.LEASED):
        allowed = [to.value for start, to in rules.MOVES if start is task.status]
        raise GuardFailed(
            Guard.ILLEGAL_MOVE,
            **{"from": task.status.value, "to": TaskStatus.CLAIMED.value, "allowed": allowed},
        )
    misfit = rules.misfit(task, claimer)
    if misfit is not None:
        raise GuardFailed(misfit[0], **misfit[1])
    refusal = holding.conflict(work, choosing.wanted(task, extra))
    if refusal is not None:
        raise refusal
    if task.status is TaskStatus.QUEUED and record.open_dependencies:
        raise GuardFailed(Guard.OPEN_DEPENDENCIES, open=chains.open_dependencies(work, task))
    return _grant(work, command, record, extra)


def _reclaimed(work: TaskWork, record: TaskRecord) -> TaskRecord:
    """The task as it stands once its lease, if stale, was reclaimed and it was requeued."""
    for lease in work.leases.held_on(resource_of(record.task.id)):
        if not lease_rules.is_live(lease, work.now):
            holding.end(work, lease, LeaseState.RECLAIMED)
            return load(work, record.task.id)
    return record


def _grant(work: TaskWork, command: ClaimTask, record: TaskRecord, extra: list[str]) -> Claim:
    task = record.task
    granted = holding.grant_set(work, choosing.wanted(task, extra), command.ttl_seconds, task.id)
    own = next(lease for lease in granted if lease.resource == resource_of(task.id))
    if task.lock_id != own.lock_id:
        status = TaskStatus.CLAIMED if task.status is TaskStatus.QUEUED else task.status
        claimed = replace(
            record,
            task=rules.revised(
                task, work.ts, status=status, assignee=work.actor, lock_id=own.lock_id
            ),
            ready_t=None,
            returned_t=None,
            assignee_principal=work.principal.id,
        )
        save(
            work,
            record,
            claimed,
            EventName.TASK_CLAIMED,
            lock_id=own.lock_id,
            fencing_token=own.fencing_token,
        )
        record = claimed
    shown = [lease_rules.published(lease, work.now, work.wall_ms) for lease in granted]
    return Claim(claimed=True, task=record.task, leases=shown, brief=brief(work, record.task))


def _nothing(why: list[WhyNot]) -> Claim:
    return Claim(claimed=False, why=why, retry_after_seconds=RETRY_AFTER_SECONDS)


def _why(work: TaskWork, held_back: dict[str, int]) -> list[WhyNot]:
    held_back = {
        **held_back,
        Guard.OPEN_DEPENDENCIES.value: work.tasks.count_blocked(),
        Guard.NEEDS_ATTENTION.value: work.tasks.count_attention(),
    }
    why = [WhyNot(reason=reason, count=count) for reason, count in held_back.items() if count]
    return why or [WhyNot(reason="no_queued_tasks", count=0)]


@operation(Scope.TASKS_READ, read=True)
def why_waiting(work: TaskWork, command: ReadTask) -> Reasons:
    """Why a queued task was not given out yet; nothing for one that does not stand in the queue.

    Raises:
        NotFound: no such task in this workspace.
    """
    return Reasons(data=reasons(work, load(work, command.task_id)))


def reasons(work: TaskWork, record: TaskRecord) -> list[WhyWaiting]:
    """Each reason with its facts: dependencies, attention, held resources, nobody fit, its turn."""
    task = record.task
    if task.status is not TaskStatus.QUEUED:
        return []
    found: list[WhyWaiting] = []
    if left := chains.open_dependencies(work, task):
        found.append(_because(Guard.OPEN_DEPENDENCIES, open=left))
    if task.needs_attention:
        found.append(_because(Guard.NEEDS_ATTENTION, attempts=task.attempts))
    held = holding.conflict(work, task.resources, holder=NOBODY)
    if held is not None:
        told = ("held_resource", "holder", "expires_in_ms")
        facts = {fact: held.facts[fact] for fact in told}
        found.append(WhyWaiting(reason="resources_held", facts=facts))
    names = [f"agent:{name}" for name, _ in work.roster.members()]
    agents = [choosing.as_claimer(work, name, None, None) for name in names]
    if agents and not any(rules.misfit(task, agent) is None for agent in agents):
        found.append(
            WhyWaiting(reason="no_fitting_agent", facts={"role": task.role, "skills": task.skills})
        )
    if not found:
        ahead = 0
        for other in choosing.queue(work, NOBODY, lambda reason: None):
            if other.task.id == task.id or ahead == AHEAD_COUNTED:
                break
            ahead += 1
        found.append(WhyWaiting(reason="turn", facts={"ahead": ahead}))
    return found


def _because(guard: Guard, **facts: Any) -> WhyWaiting:
    return WhyWaiting(reason=guard.value, facts=facts)
