"""`kyros task claim | move | done`: the moves between the board's columns."""

import time
from typing import Annotated, Any

import typer

from kyros_collab_server.cli.command import Call, built, command
from kyros_collab_server.cli.conflicts import explained
from kyros_collab_server.cli.failures import Exit, Failure, usage
from kyros_collab_server.cli.session import Session, actor_of, open_session
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import Lease, LeaseState, ListLeases
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import (
    Claim,
    ClaimTask,
    ReadTask,
    ReadWorkflow,
    Task,
    TaskStatus,
    Transitioned,
    TransitionTask,
)

TaskArgument = Annotated[str, typer.Argument(metavar="TASK", show_default=False)]
IfMatch = Annotated[str | None, typer.Option("--if-match", help="The etag that you read.")]
Token = Annotated[
    int | None, typer.Option("--fencing-token", help="Absent: that of your own live lease.")
]
Handoff = Annotated[str | None, typer.Option("--handoff", help="Markdown for the next holder.")]


def row_of(task: Task) -> dict[str, Any]:
    """A task as its public JSON."""
    return task.model_dump(mode="json")


async def lease_of(session: Session, task: Task) -> Lease | None:
    """The live lease on the task, whoever holds it."""
    if task.lock_id is None:
        return None
    held = await session.perform(leases.list_leases, ListLeases(resource=f"task:{task.id}"))
    live = [one for one in held.data if one.state is LeaseState.ACTIVE]
    return live[0] if live else None


async def token_for(session: Session, task: Task) -> int | None:
    """The fencing token of the caller's own live lease on the task; None without one."""
    lease = await lease_of(session, task)
    if lease is None or lease.holder != await actor_of(session):
        return None
    return lease.fencing_token


def add_to(app: typer.Typer) -> None:
    """The group has the moves."""
    command(app, "claim", writes=True)(claim)
    command(app, "move", writes=True)(move)
    command(app, "done", writes=True)(done)


async def claim(
    call: Call,
    task: Annotated[str | None, typer.Argument(metavar="TASK", show_default=False)] = None,
    next_: Annotated[bool, typer.Option("--next", help="The next ready task.")] = False,
    role: Annotated[str | None, typer.Option("--role")] = None,
    skill: Annotated[list[str] | None, typer.Option("--skill", help="Repeat.")] = None,
    resource: Annotated[list[str] | None, typer.Option("--resource", help="Repeat.")] = None,
    ttl: Annotated[int | None, typer.Option("--ttl", help="Seconds without heartbeat.")] = None,
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait for work.")] = 0,
) -> int | None:
    """Claim a task: the one named, or the next ready one."""
    if (task is None) != next_:
        raise usage("Name one task, or say --next.", "kyros task claim --next")
    wanted = {"task_id": task, "role": role, "skills": skill or None, "ttl_seconds": ttl}
    ask = built(ClaimTask, **wanted, resources=resource or None)
    async with open_session(call.settings) as session:
        if call.dry_run:
            await _would_claim(call, session, task)
            return None
        async with explained(session, call.output, f"task:{task}"):
            answer = await _claimed_within(session, ask, wait)
    if answer.task is None or answer.leases is None:
        return _nothing_to_claim(call, answer, wait)
    own = next(one for one in answer.leases if one.resource == f"task:{answer.task.id}")
    row = {
        **row_of(answer.task),
        "fencing_token": own.fencing_token,
        "leases": [one.model_dump(mode="json") for one in answer.leases],
        "brief": answer.brief,
    }
    call.output.changed(
        f"claimed {answer.task.id} {answer.task.title!r}  fencing token {own.fencing_token}"
        f"  renew within {own.ttl_seconds} s",
        row,
        undo=f"kyros lease release {own.lock_id}",
    )
    return None


async def _claimed_within(session: Session, ask: ClaimTask, wait: float) -> Claim:
    deadline = time.monotonic() + wait
    while True:
        left = max(0.0, deadline - time.monotonic())
        once = ask.model_copy(update={"wait_seconds": min(left, session.longest_wait_seconds)})
        answer = await session.perform(tasks.claim, once)
        if answer.claimed or left <= session.longest_wait_seconds:
            return answer


def _nothing_to_claim(call: Call, answer: Claim, wait: float) -> int | None:
    why = [one.model_dump(mode="json") for one in answer.why or []]
    told = ", ".join(f"{one['reason']} {one['count']}" for one in why)
    if wait > 0:
        raise Failure(Exit.TIMED_OUT, "timed_out", f"No task came within {wait:g} s ({told}).")
    row = {
        "id": None,
        "claimed": False,
        "why": why,
        "retry_after_seconds": answer.retry_after_seconds,
    }
    if call.output.as_json:
        call.output.record(row, "")
    call.output.hint(f"nothing to claim: {told}; ask again in {answer.retry_after_seconds} s")
    return None


async def _would_claim(call: Call, session: Session, task: str | None) -> None:
    if task is None:
        call.output.changed("claimed the next ready task", {"id": None}, dry_run=True)
        return
    found = await session.perform(tasks.read_task, built(ReadTask, task_id=task))
    call.output.changed(f"claimed {task}", row_of(found), dry_run=True)


async def move(
    call: Call,
    task: TaskArgument,
    to: Annotated[TaskStatus, typer.Argument(metavar="STATUS", show_default=False)],
    reason: Annotated[str | None, typer.Option("--reason")] = None,
    handoff: Handoff = None,
    if_match: IfMatch = None,
    fencing_token: Token = None,
    undo_of: Annotated[int | None, typer.Option("--undo-of", help="Seq of your move.")] = None,
) -> None:
    """Move a task to another column. Taking it from its live holder needs --yes."""
    async with open_session(call.settings) as session:
        before = await session.perform(tasks.read_task, built(ReadTask, task_id=task))
        asked = built(
            TransitionTask,
            task_id=task,
            to=to,
            reason=reason,
            handoff=handoff,
            if_match=if_match,
            undo_of=undo_of,
            fencing_token=fencing_token or await _token_or_consent(call, session, before),
        )
        if call.dry_run:
            await _would_move(call, session, before, to)
            return
        async with explained(session, call.output, f"task:{task}"):
            moved = await session.perform(tasks.transition, asked)
    _tell(call, moved)


async def done(
    call: Call,
    task: TaskArgument,
    if_match: IfMatch = None,
) -> None:
    """Finish an approved task: through merging to done."""
    async with open_session(call.settings) as session:
        before = await session.perform(tasks.read_task, built(ReadTask, task_id=task))
        if call.dry_run:
            call.output.changed(f"moved {task} to done", row_of(before), dry_run=True)
            return
        etag = if_match
        async with explained(session, call.output, f"task:{task}"):
            if before.status is TaskStatus.APPROVED:
                _check_ticked(before)
                merging = TransitionTask(task_id=task, to=TaskStatus.MERGING, if_match=etag)
                etag = (await session.perform(tasks.transition, merging)).etag
            last = TransitionTask(task_id=task, to=TaskStatus.DONE, if_match=etag)
            moved = await session.perform(tasks.transition, last)
    _tell(call, moved)


def _check_ticked(task: Task) -> None:
    """Pass when nothing is left to tick; else nothing has moved yet.

    Raises:
        Failure: names the open lines.
    """
    left = [item.id for item in task.definition_of_done if not item.done]
    if left:
        ticks = " ".join(f"--tick {one}" for one in left)
        message = f"The definition of done has open items: {', '.join(left)}."
        raise Failure(Exit.CONFLICT, "guard_failed", message, f"kyros task edit {task.id} {ticks}")


async def _token_or_consent(call: Call, session: Session, task: Task) -> int | None:
    lease = await lease_of(session, task)
    if lease is None:
        return None
    if lease.holder == await actor_of(session):
        return lease.fencing_token
    call.confirm(f"{lease.holder} works on {task.id}; the move ends the lease {lease.lock_id}.")
    return None


async def _would_move(call: Call, session: Session, task: Task, to: TaskStatus) -> None:
    table = await session.perform(tasks.workflow, ReadWorkflow())
    legal = [one.to_status for one in table.moves if one.from_status is task.status]
    if to not in legal:
        message = f"{task.id} is {task.status}; the board has no move from there to {to}."
        fix = "allowed: " + ", ".join(legal)
        raise Failure(Exit.CONFLICT, "guard_failed", message, fix)
    sentence = f"moved {task.id} from {task.status} to {to}"
    call.output.changed(sentence, row_of(task), dry_run=True)


def _tell(call: Call, moved: Transitioned) -> None:
    task = moved.task
    row = {**row_of(task), "old_status": moved.old_status.value, "seq": moved.seq}
    row["released"] = moved.released
    ended = f"  released {', '.join(moved.released)}" if moved.released else ""
    # A move that gave up a lease cannot be taken back: the lease would have to come back too.
    undo = f"kyros task move {task.id} {moved.old_status} --undo-of {moved.seq}"
    call.output.changed(
        f"moved {task.id} from {moved.old_status} to {moved.new_status}{ended}",
        row,
        undo="" if moved.released else undo,
    )
