"""A unit of work: one operation's view of the batch that it runs in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from kyros_collab_server.features.events.ports import Delivery, LateResults, Signer
from kyros_collab_server.features.leases.ports import LeaseEnded
from kyros_collab_server.kernel.etag import kind_etag
from kyros_collab_server.kernel.paging import CursorSeal
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.kernel.time import rfc3339
from kyros_collab_server.store.agents import SqlAgents, SqlInboxes
from kyros_collab_server.store.checkpoints import SqlCheckpoints
from kyros_collab_server.store.dialect import Db, Row
from kyros_collab_server.store.events import COLUMNS, EMPTY, HEAD, LogHead, SqlEventLog
from kyros_collab_server.store.identity import SqlKeys, SqlWorkspaces
from kyros_collab_server.store.leases import SqlLeases
from kyros_collab_server.store.replays import SqlReplays
from kyros_collab_server.store.tasks import SqlTasks
from kyros_collab_server.store.waiters import SqlWaiters

Kind = Literal["tasks", "locks", "agents"]

KIND_VERSION = """
SELECT version FROM kinds WHERE workspace = :workspace AND kind = :kind
"""
BUMP_KIND = """
INSERT INTO kinds (workspace, kind, version) VALUES (:workspace, :kind, 1)
ON CONFLICT (workspace, kind) DO UPDATE SET version = kinds.version + 1
"""
MEMBERS: Mapping[str, str] = {
    "tasks": "SELECT id, etag FROM tasks WHERE workspace = :workspace",
    "agents": "SELECT name, etag FROM agents WHERE workspace = :workspace",
    "locks": "SELECT lock_id, fencing_token || '.' || heartbeat_t || '.' || ttl_ms FROM leases "
    "WHERE workspace = :workspace AND ended IS NULL",
}


@dataclass
class Shared:
    """What all works of an open store share: its epoch, seal, hooks, and remembered tags."""

    epoch: str
    seal: CursorSeal
    deliver: Delivery
    lease_ended: Sequence[LeaseEnded]
    late_result: LateResults
    signer: Signer
    kind_etags: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)


class Batch:
    """One transaction: the events to come, the heads they extend, the kinds that changed."""

    def __init__(self, db: Db, shared: Shared, steady_ms: int, wall_ms: int) -> None:
        self.db = db
        self.shared = shared
        self.epoch = shared.epoch
        self.steady_ms = steady_ms
        self.wall_ms = wall_ms
        self.beats: list[tuple[str, dict[str, Any]]] = []
        self._heads: dict[str, LogHead] = {}
        self._read: dict[str, LogHead] = {}
        self._events: list[dict[str, Any]] = []
        self._written = 0
        self._touched: set[tuple[str, str]] = set()

    def head_of(self, workspace: str) -> LogHead:
        """Seq, hash and steady time of the newest event, those of this batch included."""
        if workspace not in self._heads:
            self.know_head(workspace, self.db.one(HEAD, {"workspace": workspace}))
        return self._heads[workspace]

    def know_head(self, workspace: str, row: Row | None) -> None:
        """The head of a workspace as the store has it; nothing was appended yet."""
        head = EMPTY if row is None else LogHead(*row)
        self._heads[workspace] = self._read[workspace] = head

    def append(self, row: dict[str, Any]) -> None:
        """The event follows all others of its workspace."""
        self._events.append(row)
        self._heads[row["workspace"]] = LogHead(row["seq"], row["hash"], row["t"], row["ts"])

    def flush_events(self) -> None:
        """Every event so far is in the table, for statements that read it."""
        if self._written < len(self._events):
            self.db.insert("events", COLUMNS, self._events[self._written :])
            self._written = len(self._events)

    def touch(self, workspace: str, kind: str) -> None:
        """The kind gets a new version at the end of the batch."""
        self._touched.add((workspace, kind))

    def mark(self) -> tuple[int, int, dict[str, LogHead], int]:
        """Where the batch stands, for `back_to`."""
        return len(self._events), self._written, dict(self._heads), len(self.beats)

    def back_to(self, mark: tuple[int, int, dict[str, LogHead], int]) -> None:
        """The batch stands where it stood; the caller rolled its savepoint back."""
        count, self._written, heads, beats = mark
        del self._events[count:]
        del self.beats[beats:]
        self._heads = {**self._read, **heads}

    def finish(self) -> dict[str, int]:
        """Events and kind versions are written; returns the new head of each grown workspace."""
        self.flush_events()
        for workspace, kind in sorted(self._touched):
            self.db.run(BUMP_KIND, {"workspace": workspace, "kind": kind})
        return {row["workspace"]: row["seq"] for row in self._events}


class SqlWork:
    """One operation inside a batch, or one snapshot read."""

    def __init__(self, batch: Batch, principal: Principal) -> None:
        self.batch = batch
        self.db = batch.db
        self.principal = principal
        self.workspace = principal.workspace
        self.actor = principal.actor
        self.wall_ms = batch.wall_ms
        self.seal = batch.shared.seal
        self.deliver = batch.shared.deliver
        self.late_result = batch.shared.late_result
        self.lease_ended = batch.shared.lease_ended
        self.signer = batch.shared.signer

    @cached_property
    def now(self) -> int:
        """Steady milliseconds, never before the workspace's last event."""
        return max(self.batch.steady_ms, self.batch.head_of(self.workspace).t)

    @cached_property
    def ts(self) -> str:
        """Wall time as RFC 3339 text, for display; never before the workspace's last event."""
        return max(rfc3339(self.wall_ms), self.batch.head_of(self.workspace).ts)

    @cached_property
    def events(self) -> SqlEventLog:
        """The log of the workspace."""
        return SqlEventLog(self)

    @cached_property
    def tasks(self) -> SqlTasks:
        """The tasks of the workspace."""
        return SqlTasks(self)

    @cached_property
    def leases(self) -> SqlLeases:
        """The leases of the workspace."""
        return SqlLeases(self)

    @cached_property
    def waiters(self) -> SqlWaiters:
        """The queue of the workspace."""
        return SqlWaiters(self)

    @cached_property
    def agents(self) -> SqlAgents:
        """The agents of the workspace."""
        return SqlAgents(self)

    @property
    def roster(self) -> SqlAgents:
        """The agents as those who can be written to."""
        return self.agents

    @cached_property
    def checkpoints(self) -> SqlCheckpoints:
        """The signed checkpoints of the workspace."""
        return SqlCheckpoints(self)

    @cached_property
    def inboxes(self) -> SqlInboxes:
        """The inboxes of the workspace."""
        return SqlInboxes(self)

    @cached_property
    def keys(self) -> SqlKeys:
        """All keys of the deployment."""
        return SqlKeys(self)

    @cached_property
    def workspaces(self) -> SqlWorkspaces:
        """All workspaces of the deployment."""
        return SqlWorkspaces(self)

    @cached_property
    def replays(self) -> SqlReplays:
        """Stored answers of the caller."""
        return SqlReplays(self)

    def beat(self, lock_id: str, holder: str, heartbeat_at: str) -> None:
        """A `beat` frame goes out after the commit."""
        frame = {"lock_id": lock_id, "holder": holder, "heartbeat_at": heartbeat_at}
        self.batch.beats.append((self.workspace, frame))

    def kind_etag(self, kind: str) -> str:
        """The tag of all entities of a kind; computed once for each version of the kind."""
        here = {"workspace": self.workspace}
        row = self.db.one(KIND_VERSION, {**here, "kind": kind})
        version = int(row[0]) if row else 0
        remembered = self.batch.shared.kind_etags.get((self.workspace, kind))
        if remembered is not None and remembered[0] == version:
            return remembered[1]
        tag = kind_etag(version, [(row[0], row[1]) for row in self.db.all(MEMBERS[kind], here)])
        self.batch.shared.kind_etags[(self.workspace, kind)] = (version, tag)
        return tag
