"""Exporting: what a workspace's log and state are in one snapshot, in plain values."""

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, TypeVar

from kyros_collab_server.features.events.model import EventName
from kyros_collab_server.features.leases import rules
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.store.dialect import listed
from kyros_collab_server.store.readers import Readers
from kyros_collab_server.store.work import MEMBERS, SqlWork

R = TypeVar("R")
IDS = 500
"""Ids that one statement names."""
CHECKPOINTS = 100_000
"""More than any log has; they are few and small."""
LINES = """
SELECT seq, event, target, hash, body FROM events
WHERE workspace = :workspace AND seq > :after ORDER BY seq LIMIT :limit
"""
HASH = "SELECT hash FROM events WHERE workspace = :workspace AND seq = :seq"
VERSIONS = "SELECT kind, version FROM kinds WHERE workspace = :workspace"
TASKS = """
SELECT id, etag, document, ready_t, returned_t, assignee_principal FROM tasks
WHERE workspace = :workspace
"""
AGENTS = """
SELECT name, etag, document, principal, seen_t, active_t FROM agents WHERE workspace = :workspace
"""
UNTOLD = "SELECT lock_id FROM leases WHERE workspace = :workspace AND told = 0"
MARKS = """
SELECT a.name, coalesce(m.through, 0) FROM agents a LEFT JOIN inbox_marks m
ON m.workspace = a.workspace AND m.recipient = a.name WHERE a.workspace = :workspace
"""
UNREAD = """
SELECT seq, document FROM inbox
WHERE workspace = :workspace AND recipient = :recipient AND seq > :after ORDER BY seq
"""


class ChainedLine(NamedTuple):
    """An event as it was chained: its exact text, and what one looks at without parsing it."""

    seq: int
    event: str
    target: str | None
    hash: str
    body: str


class StateEntry(NamedTuple):
    """One entity: its id, its tag, what is published of it, and what the store keeps beside."""

    id: str
    tag: str
    public: dict[str, Any]
    kept: dict[str, Any]


class SqlExport:
    """A workspace in one snapshot. Times ending in `_t` are steady milliseconds of this store."""

    def __init__(self, work: SqlWork) -> None:
        self._work = work
        self._db = work.db
        self._here = {"workspace": work.workspace}

    @property
    def now_t(self) -> int:
        """This instant on the store's steady clock."""
        return self._work.now

    @property
    def epoch(self) -> str:
        """The life of the log."""
        return self._work.batch.epoch

    def head(self) -> tuple[int, str]:
        """Seq and hash of the newest event."""
        head = self._work.events.head()
        return head.seq, head.hash

    def hash_at(self, seq: int) -> str | None:
        """The hash of the event of this seq, or None."""
        row = self._db.one(HASH, {**self._here, "seq": seq})
        return None if row is None else str(row[0])

    def lines(self, after: int, limit: int) -> list[ChainedLine]:
        """The events that follow a seq, in order."""
        rows = self._db.all(LINES, {**self._here, "after": after, "limit": limit})
        return [ChainedLine(*row) for row in rows]

    def log_entries(self, after: int) -> list[tuple[int, str, str, str]]:
        """`(seq, ts, author, text)` of what was written into the human log after a seq."""
        events = self._work.events.scan((EventName.LOG_APPENDED,), self.head()[0])
        return [
            (one.seq, one.ts, one.actor, str(one.details.get("text", "")))
            for one in events
            if one.seq > after
        ]

    def versions(self) -> dict[str, int]:
        """How often each kind changed."""
        return {row[0]: row[1] for row in self._db.all(VERSIONS, self._here)}

    def tasks(self, ids: Collection[str] | None = None) -> Iterator[StateEntry]:
        """These tasks; where no ids are named all, in order of creation."""
        if ids is None:
            rows = self._db.all(f"{TASKS} ORDER BY place", self._here)
        else:
            rows, asked = [], sorted(ids)
            for start in range(0, len(asked), IDS):
                listing, params = listed("id", asked[start : start + IDS])
                rows += self._db.all(f"{TASKS} AND id IN ({listing})", {**self._here, **params})
        for ident, etag, document, ready_t, returned_t, principal in rows:
            kept = {"ready_t": ready_t, "returned_t": returned_t, "assignee_principal": principal}
            yield StateEntry(ident, etag, json.loads(document), kept)

    def leases(self) -> Iterator[StateEntry]:
        """The held leases, stale ones included."""
        tags = {row[0]: row[1] for row in self._db.all(MEMBERS["locks"], self._here)}
        for lease in self._work.leases.held():
            shown = rules.published(lease, self._work.now, self._work.wall_ms)
            public = shown.model_dump(mode="json", exclude={"expires_in_ms"})
            kept = {"acquired_t": lease.acquired_t}
            yield StateEntry(lease.lock_id, tags[lease.lock_id], public, kept)

    def untold(self) -> list[str]:
        """The leases that were reclaimed and whose holders do not know yet."""
        return [row[0] for row in self._db.all(UNTOLD, self._here)]

    def agents(self) -> Iterator[StateEntry]:
        """Every agent."""
        for name, etag, document, principal, seen_t, active_t in self._db.all(AGENTS, self._here):
            kept = {"principal": principal, "seen_t": seen_t, "active_t": active_t}
            yield StateEntry(name, etag, json.loads(document), kept)

    def marks(self) -> dict[str, int]:
        """Up to which seq each agent has acknowledged its messages."""
        return {row[0]: row[1] for row in self._db.all(MARKS, self._here)}

    def messages(self, recipient: str, after: int) -> list[tuple[int, dict[str, Any]]]:
        """What lies in an agent's inbox after a seq."""
        params = {**self._here, "recipient": recipient, "after": after}
        return [(row[0], json.loads(row[1])) for row in self._db.all(UNREAD, params)]

    def checkpoints(self, after: int) -> list[dict[str, Any]]:
        """The signed checkpoints after a seq, in order."""
        found = self._work.checkpoints.after(after, CHECKPOINTS)
        return [one.model_dump(mode="json") for one in found]

    def keys(self) -> list[dict[str, Any]]:
        """The public keys that checkpoints are signed by, as JSON Web Keys."""
        found = self._work.checkpoints.keys()
        return [one.model_dump(mode="json") for one in found]

    def workspace(self) -> dict[str, Any]:
        """The workspace and its settings."""
        found = self._work.workspaces.get(self._work.workspace)
        return {} if found is None else found.model_dump(mode="json")


class Exports:
    """Reads a workspace for whoever keeps a copy of it; on the calling thread."""

    def __init__(self, readers: Readers, workspace: str) -> None:
        self._readers = readers
        self._principal = Principal(id="system", scopes=frozenset(), workspace=workspace)

    def read(self, look: Callable[[SqlExport], R]) -> R:
        """What the look finds in one snapshot.

        Raises:
            StoreUnavailable: the store could not be reached.
        """
        return self._readers.read_here(self._principal, lambda work: look(SqlExport(work)))
