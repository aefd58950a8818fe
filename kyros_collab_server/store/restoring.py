"""Restoring: a whole workspace is put into an empty store, its log to the byte."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

from kyros_collab_server.features.agents.rules import AgentRecord
from kyros_collab_server.features.events.model import Checkpoint, CheckpointKey
from kyros_collab_server.features.identity.model import Workspace
from kyros_collab_server.features.leases.rules import LeaseRecord
from kyros_collab_server.features.messages.model import Message
from kyros_collab_server.features.tasks.model import UNDO_WITHIN_MS
from kyros_collab_server.features.tasks.rules import TaskRecord
from kyros_collab_server.store.boot import META, SET_META
from kyros_collab_server.store.dialect import SqliteDb
from kyros_collab_server.store.events import COLUMNS
from kyros_collab_server.store.work import SqlWork

CHUNK = 2_000
"""Events that one statement inserts."""
EVENT_AT = "SELECT hash FROM events WHERE workspace = :workspace AND seq = :seq"
SET_VERSION = """
INSERT INTO kinds (workspace, kind, version) VALUES (:workspace, :kind, :version)
ON CONFLICT (workspace, kind) DO UPDATE SET version = excluded.version
"""


class Board(Protocol):
    """A workspace as it was elsewhere. Its `_t` times are of a clock that stood at `clock_t`."""

    @property
    def name(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def hash(self) -> str: ...
    @property
    def clock_t(self) -> int: ...
    @property
    def workspace(self) -> Workspace | None: ...
    @property
    def tasks(self) -> Sequence[tuple[int, TaskRecord]]:
        """Tasks with their place in the order of creation."""
        ...

    @property
    def leases(self) -> Sequence[LeaseRecord]: ...
    @property
    def agents(self) -> Sequence[AgentRecord]: ...
    @property
    def inboxes(self) -> Mapping[str, tuple[int, Sequence[Message]]]:
        """Up to which seq each agent has read, and what it has not."""
        ...

    @property
    def versions(self) -> Mapping[str, int]: ...
    @property
    def checkpoints(self) -> Sequence[Checkpoint]: ...
    @property
    def keys(self) -> Sequence[CheckpointKey]: ...
    def rows(self) -> Iterable[dict[str, Any]]:
        """Every event: seq, ts, event, actor, target, hash, body."""
        ...


class Outcome(StrEnum):
    """What became of a board that was to be restored."""

    RESTORED = "restored"
    ALREADY_THERE = "already there"
    """The store holds this very log, or one that goes on from it."""
    NOT_EMPTY = "not empty"
    """The store holds another log; nothing was changed."""


def is_empty(work: SqlWork) -> bool:
    """True while nothing ever happened in any workspace."""
    return work.db.one("SELECT 1 FROM events LIMIT 1") is None


def holds(work: SqlWork, seq: int, digest: str) -> bool:
    """True when the log has the event of this seq and hash."""
    row = work.db.one(EVENT_AT, {"workspace": work.workspace, "seq": seq})
    return row is not None and row[0] == digest


def restore(work: SqlWork, board: Board) -> Outcome:
    """An empty workspace is the board: same state, seqs and hashes, under a new epoch.

    Time goes on where the board's clock stood, every live lease has its whole TTL before it, and
    no move of before can be undone.
    """
    if holds(work, board.seq, board.hash):
        return Outcome.ALREADY_THERE
    if not is_empty(work):
        return Outcome.NOT_EMPTY
    now = _clock_goes_on(work, board.clock_t + UNDO_WITHIN_MS + 1)
    later = now - board.clock_t
    _put_log(work, board, now)
    if board.workspace is not None and work.workspaces.get(work.workspace) is None:
        work.workspaces.insert(board.workspace)
    for place, task in board.tasks:
        work.tasks.insert(_task_later(task, later), place)
        work.tasks.set_dependencies(task.task.id, task.task.depends_on)
    for lease in board.leases:
        work.leases.insert(_lease_later(lease, later))
    for agent in board.agents:
        seen_t, active_t = max(0, agent.seen_t + later), max(0, agent.active_t + later)
        work.agents.save(replace(agent, seen_t=seen_t, active_t=active_t))
    for name, (through, messages) in board.inboxes.items():
        for message in messages:
            work.inboxes.put([name], message)
        work.inboxes.acknowledge(name, through)
    for kind, version in board.versions.items():
        # The batch's end makes it one more.
        work.batch.touch(work.workspace, kind)
        params = {"workspace": work.workspace, "kind": kind, "version": version - 1}
        work.db.run(SET_VERSION, params)
    work.db.run(SET_META, {"name": "epoch", "value": secrets.token_hex(8)})
    return Outcome.RESTORED


def _clock_goes_on(work: SqlWork, least: int) -> int:
    """The steady time from which the restored store goes on.

    On SQLite the clock is set forward where it stands before the board's; Postgres keeps its own.
    """
    now = work.now
    if now >= least or not isinstance(work.db, SqliteDb):
        return now
    row = work.db.one(META, {"name": "clock_offset_ms"})
    offset = (int(row[0]) if row else 0) + least - now
    work.db.run(SET_META, {"name": "clock_offset_ms", "value": str(offset)})
    return least


def _put_log(work: SqlWork, board: Board, now: int) -> None:
    rows = iter(board.rows())
    while chunk := list(islice(rows, CHUNK)):
        added = [{**row, "workspace": work.workspace, "t": now} for row in chunk]
        work.db.insert("events", COLUMNS, added)
    for key in board.keys:
        work.checkpoints.publish(key)
    for checkpoint in board.checkpoints:
        work.checkpoints.add(checkpoint)


def _task_later(record: TaskRecord, later: int) -> TaskRecord:
    def moved(t: int | None) -> int | None:
        return None if t is None else max(0, t + later)

    return replace(record, ready_t=moved(record.ready_t), returned_t=moved(record.returned_t))


def _lease_later(lease: LeaseRecord, later: int) -> LeaseRecord:
    return replace(
        lease,
        heartbeat_t=lease.heartbeat_t + later,
        acquired_t=lease.acquired_t + later,
        ended_t=None if lease.ended_t is None else lease.ended_t + later,
    )
