"""Leases: one row each, kept after the end for those who ask what became of it."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import CheckConstraint, Index
from sqlalchemy import text as sql

from kyros_collab_server.features.leases.model import LeaseMode, LeaseState
from kyros_collab_server.features.leases.rules import PATH, LeaseRecord
from kyros_collab_server.store.dialect import Row
from kyros_collab_server.store.schema import Table, big, key, text

if TYPE_CHECKING:
    from kyros_collab_server.store.work import SqlWork

_HELD = sql("ended IS NULL")
_UNTOLD = sql("told = 0")


def _held_index(name: str, *columns: str) -> Index:
    return Index(name, *columns, sqlite_where=_HELD, postgresql_where=_HELD)


class LeaseRow(Table, table=True):
    """A lease; `expires_t = heartbeat_t + ttl_ms`, both steady milliseconds."""

    __tablename__ = "leases"
    __table_args__ = (
        CheckConstraint("mode IN ('exclusive', 'shared')", name="mode"),
        CheckConstraint("ended IN ('released', 'reclaimed')", name="ended"),
        Index("ix_leases_fence", "workspace", "resource", "fencing_token"),
        _held_index("ix_leases_held_resource", "workspace", "resource"),
        _held_index("ix_leases_held_path", "workspace", "is_path"),
        _held_index("ix_leases_held_holder", "workspace", "holder"),
        _held_index("ix_leases_held_task", "workspace", "task_id"),
        _held_index("ix_leases_held_expiry", "workspace", "expires_t"),
        Index(
            "ix_leases_untold",
            "workspace",
            "holder",
            sqlite_where=_UNTOLD,
            postgresql_where=_UNTOLD,
        ),
    )

    lock_id: str = key()
    workspace: str = text()
    resource: str = text()
    is_path: int = big()
    mode: str = text()
    holder: str = text()
    task_id: str | None = text(null=True)
    acquired_at: str = text()
    ttl_ms: int = big()
    heartbeat_t: int = big()
    heartbeat_at: str = text()
    expires_t: int = big()
    fencing_token: int = big()
    acquired_t: int = big()
    is_quiet: int = big()
    told: int = big()
    ended: str | None = text(null=True)
    ended_t: int | None = big(null=True)
    ended_at: str | None = text(null=True)


_FIELDS = tuple(field.name for field in fields(LeaseRecord))
_STORED = (*_FIELDS, "workspace", "is_path", "expires_t")
_SELECT = f"SELECT {', '.join(_FIELDS)} FROM leases WHERE workspace = :workspace"
_HELD_NOW = f"{_SELECT} AND ended IS NULL"
GET = f"{_SELECT} AND lock_id = :lock_id"
HELD_ON = f"{_HELD_NOW} AND resource = :resource"
HELD_PATHS = f"{_HELD_NOW} AND is_path = 1"
HELD_BY = f"{_HELD_NOW} AND holder = :holder ORDER BY fencing_token"
COUNT_HELD_BY = """
SELECT count(*) FROM leases WHERE workspace = :workspace AND ended IS NULL AND holder = :holder
"""
HELD_FOR = f"{_HELD_NOW} AND task_id = :task_id ORDER BY fencing_token"
HELD = f"{_HELD_NOW} ORDER BY resource, fencing_token"
STALE = f"{_HELD_NOW} AND expires_t < :now ORDER BY expires_t LIMIT :limit"
UNTOLD = f"{_SELECT} AND holder = :holder AND told = 0 ORDER BY ended_t LIMIT :limit"
LOST = """
SELECT 1 FROM leases WHERE workspace = :workspace AND resource = :resource
AND holder = :holder AND ended = 'reclaimed' LIMIT 1
"""
HIGHEST = """
SELECT max(fencing_token) FROM leases WHERE workspace = :workspace AND resource = :resource
"""
INSERT = (
    f"INSERT INTO leases ({', '.join(_STORED)}) "
    f"VALUES ({', '.join(f':{name}' for name in _STORED)})"
)
SAVE = """
UPDATE leases SET task_id = :task_id, mode = :mode, fencing_token = :fencing_token,
ttl_ms = :ttl_ms, heartbeat_t = :heartbeat_t, heartbeat_at = :heartbeat_at,
expires_t = :expires_t, is_quiet = :is_quiet, told = :told, ended = :ended,
ended_t = :ended_t, ended_at = :ended_at
WHERE lock_id = :lock_id
"""


class SqlLeases:
    """The leases of a work's workspace."""

    def __init__(self, work: "SqlWork") -> None:
        self._work = work
        self._db = work.db
        self._here = {"workspace": work.workspace}
        self._paths: list[LeaseRecord] | None = None

    def get(self, lock_id: str) -> LeaseRecord | None:
        """The lease of this id, ended ones included, or None."""
        row = self._db.one(GET, {**self._here, "lock_id": lock_id})
        return None if row is None else _record(row)

    def held_on(self, resource: str) -> list[LeaseRecord]:
        """Held leases on exactly this resource."""
        return self._all(HELD_ON, resource=resource)

    def held_paths(self) -> list[LeaseRecord]:
        """Held leases on paths; read once for each operation that changes none of them."""
        if self._paths is None:
            self._paths = self._all(HELD_PATHS)
        return list(self._paths)

    def held_by(self, holder: str) -> list[LeaseRecord]:
        """Held leases of a holder, in order of grant."""
        return self._all(HELD_BY, holder=holder)

    def count_held_by(self, holder: str) -> int:
        """How many leases a holder holds, stale ones included."""
        row = self._db.one(COUNT_HELD_BY, {**self._here, "holder": holder})
        return int(row[0]) if row else 0

    def held_for(self, task_id: str) -> list[LeaseRecord]:
        """Held leases that came with the claim of a task, in order of grant."""
        return self._all(HELD_FOR, task_id=task_id)

    def held(self) -> list[LeaseRecord]:
        """Held leases, by resource."""
        return self._all(HELD)

    def stale(self, now: int, limit: int) -> list[LeaseRecord]:
        """Held leases past their TTL, the longest past first."""
        return self._all(STALE, now=now, limit=limit)

    def untold(self, holder: str, limit: int) -> list[LeaseRecord]:
        """Reclaimed leases that their holder does not know of yet, the oldest first."""
        return self._all(UNTOLD, holder=holder, limit=limit)

    def was_reclaimed_from(self, resource: str, holder: str) -> bool:
        """True when this holder ever lost a lease on this resource."""
        params = {**self._here, "resource": resource, "holder": holder}
        return self._db.one(LOST, params) is not None

    def highest_token(self, resource: str) -> int | None:
        """The highest token ever granted on the resource, or None."""
        row = self._db.one(HIGHEST, {**self._here, "resource": resource})
        return row[0] if row else None

    def insert(self, lease: LeaseRecord) -> None:
        """The lease is stored, and the kind has a new version."""
        self._write(INSERT, lease)

    def save(self, lease: LeaseRecord) -> None:
        """What may change of the lease is stored, and the kind has a new version."""
        self._write(SAVE, lease)

    def kind_etag(self) -> str:
        """The tag of all held leases of the workspace."""
        return self._work.kind_etag("locks")

    def _all(self, statement: str, **params: Any) -> list[LeaseRecord]:
        return [_record(row) for row in self._db.all(statement, {**self._here, **params})]

    def _write(self, statement: str, lease: LeaseRecord) -> None:
        params = {name: getattr(lease, name) for name in _FIELDS}
        params["mode"] = lease.mode.value
        params["ended"] = None if lease.ended is None else lease.ended.value
        params["is_quiet"], params["told"] = int(lease.is_quiet), int(lease.told)
        params["is_path"] = int(lease.resource.startswith(PATH))
        params["expires_t"] = lease.heartbeat_t + lease.ttl_ms
        self._db.run(statement, {**self._here, **params})
        self._paths = None
        self._work.batch.touch(self._work.workspace, "locks")


def _record(row: Row) -> LeaseRecord:
    values = dict(zip(_FIELDS, row, strict=True))
    values["mode"] = LeaseMode(values["mode"])
    values["is_quiet"], values["told"] = bool(values["is_quiet"]), bool(values["told"])
    values["ended"] = None if values["ended"] is None else LeaseState(values["ended"])
    return LeaseRecord(**values)
