"""The log: one row an event, the exact chained text beside its columns."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Index

from kyros_collab_server.features.events import rules
from kyros_collab_server.features.events.model import GENESIS, Event, EventFilter, Head
from kyros_collab_server.store.dialect import Row, like, listed
from kyros_collab_server.store.schema import Table, big, big_key, key, text

if TYPE_CHECKING:
    from kyros_collab_server.store.work import SqlWork

SCAN = 20_000
"""Rows of the log that one filtered read looks at; the cursor tells how far it came."""


class EventRow(Table, table=True):
    """An event. `body` is the chained text; nothing updates or deletes a row (triggers)."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_target", "workspace", "target", "seq"),)

    workspace: str = key()
    seq: int = big_key()
    t: int = big()
    ts: str = text()
    event: str = text()
    actor: str = text()
    target: str | None = text(null=True)
    hash: str = text()
    body: str = text()


COLUMNS = {
    "workspace": "text",
    "seq": "bigint",
    "t": "bigint",
    "ts": "text",
    "event": "text",
    "actor": "text",
    "target": "text",
    "hash": "text",
    "body": "text",
}
HEAD = """
SELECT seq, hash, t, ts FROM events WHERE workspace = :workspace ORDER BY seq DESC LIMIT 1
"""
ONE = "SELECT body, hash FROM events WHERE workspace = :workspace AND seq = :seq"
TALLY = {
    column: f"SELECT {column}, count(*) FROM events WHERE workspace = :workspace "
    f"AND seq > :after AND seq <= :through GROUP BY {column} "
    f"ORDER BY count(*) DESC, {column} LIMIT :limit"
    for column in ("event", "actor")
}
TS_OF = "SELECT ts FROM events WHERE workspace = :workspace AND seq = :seq"


class LogHead(NamedTuple):
    """The newest event of a workspace: its seq, hash, steady time in ms, and wall time."""

    seq: int
    hash: str
    t: int
    ts: str


EMPTY = LogHead(0, GENESIS, 0, "")
"""The head of an empty log."""


class SqlEventLog:
    """The log of a work's workspace. Appended events are written once, at the end of the batch."""

    def __init__(self, work: "SqlWork") -> None:
        self._work = work
        self._workspace = work.workspace

    @property
    def next_seq(self) -> int:
        """The seq that the next appended event gets."""
        return self._work.batch.head_of(self._workspace).seq + 1

    def append(self, event: str, target: str | None, details: dict[str, Any]) -> int:
        """The event is part of this transaction; returns its seq."""
        return self.append_as(self._work.actor, event, target, details)

    def append_as(self, actor: str, event: str, target: str | None, details: dict[str, Any]) -> int:
        """The event is part of this transaction, by another author; returns its seq."""
        work = self._work
        head = work.batch.head_of(self._workspace)
        seq = head.seq + 1
        line: dict[str, Any] = {
            "seq": seq,
            "ts": work.ts,
            "event": str(event),
            "actor": actor,
            "target": target,
            "details": details,
            "workspace": self._workspace,
            "request_id": work.principal.request_id,
        }
        if work.principal.trace_id is not None:
            line["trace_id"] = work.principal.trace_id
        body, digest = rules.chain(head.hash, line)
        work.batch.append(
            {
                "workspace": self._workspace,
                "seq": seq,
                "t": work.now,
                "ts": work.ts,
                "event": str(event),
                "actor": actor,
                "target": target,
                "hash": digest,
                "body": body,
            }
        )
        return seq

    def head(self) -> Head:
        """The newest event that this work can see."""
        head = self._work.batch.head_of(self._workspace)
        return Head(
            seq=head.seq,
            hash=head.hash,
            epoch=self._work.batch.epoch,
            server_time=self._work.ts,
        )

    def after(self, seq: int, limit: int, wanted: EventFilter) -> tuple[list[Event], int]:
        """Matching events after a seq, and the seq up to which nothing else matches."""
        top = min(self.head().seq, seq + SCAN)
        where, params = _where(wanted)
        rows = self._rows(
            f"AND seq > :after AND seq <= :top {where} ORDER BY seq LIMIT :limit",
            {**params, "after": seq, "top": top, "limit": limit},
        )
        events = [_event(row) for row in rows]
        return events, events[-1].seq if len(events) == limit else max(top, seq)

    def before(self, seq: int | None, limit: int, wanted: EventFilter) -> list[Event]:
        """The newest matching events before a seq, in order of seq."""
        top = self.head().seq + 1 if seq is None else seq
        where, params = _where(wanted)
        rows = self._rows(
            f"AND seq < :top {where} ORDER BY seq DESC LIMIT :limit",
            {**params, "top": top, "limit": limit},
        )
        return [_event(row) for row in reversed(rows)]

    def one(self, seq: int) -> Event | None:
        """The event of this seq, or None."""
        self._work.batch.flush_events()
        row = self._work.db.one(ONE, {"workspace": self._workspace, "seq": seq})
        return None if row is None else _event(row)

    def about(self, target: str, names: Sequence[str], limit: int) -> list[Event]:
        """The newest events of these names about a target, in order of seq."""
        listing, params = listed("name", names)
        rows = self._rows(
            f"AND target = :target AND event IN ({listing}) ORDER BY seq DESC LIMIT :limit",
            {**params, "target": target, "limit": limit},
        )
        return [_event(row) for row in reversed(rows)]

    def scan(self, names: Sequence[str], through: int) -> Iterator[Event]:
        """Every event of these names up to a seq, in order of seq, a page at a time."""
        wanted = EventFilter(types=list(names))
        where, params = _where(wanted)
        after = 0
        while True:
            rows = self._rows(
                f"AND seq > :after AND seq <= :top {where} ORDER BY seq LIMIT {SCAN}",
                {**params, "after": after, "top": through},
            )
            events = [_event(row) for row in rows]
            yield from events
            if len(events) < SCAN:
                return
            after = events[-1].seq

    def last_before(self, ts: str) -> int:
        """The seq of the last event before an instant, by bisection: `ts` never runs back."""
        low, high = 0, self.head().seq
        while low < high:
            middle = (low + high + 1) // 2
            row = self._work.db.one(TS_OF, {"workspace": self._workspace, "seq": middle})
            if row is not None and row[0] < ts:
                low = middle
            else:
                high = middle - 1
        return low

    def tally(self, column: str, after: int, through: int, limit: int) -> list[tuple[str, int]]:
        """The commonest values of `event` or `actor` in a range, and how many events have each."""
        self._work.batch.flush_events()
        params = {"workspace": self._workspace, "after": after, "through": through, "limit": limit}
        return [(str(row[0]), int(row[1])) for row in self._work.db.all(TALLY[column], params)]

    def _rows(self, rest: str, params: dict[str, Any]) -> list[Row]:
        self._work.batch.flush_events()
        sql = f"SELECT body, hash FROM events WHERE workspace = :workspace {rest}"
        return self._work.db.all(sql, {**params, "workspace": self._workspace})


def _where(wanted: EventFilter) -> tuple[str, dict[str, Any]]:
    parts: list[str] = []
    params: dict[str, Any] = {}
    if wanted.actor is not None:
        parts.append("actor = :actor")
        params["actor"] = wanted.actor
    if wanted.target is not None:
        parts.append("target = :target")
        params["target"] = wanted.target
    if wanted.types is not None:
        exact = [name for name in wanted.types if not name.endswith("*")]
        listing, named = listed("type", exact)
        either = [f"event IN ({listing})"]
        params.update(named)
        for place, name in enumerate(one for one in wanted.types if one.endswith("*")):
            either.append(f"event LIKE :family{place} ESCAPE '~'")
            params[f"family{place}"] = like(name[:-1])[1:]
        parts.append(f"({' OR '.join(either)})")
    return "".join(f" AND {part}" for part in parts), params


def _event(row: Row) -> Event:
    return Event.model_construct(
        **{"on_behalf_of": None, "trace_id": None, **json.loads(row[0]), "hash": row[1]}
    )
