"""How a task moves: transitioned and requeued, with the lease effects in one transaction."""

from dataclasses import replace
from typing import Any

from kyros_collab_server.features.events.model import Event, EventName
from kyros_collab_server.features.leases import holding
from kyros_collab_server.features.leases import rules as lease_rules
from kyros_collab_server.features.leases.errors import UseClaim
from kyros_collab_server.features.leases.model import LeaseState
from kyros_collab_server.features.leases.rules import LeaseRecord
from kyros_collab_server.features.tasks import briefs, chains, rules
from kyros_collab_server.features.tasks.cards import load, resource_of, save
from kyros_collab_server.features.tasks.errors import Guard, GuardFailed
from kyros_collab_server.features.tasks.model import (
    UNDO_WITHIN_MS,
    Task,
    TaskStatus,
    Transitioned,
    TransitionTask,
)
from kyros_collab_server.features.tasks.ports import TaskWork
from kyros_collab_server.features.tasks.rules import TaskRecord
from kyros_collab_server.kernel.errors import EtagMismatch
from kyros_collab_server.kernel.etag import field_diff, matches
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope


def check_if_match(if_match: str | None, task: Task, wanted: dict[str, Any], call: str) -> None:
    """Pass when no etag is named or it is the current one.

    Raises:
        EtagMismatch: with the current task, the diff to what was wanted, and the next call.
    """
    if if_match is None or matches(if_match, task.etag):
        return
    shown = task.model_dump(mode="json")
    diff = field_diff({name: shown.get(name) for name in wanted}, wanted)
    raise EtagMismatch(
        task.etag,
        shown,
        diff,
        f"Look at the diff, then repeat {call}(task_id={task.id}) with if_match={task.etag}",
    )


def brief(work: TaskWork, task: Task) -> str:
    """Everything a fresh context needs to continue the task, as Markdown."""
    about = work.events.about(f"task:{task.id}", briefs.BRIEF_EVENTS, briefs.BRIEF_EVENT_COUNT)
    held = [
        lease_rules.published(lease, work.now, work.wall_ms)
        for lease in work.leases.held_for(task.id)
    ]
    return briefs.compose(task, about, held)


def _fenced(work: TaskWork, task: Task, command: TransitionTask) -> LeaseRecord | None:
    return holding.fence(work, resource_of(task.id), command.fencing_token, "task_transition")


def _check_guards(work: TaskWork, task: Task, command: TransitionTask) -> None:
    guards = rules.check_move(task.status, command.to)
    if command.to is TaskStatus.CLAIMED:
        raise UseClaim(task.id)
    if rules.LEASE in guards and command.fencing_token is None and not work.principal.is_operator:
        _fenced(work, task, command)
        raise GuardFailed(Guard.LEASE_REQUIRED, status=task.status.value)
    if rules.DEPENDENCIES in guards and (left := chains.open_dependencies(work, task)):
        raise GuardFailed(Guard.OPEN_DEPENDENCIES, open=left)
    if rules.OPERATOR in guards:
        work.principal.require(frozenset({Scope.OPERATE}))
    if rules.REVIEWER in guards:
        work.principal.require(frozenset({Scope.REVIEW}))
        settings = work.workspaces.settings(work.workspace)
        if settings.independent_review and task.assignee == work.actor:
            raise GuardFailed(Guard.SELF_REVIEW, assignee=task.assignee)
    if rules.CHECKLIST in guards:
        rules.check_checklist(task)


def _check_undo(work: TaskWork, task: Task, command: TransitionTask, seq: int) -> None:
    """Pass when the event is the caller's own last move of this task, fresh, and gave up no lease.

    Raises:
        GuardFailed: anything else; `reason` says what.
    """
    event: Event | None = work.events.one(seq)
    reason = None
    if (
        event is None
        or event.event != EventName.TASK_TRANSITIONED
        or event.target != f"task:{task.id}"
        or event.actor != work.actor
    ):
        reason = "not_your_move"
    elif event.details.get("version") != task.version:
        reason = "task_changed"
    elif event.details.get("released"):
        reason = "lease_given_up"
    elif work.now - event.details.get("t", 0) > UNDO_WITHIN_MS:
        reason = "too_late"
    elif event.details["changes"]["status"]["before"] != command.to.value:
        reason = "not_the_way_back"
    if reason is not None:
        raise GuardFailed(Guard.ILLEGAL_MOVE, reason=reason, undo_of=seq)


@operation(Scope.TASKS_WRITE)
def transition(work: TaskWork, command: TransitionTask) -> Transitioned:
    """The task stands in the column, its leases ended where that column ends them.

    Raises:
        GuardFailed: names the guard, with facts.
        WriteFenced: the caller is not the live lease's holder with the live token.
        EtagMismatch: `if_match` names an older version.
        UseClaim: `claimed` is entered by claiming.
        NotFound: no such task.
    """
    record = load(work, command.task_id)
    task = record.task
    wanted: dict[str, Any] = {"status": command.to.value}
    if command.fencing_token is not None or command.undo_of is not None:
        live = _fenced(work, task, command)
        if live is None and command.to is TaskStatus.CLAIMED:
            raise GuardFailed(Guard.LEASE_REQUIRED, status=task.status.value)
    check_if_match(command.if_match, task, wanted, "task_transition")
    if command.undo_of is not None:
        _check_undo(work, task, command, command.undo_of)
    else:
        _check_guards(work, task, command)
    ends = command.to in rules.RELEASES or (
        task.status in rules.LEASED and command.fencing_token is None
    )
    released = end_leases(work, task.id) if ends else []
    changes: dict[str, Any] = {"status": command.to}
    if command.handoff is not None:
        changes["handoff"] = command.handoff
    moved = _placed(work, record, changes)
    seq = save(
        work,
        record,
        moved,
        EventName.TASK_TRANSITIONED,
        released=released,
        t=work.now,
        **({"reason": command.reason} if command.reason else {}),
        **({"undo_of": command.undo_of} if command.undo_of is not None else {}),
    )
    chains.settle_dependants(work, task, moved.task)
    return Transitioned(
        old_status=task.status,
        new_status=moved.task.status,
        etag=moved.task.etag,
        released=released,
        seq=seq,
        task=moved.task,
    )


def end_leases(work: TaskWork, task_id: str) -> list[str]:
    """Every lease that came with the task's claim is over; returns their ids.

    A lease that another task of the same holder needs as well goes over to that task.
    """
    ended: list[str] = []
    for lease in work.leases.held_for(task_id):
        heir = _also_needed_by(work, lease)
        if heir is not None:
            work.leases.save(replace(lease, task_id=heir))
            continue
        live = lease_rules.is_live(lease, work.now)
        how = LeaseState.RELEASED if live else LeaseState.RECLAIMED
        holding.end(work, lease, how, tell=False)
        ended.append(lease.lock_id)
    return ended


def _also_needed_by(work: TaskWork, lease: LeaseRecord) -> str | None:
    """Another task whose live lease the same holder has, and that names this resource."""
    if not lease_rules.is_live(lease, work.now):
        return None
    for other in work.leases.held_by(lease.holder):
        task_id = other.task_id
        if task_id in (None, lease.task_id) or other.resource != resource_of(task_id or ""):
            continue
        record = work.tasks.get(task_id or "")
        if (
            record is not None
            and lease.resource in record.task.resources
            and lease_rules.is_live(other, work.now)
        ):
            return task_id
    return None


def _placed(work: TaskWork, record: TaskRecord, changes: dict[str, Any]) -> TaskRecord:
    """The record in its new column, with what the claim queue keeps of it."""
    status: TaskStatus = changes["status"]
    leased = any(
        lease.resource == resource_of(record.task.id)
        for lease in work.leases.held_for(record.task.id)
    )
    if not leased:
        changes["lock_id"] = None
    if status is TaskStatus.QUEUED:
        changes["assignee"] = None
    task = rules.revised(record.task, work.ts, **changes)
    return replace(
        record,
        task=task,
        ready_t=work.now if rules.is_ready(task, record.open_dependencies) else None,
        returned_t=work.now if status is TaskStatus.IN_PROGRESS and not leased else None,
        assignee_principal=None if task.assignee is None else record.assignee_principal,
    )


def requeue(work: TaskWork, lease: LeaseRecord) -> None:
    """The task whose lease ended is back in the queue; called in the same transaction.

    A reclaimed lease counts as an attempt; the one beyond `max_attempts` keeps the task back until
    a person clears it. What the last holder noted becomes the handoff.
    """
    if lease.task_id is None or lease.resource != resource_of(lease.task_id):
        return
    record = work.tasks.get(lease.task_id)
    if (
        record is None
        or record.task.lock_id != lease.lock_id
        or record.task.status not in rules.LEASED
    ):
        return
    end_leases(work, lease.task_id)
    changes: dict[str, Any] = {"status": TaskStatus.QUEUED}
    if lease.ended is LeaseState.RECLAIMED:
        changes["attempts"] = record.task.attempts + 1
        limit = work.workspaces.settings(work.workspace).max_attempts
        changes["needs_attention"] = record.task.needs_attention or changes["attempts"] > limit
        notes = work.events.about(f"task:{lease.task_id}", briefs.BRIEF_EVENTS, 5)
        left = [note for note in notes if note.actor == lease.holder]
        if left:
            changes["handoff"] = briefs.last_notes(lease.holder, left)
    requeued = _placed(work, record, changes)
    save(work, record, requeued, EventName.TASK_REQUEUED, lock_id=lease.lock_id)
    if requeued.task.needs_attention and not record.task.needs_attention:
        work.events.append(
            EventName.TASK_NEEDS_ATTENTION,
            f"task:{lease.task_id}",
            {"attempts": requeued.task.attempts},
        )
