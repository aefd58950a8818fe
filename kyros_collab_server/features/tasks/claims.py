"""Claiming: which task an agent gets, and the one transaction that grants it."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.features.leases import holding
from kyros_collab_server.features.leases import rules as lease_rules
from kyros_collab_server.features.leases.model import WAITER_ALIVE_MS, LeaseMode, LeaseState
from kyros_collab_server.features.leases.rules import Waiter
from kyros_collab_server.features.tasks import chains, rules
from kyros_collab_server.features.tasks.cards import load, resource_of, save
from kyros_collab_server.features.tasks.errors import Guard, GuardFailed
from kyros_collab_server.features.tasks.model import (
    RETURNED_TO_OTHERS_AFTER_MS,
    Claim,
    ClaimTask,
    Priority,
    ReadTask,
    Reasons,
    Task,
    TaskStatus,
    WhyNot,
    WhyWaiting,
)
from kyros_collab_server.features.tasks.moves import brief
from kyros_collab_server.features.tasks.ports import TaskWork
from kyros_collab_server.features.tasks.rules import Claimer, TaskRecord
from kyros_collab_server.kernel.ids import new_id
from kyros_collab_server.kernel.operation import Waiting, operation
from kyros_collab_server.kernel.principal import Scope

NOBODY = "system"
"""A holder that holds nothing: what stands in its way stands in everybody's."""
AHEAD_COUNTED = 1_000
RETRY_AFTER_SECONDS = 15
"""How long an agent that got no work waits before it asks again, when nothing says better."""


def _claimer(work: TaskWork, command: ClaimTask) -> Claimer:
    return _as_claimer(work, work.actor, command.role, command.skills)


def _claimer_of(work: TaskWork, waiter: Waiter) -> Claimer:
    return _as_claimer(work, waiter.holder, waiter.role, list(waiter.skills) or None)


def _as_claimer(work: TaskWork, holder: str, role: str | None, skills: list[str] | None) -> Claimer:
    """Role and skills as the call names them, else the agent's own."""
    record = work.agents.get(holder.removeprefix("agent:")) if holder.startswith("agent:") else None
    agent = record.agent if record else None
    return Claimer(
        role=role if role is not None else (agent.role if agent else None),
        skills=frozenset(skills if skills is not None else (agent.skills if agent else [])),
        paused=bool(agent and agent.paused),
    )


def abandon_claim(work: TaskWork, answer: Claim) -> None:
    """A task that was granted to a caller who had left is back in the queue."""
    for shown in answer.leases or []:
        lease = work.leases.get(shown.lock_id)
        if lease is not None and lease_rules.is_live(lease, work.now):
            holding.end(work, lease, LeaseState.RELEASED)


def _last_try(command: ClaimTask) -> ClaimTask:
    return command.model_copy(update={"wait_seconds": 0})


def _no_work(work: TaskWork, command: ClaimTask) -> bool:
    """True while another try would find nothing to give."""
    if command.task_id is not None:
        return False
    claimer = _claimer(work, command)
    extra = lease_rules.canonical_resources(command.resources)
    mine = _own_place(work, command, extra)
    return claimer.paused or _choose(work, claimer, extra, mine, {}) is None


def _leave(work: TaskWork, command: ClaimTask) -> None:
    """The caller waits for work no more."""
    extra = lease_rules.canonical_resources(command.resources)
    if (mine := _own_place(work, command, extra)) is not None:
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
    claimer = _claimer(work, command)
    extra = lease_rules.canonical_resources(command.resources)
    if command.task_id is not None:
        record = _reclaimed(work, load(work, command.task_id))
        return _claim_named(work, command, record, claimer, extra)
    if claimer.paused:
        return _nothing([WhyNot(reason=Guard.AGENT_PAUSED, count=1)])
    refusal = holding.conflict(work, extra)
    if refusal is not None:
        raise refusal
    mine = _own_place(work, command, extra)
    held_back: dict[str, int] = {}
    record_or_none = _choose(work, claimer, extra, mine, held_back)
    if record_or_none is not None:
        if mine is not None:
            work.waiters.delete(mine.waiter_id)
        return _grant(work, command, record_or_none, extra)
    if command.wait_seconds > 0:
        _enqueue(work, command, extra, mine)
    elif mine is not None:
        work.waiters.delete(mine.waiter_id)
    return _nothing(_why(work, held_back))


def _own_place(work: TaskWork, command: ClaimTask, extra: list[str]) -> Waiter | None:
    wanted = (work.actor, tuple(extra), command.role, tuple(command.skills or ()))
    return next(
        (
            one
            for one in work.waiters.all()
            if one.is_claim
            and (one.holder, one.resources, one.role, one.skills) == wanted
            and lease_rules.still_waits(one, work.now)
        ),
        None,
    )


def _enqueue(work: TaskWork, command: ClaimTask, extra: list[str], mine: Waiter | None) -> None:
    alive_t = work.now + WAITER_ALIVE_MS
    if mine is not None:
        work.waiters.heard_of(mine.waiter_id, alive_t)
        return
    work.waiters.insert(
        Waiter(
            waiter_id=new_id("wt"),
            place=work.waiters.next_place(),
            holder=work.actor,
            is_claim=True,
            resources=tuple(extra),
            mode=LeaseMode.EXCLUSIVE,
            role=command.role,
            skills=tuple(command.skills or ()),
            deadline_t=work.now + round(command.wait_seconds * 1000),
            alive_t=alive_t,
        )
    )


def _choose(
    work: TaskWork,
    claimer: Claimer,
    extra: list[str],
    mine: Waiter | None,
    held_back: dict[str, int],
) -> TaskRecord | None:
    """The first claimable task that fits and that no earlier waiting claim gets."""
    promised: set[str] = set()
    for waiter in work.waiters.all():
        if (
            waiter.is_claim
            and waiter.holder != work.actor
            and (mine is None or waiter.place < mine.place)
            and lease_rules.still_waits(waiter, work.now)
        ):
            other = _claimer_of(work, waiter)
            taken = _first(work, waiter.holder, other, list(waiter.resources), promised, {})
            if taken is not None:
                promised.add(taken.task.id)
    return _first(work, work.actor, claimer, extra, promised, held_back)


def _first(
    work: TaskWork,
    holder: str,
    claimer: Claimer,
    extra: list[str],
    promised: set[str],
    held_back: dict[str, int],
) -> TaskRecord | None:
    def count(reason: str) -> None:
        held_back[reason] = held_back.get(reason, 0) + 1

    if claimer.paused:
        return None
    for record in _queue(work, holder, count):
        misfit = rules.misfit(record.task, claimer)
        if misfit is not None:
            count(misfit[0].value)
        elif record.task.id in promised:
            count("promised_to_earlier_waiters")
        elif holding.conflict(work, _wanted(record.task, extra), holder=holder) is not None:
            count("resources_held")
        else:
            return record
    return None


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
    refusal = holding.conflict(work, _wanted(task, extra))
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


def _wanted(task: Task, extra: list[str]) -> list[str]:
    return sorted({resource_of(task.id), *task.resources, *extra})


def _queue(work: TaskWork, holder: str, count: Callable[[str], None]) -> Iterator[TaskRecord]:
    """Claimable tasks in the order of their turns; those sent back to the holder come first."""
    others: list[TaskRecord] = []
    for record in work.tasks.returned():
        if record.task.assignee == holder:
            yield record
        elif work.now - (record.returned_t or 0) >= RETURNED_TO_OTHERS_AFTER_MS:
            others.append(record)
        else:
            count("returned_to_assignee")
    yield from others
    ageing = work.workspaces.settings(work.workspace).ageing_seconds

    def turn(record: TaskRecord) -> tuple[int, int, int, str]:
        task, ready_t = record.task, record.ready_t or 0
        length = record.critical_path
        return rules.turn(task.priority, ready_t, task.id, work.now, ageing, length)

    classes = (work.tasks.ready(priority, work.now, ageing * 1000) for priority in Priority)
    yield from heapq.merge(*classes, key=turn)


def _grant(work: TaskWork, command: ClaimTask, record: TaskRecord, extra: list[str]) -> Claim:
    task = record.task
    granted = holding.grant_set(work, _wanted(task, extra), command.ttl_seconds, task.id)
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
        names = ("held_resource", "holder", "expires_in_ms")
        found.append(WhyWaiting(reason="resources_held", facts={n: held.facts[n] for n in names}))
    agents = [_as_claimer(work, f"agent:{name}", None, None) for name, _ in work.roster.members()]
    if agents and not any(rules.misfit(task, agent) is None for agent in agents):
        found.append(
            WhyWaiting(reason="no_fitting_agent", facts={"role": task.role, "skills": task.skills})
        )
    if not found:
        ahead = 0
        for other in _queue(work, NOBODY, lambda reason: None):
            if other.task.id == task.id or ahead == AHEAD_COUNTED:
                break
            ahead += 1
        found.append(WhyWaiting(reason="turn", facts={"ahead": ahead}))
    return found


def _because(guard: Guard, **facts: Any) -> WhyWaiting:
    return WhyWaiting(reason=guard.value, facts=facts)
