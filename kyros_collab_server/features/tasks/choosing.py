"""Choosing: which task goes to whom, and who waits for one."""

import heapq
from collections.abc import Callable, Iterator

from kyros_collab_server.features.leases import holding
from kyros_collab_server.features.leases import rules as lease_rules
from kyros_collab_server.features.leases.model import WAITER_ALIVE_MS, LeaseMode
from kyros_collab_server.features.leases.rules import Waiter
from kyros_collab_server.features.tasks import rules
from kyros_collab_server.features.tasks.cards import resource_of
from kyros_collab_server.features.tasks.model import (
    RETURNED_TO_OTHERS_AFTER_MS,
    ClaimTask,
    Priority,
    Task,
)
from kyros_collab_server.features.tasks.ports import TaskWork
from kyros_collab_server.features.tasks.rules import Claimer, TaskRecord
from kyros_collab_server.kernel.ids import new_id


def claimer(work: TaskWork, command: ClaimTask) -> Claimer:
    """Who claims: role and skills as the command names them, else the agent's own."""
    return as_claimer(work, work.actor, command.role, command.skills)


def _claimer_of(work: TaskWork, waiter: Waiter) -> Claimer:
    return as_claimer(work, waiter.holder, waiter.role, list(waiter.skills) or None)


def as_claimer(work: TaskWork, holder: str, role: str | None, skills: list[str] | None) -> Claimer:
    """Role and skills as the call names them, else the agent's own."""
    record = work.agents.get(holder.removeprefix("agent:")) if holder.startswith("agent:") else None
    agent = record.agent if record else None
    return Claimer(
        role=role if role is not None else (agent.role if agent else None),
        skills=frozenset(skills if skills is not None else (agent.skills if agent else [])),
        paused=bool(agent and agent.paused),
    )


def own_place(work: TaskWork, command: ClaimTask, extra: list[str]) -> Waiter | None:
    """The caller's place in the queue for work, from an earlier try of this very claim."""
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


def enqueue(work: TaskWork, command: ClaimTask, extra: list[str], mine: Waiter | None) -> None:
    """The caller waits for work, at the place it has or after all others."""
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


def choose(
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
    for record in queue(work, holder, count):
        misfit = rules.misfit(record.task, claimer)
        if misfit is not None:
            count(misfit[0].value)
        elif record.task.id in promised:
            count("promised_to_earlier_waiters")
        elif holding.conflict(work, wanted(record.task, extra), holder=holder) is not None:
            count("resources_held")
        else:
            return record
    return None


def wanted(task: Task, extra: list[str]) -> list[str]:
    """All that is leased with the task, in canonical order."""
    return sorted({resource_of(task.id), *task.resources, *extra})


def queue(work: TaskWork, holder: str, count: Callable[[str], None]) -> Iterator[TaskRecord]:
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
