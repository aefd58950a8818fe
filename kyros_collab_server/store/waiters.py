"""The queue for leases and for work: one row a waiter."""

import json
from typing import TYPE_CHECKING

from sqlalchemy import Index

from kyros_collab_server.features.leases.model import LeaseMode
from kyros_collab_server.features.leases.rules import Waiter
from kyros_collab_server.store.dialect import Row
from kyros_collab_server.store.schema import Table, big, key, text

if TYPE_CHECKING:
    from kyros_collab_server.store.work import SqlWork


class WaiterRow(Table, table=True):
    """Somebody in the queue; `place` orders by arrival within a workspace."""

    __tablename__ = "waiters"
    __table_args__ = (Index("ix_waiters_place", "workspace", "place"),)

    waiter_id: str = key()
    workspace: str = text()
    place: int = big()
    holder: str = text()
    is_claim: int = big()
    resources: str = text()
    mode: str = text()
    role: str | None = text(null=True)
    skills: str = text()
    deadline_t: int = big()
    alive_t: int = big()


_FIELDS = "waiter_id place holder is_claim resources mode role skills deadline_t alive_t".split()
ALL = f"SELECT {', '.join(_FIELDS)} FROM waiters WHERE workspace = :workspace ORDER BY place"
INSERT = (
    f"INSERT INTO waiters (workspace, {', '.join(_FIELDS)}) "
    f"VALUES (:workspace, {', '.join(f':{name}' for name in _FIELDS)})"
)
NEXT = "SELECT coalesce(max(place), 0) + 1 FROM waiters WHERE workspace = :workspace"
HEARD_OF = "UPDATE waiters SET alive_t = :alive_t WHERE waiter_id = :waiter_id"
DELETE = "DELETE FROM waiters WHERE waiter_id = :waiter_id"
PRUNE = """
DELETE FROM waiters WHERE workspace = :workspace AND (deadline_t < :now OR alive_t < :now)
"""


class SqlWaiters:
    """Who waits in a work's workspace."""

    def __init__(self, work: "SqlWork") -> None:
        self._db = work.db
        self._here = {"workspace": work.workspace}

    def all(self) -> list[Waiter]:
        """Everybody in the queue, those whose time is over included, in order of arrival."""
        return [_waiter(row) for row in self._db.all(ALL, self._here)]

    def next_place(self) -> int:
        """The place after all others."""
        row = self._db.one(NEXT, self._here)
        return int(row[0]) if row else 1

    def insert(self, waiter: Waiter) -> None:
        """The waiter stands in the queue."""
        params = {name: getattr(waiter, name) for name in _FIELDS}
        params["is_claim"] = int(waiter.is_claim)
        params["mode"] = waiter.mode.value
        params["resources"] = json.dumps(waiter.resources)
        params["skills"] = json.dumps(waiter.skills)
        self._db.run(INSERT, {**self._here, **params})

    def heard_of(self, waiter_id: str, alive_t: int) -> None:
        """The waiter is alive until then."""
        self._db.run(HEARD_OF, {"waiter_id": waiter_id, "alive_t": alive_t})

    def delete(self, waiter_id: str) -> None:
        """The waiter has left the queue."""
        self._db.run(DELETE, {"waiter_id": waiter_id})

    def prune(self, now: int) -> None:
        """Waiters whose time is over are gone."""
        self._db.run(PRUNE, {**self._here, "now": now})


def _waiter(row: Row) -> Waiter:
    values = dict(zip(_FIELDS, row, strict=True))
    values["is_claim"] = bool(values["is_claim"])
    values["mode"] = LeaseMode(values["mode"])
    values["resources"] = tuple(json.loads(values["resources"]))
    values["skills"] = tuple(json.loads(values["skills"]))
    return Waiter(**values)
