"""Boards: a checked package as records of a store."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from kyros_collab_server.adapters import state_files
from kyros_collab_server.adapters.packages import Package
from kyros_collab_server.adapters.restoring import Checked, Upkeep, check_package
from kyros_collab_server.adapters.state_files import FiledLease, StateFileBroken
from kyros_collab_server.adapters.state_texts import CLOCK, TASK, WORKSPACE
from kyros_collab_server.features.agents.model import Agent
from kyros_collab_server.features.agents.rules import AgentRecord
from kyros_collab_server.features.events.model import Checkpoint, CheckpointKey
from kyros_collab_server.features.identity.model import Workspace
from kyros_collab_server.features.leases.model import LeaseMode, LeaseState
from kyros_collab_server.features.leases.rules import LeaseRecord
from kyros_collab_server.features.messages.model import Message
from kyros_collab_server.features.tasks import rules
from kyros_collab_server.features.tasks.model import Task, TaskStatus
from kyros_collab_server.features.tasks.rules import TaskRecord
from kyros_collab_server.kernel.time import wall_ms_of

NUMBERED = re.compile(r"T-([0-9]{1,15})", re.ASCII)
NOTHING_KEPT = Upkeep(id="")


@dataclass(frozen=True)
class Board:
    """A whole board, ready for an empty store. Its `_t` times are of a clock at `clock_t`."""

    package: Package
    name: str
    """The workspace that its events are of."""
    seq: int
    hash: str
    clock_t: int
    workspace: Workspace | None
    tasks: list[tuple[int, TaskRecord]]
    leases: list[LeaseRecord]
    agents: list[AgentRecord]
    inboxes: dict[str, tuple[int, list[Message]]]
    versions: dict[str, int]
    checkpoints: list[Checkpoint] = field(default_factory=list)
    keys: list[CheckpointKey] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How much there is of each thing."""
        return {
            "events": self.seq,
            "tasks": len(self.tasks),
            "leases": sum(lease.ended is None for lease in self.leases),
            "agents": len(self.agents),
            "messages": sum(len(unread) for _, unread in self.inboxes.values()),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every event, as the store keeps it.

        Raises:
            StateFileBroken: the package was changed since it was checked.
        """
        digest = ""
        for event in self.package.events():
            if event.seq > self.seq:
                break
            told, digest = event.told, event.hash
            yield {
                "seq": event.seq,
                "ts": told["ts"],
                "event": told["event"],
                "actor": told["actor"],
                "target": told["target"],
                "hash": event.hash,
                "body": event.body,
            }
        if digest != self.hash:
            raise StateFileBroken(self.package.name, "was changed while it was read")


def read_board(package: Package) -> Board:
    """The whole board of a projection or an export.

    Raises:
        StateFileBroken: names the file, and the line or entry that is wrong.
    """
    checked = check_package(package)
    clock_t = checked.upkeep.get(CLOCK, NOTHING_KEPT).t or 0
    leases = _leases(checked, clock_t)
    told = checked.upkeep.get(WORKSPACE, NOTHING_KEPT).workspace
    try:
        workspace = Workspace.model_validate(told) if told else None
        tasks = _tasks(checked, clock_t)
        agents = _agents(checked, clock_t)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StateFileBroken(f"{package.name}: {where}", first["msg"]) from None
    return Board(
        package=package,
        name=checked.replay.workspace,
        seq=checked.replay.seq,
        hash=checked.hash,
        clock_t=clock_t,
        workspace=workspace,
        tasks=tasks,
        leases=leases,
        agents=agents,
        inboxes=_inboxes(checked),
        versions={kind: _version(checked, kind) for kind in ("tasks", "locks", "agents")},
        checkpoints=checked.checkpoints,
        keys=checked.keys,
    )


def _version(checked: Checked, kind: str) -> int:
    """The version of a kind; where the log went on after the file, one it never had."""
    filed, seq = checked.filed.get(kind), checked.replay.seq
    return seq if filed is None else filed[1].version + seq - filed[1].seq


def _age_ms(checked: Checked, ts: str) -> int:
    """Milliseconds by the wall from an instant to the last event."""
    return max(0, wall_ms_of(checked.replay.ts) - wall_ms_of(ts))


def _tasks(checked: Checked, clock_t: int) -> list[tuple[int, TaskRecord]]:
    replay = checked.replay
    tasks = {one: Task.model_validate(told) for one, told in replay.tasks.items()}
    state_files.check_tasks(checked.package.name, tuple(tasks.values()))
    for task in tasks.values():
        if lost := [one for one in task.depends_on if one not in tasks]:
            where = f"{checked.package.name} ({task.id}) depends_on"
            raise StateFileBroken(where, f"names {lost[0]}, which is not in the events")
    chains = _chains(tasks)
    records = []
    for task_id, task in tasks.items():
        if rules.sealed(task).etag != task.etag:
            rule = "has another etag than its fields in the events"
            raise StateFileBroken(f"{checked.package.name} ({task_id})", rule)
        kept = checked.upkeep.get(f"{TASK}{task_id}", NOTHING_KEPT)
        open_count = sum(tasks[one].status is not TaskStatus.DONE for one in task.depends_on)
        since = clock_t - _age_ms(checked, task.updated_at)
        returned = task.status is TaskStatus.IN_PROGRESS and task.lock_id is None
        fresh = kept.version == task.version
        numbered = NUMBERED.fullmatch(task_id)
        record = TaskRecord(
            task=task,
            number=int(numbered[1]) if numbered else None,
            open_dependencies=open_count,
            ready_t=_first(kept.ready_t, since) if rules.is_ready(task, open_count) else None,
            returned_t=_first(kept.returned_t if fresh else None, since) if returned else None,
            critical_path=chains[task_id],
            assignee_principal=kept.assignee_principal if task.assignee else None,
        )
        records.append((replay.places[task_id], record))
    return sorted(records, key=lambda record: record[0])


def _first(kept: int | None, otherwise: int) -> int:
    return otherwise if kept is None else kept


def _chains(tasks: dict[str, Task]) -> dict[str, int]:
    """The longest chain of open tasks behind each task; there are no circles."""
    waiting = {one: len(task.depends_on) for one, task in tasks.items()}
    behind: dict[str, list[str]] = {one: [] for one in tasks}
    for one, task in tasks.items():
        for needed in task.depends_on:
            behind[needed].append(one)
    order = [one for one, count in waiting.items() if not count]
    for one in order:
        for dependant in behind[one]:
            waiting[dependant] -= 1
            if not waiting[dependant]:
                order.append(dependant)
    length: dict[str, int] = {}
    for one in reversed(order):
        open_ones = [other for other in behind[one] if rules.is_open(tasks[other].status)]
        length[one] = max((1 + length[other] for other in open_ones), default=0)
    return length


def _leases(checked: Checked, clock_t: int) -> list[LeaseRecord]:
    filed = checked.filed.get("locks")
    known: dict[str, FiledLease] = {}
    if filed is not None:
        known = {one.lock_id: one for one in state_files.leases_of(*filed)}
    records = []
    for lock_id, told in checked.replay.held.items():
        lease = known.get(lock_id)
        record = _lease(checked, told, clock_t)
        if lease is not None:
            record = _as_filed(record, lease, clock_t)
        records.append(record)
    records += [_lease(checked, told, clock_t) for told in checked.replay.ended.values()]
    return sorted(records, key=lambda lease: lease.fencing_token)


def _lease(checked: Checked, told: dict[str, Any], clock_t: int) -> LeaseRecord:
    kept = checked.upkeep.get(f"lease:{told['lock_id']}", NOTHING_KEPT)
    age = _age_ms(checked, told["acquired_at"])
    ended = told.get("ended")
    return LeaseRecord(
        lock_id=told["lock_id"],
        resource=told["resource"],
        mode=LeaseMode(told["mode"]),
        holder=told["holder"],
        task_id=told["task_id"],
        acquired_at=told["acquired_at"],
        ttl_ms=told["ttl_seconds"] * 1000,
        heartbeat_t=clock_t,
        heartbeat_at=told["heartbeat_at"],
        fencing_token=told["fencing_token"],
        acquired_t=_first(kept.acquired_t, clock_t - age),
        told=kept.told,
        ended=None if ended is None else LeaseState(ended),
        ended_t=None if ended is None else clock_t,
        ended_at=told.get("ended_at"),
    )


def _as_filed(record: LeaseRecord, lease: FiledLease, clock_t: int) -> LeaseRecord:
    """The lease with its last heartbeat; live it has its whole TTL again, stale it stays over."""
    ttl_ms = lease.ttl_seconds * 1000
    over = lease.state is LeaseState.STALE
    return LeaseRecord(
        **{
            **record.__dict__,
            "ttl_ms": ttl_ms,
            "heartbeat_at": lease.heartbeat_at,
            "heartbeat_t": clock_t - ttl_ms - 1 if over else clock_t,
            "is_quiet": lease.quiet,
        }
    )


def _agents(checked: Checked, clock_t: int) -> list[AgentRecord]:
    filed = checked.filed.get("agents")
    seen: dict[str, str] = {}
    if filed is not None:
        seen = {one.name: one.last_seen for one in state_files.agents_of(*filed)}
    records = []
    for name, told in checked.replay.agents.items():
        last_seen = max(told["last_seen"], seen.get(name, ""))
        kept = checked.upkeep.get(f"agent:{name}", NOTHING_KEPT)
        since = clock_t - _age_ms(checked, last_seen)
        records.append(
            AgentRecord(
                agent=Agent.model_validate({**told, "last_seen": last_seen}),
                principal=kept.principal,
                seen_t=_first(kept.seen_t, since),
                active_t=_first(kept.active_t, since),
            )
        )
    return records


def _inboxes(checked: Checked) -> dict[str, tuple[int, list[Message]]]:
    found = {one.agent: (one.read_through, list(one.messages)) for one in checked.inboxes}
    for name, messages in checked.replay.inboxes.items():
        through, unread = found.get(name, (0, []))
        added = [Message.model_validate(message) for message in messages]
        found[name] = (through, [*unread, *added])
    return found
