"""Tasks: the published shape as one document, and the columns that the indexes need."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import CheckConstraint, Index
from sqlalchemy import text as sql

from kyros_collab_server.features.tasks.model import Card, Priority, Task, TaskStatus
from kyros_collab_server.features.tasks.rules import TaskRecord
from kyros_collab_server.store.dialect import Row, like, listed
from kyros_collab_server.store.schema import Table, big, key, text

if TYPE_CHECKING:
    from kyros_collab_server.store.work import SqlWork

PAGE = 16
"""Ready tasks that one statement of the claim queue fetches."""
_READY = sql("ready_t IS NOT NULL")
_RETURNED = sql("returned_t IS NOT NULL")
_ATTENTION = sql("needs_attention = 1")
_STATUSES = ", ".join(f"'{status}'" for status in TaskStatus)


class TaskRow(Table, table=True):
    """A task. `document` is its published shape; the other columns exist for the indexes.

    `place` orders by creation; `ready_t` is null unless the task can be claimed now.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        CheckConstraint("priority BETWEEN 0 AND 3", name="priority"),
        CheckConstraint("open_dependencies >= 0", name="open_dependencies"),
        Index("ix_tasks_place", "workspace", "place"),
        Index("ix_tasks_status", "workspace", "status", "place"),
        Index("ix_tasks_number", "workspace", "number"),
        Index(
            "ix_tasks_ready",
            "workspace",
            "priority",
            "ready_t",
            "id",
            sqlite_where=_READY,
            postgresql_where=_READY,
        ),
        Index(
            "ix_tasks_critical",
            "workspace",
            "priority",
            "critical_path",
            "ready_t",
            "id",
            sqlite_where=_READY,
            postgresql_where=_READY,
        ),
        Index(
            "ix_tasks_returned",
            "workspace",
            "returned_t",
            sqlite_where=_RETURNED,
            postgresql_where=_RETURNED,
        ),
        Index(
            "ix_tasks_attention",
            "workspace",
            "place",
            sqlite_where=_ATTENTION,
            postgresql_where=_ATTENTION,
        ),
    )

    workspace: str = key()
    id: str = key()
    place: int = big()
    number: int | None = big(null=True)
    status: str = text()
    priority: int = big()
    assignee: str | None = text(null=True)
    assignee_principal: str | None = text(null=True)
    open_dependencies: int = big()
    ready_t: int | None = big(null=True)
    returned_t: int | None = big(null=True)
    critical_path: int = big()
    needs_attention: int = big()
    labels: str = text()
    searched: str = text()
    etag: str = text()
    document: str = text()


class TaskEdgeRow(Table, table=True):
    """A task waits for another."""

    __tablename__ = "task_edges"
    __table_args__ = (Index("ix_task_edges_depends_on", "workspace", "depends_on"),)

    workspace: str = key()
    task_id: str = key()
    depends_on: str = key()


_EDGES = {"workspace": "text", "task_id": "text", "depends_on": "text"}
_RECORD = (
    "document, number, open_dependencies, ready_t, returned_t, assignee_principal, critical_path"
)
_SELECT = f"SELECT {_RECORD} FROM tasks WHERE workspace = :workspace"
GET = f"{_SELECT} AND id = :id"
_READY_NOW = (
    f"SELECT {_RECORD}, id FROM tasks WHERE workspace = :workspace AND priority = :priority "
    "AND ready_t IS NOT NULL"
)
_PAGED = (
    "AND (ready_t > :ready_t OR (ready_t = :ready_t AND id > :id)) "
    f"AND ready_t <= :until ORDER BY ready_t, id LIMIT {PAGE}"
)
READY = f"{_READY_NOW} {_PAGED}"
READY_OF_LENGTH = f"{_READY_NOW} AND critical_path = :length {_PAGED}"
LENGTH_BELOW = """
SELECT max(critical_path) FROM tasks WHERE workspace = :workspace AND priority = :priority
AND ready_t IS NOT NULL AND critical_path < :length
"""
SET_LENGTH = """
UPDATE tasks SET critical_path = :length WHERE workspace = :workspace AND id = :id
"""
RETURNED = f"{_SELECT} AND returned_t IS NOT NULL ORDER BY returned_t"
_COLUMNS = (
    "workspace id place number status priority assignee assignee_principal open_dependencies "
    "ready_t returned_t critical_path needs_attention labels searched etag document"
).split()
INSERT = (
    f"INSERT INTO tasks ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)
SAVE = (
    "UPDATE tasks SET "
    + ", ".join(f"{name} = :{name}" for name in _COLUMNS[4:])
    + " WHERE workspace = :workspace AND id = :id"
)


class SqlTasks:
    """The tasks of a work's workspace."""

    def __init__(self, work: "SqlWork") -> None:
        self._work = work
        self._db = work.db
        self._here = {"workspace": work.workspace}

    def get(self, task_id: str) -> TaskRecord | None:
        """The task of this id, or None."""
        row = self._db.one(GET, {**self._here, "id": task_id})
        return None if row is None else _record(row)

    def insert(self, record: TaskRecord, place: int | None = None) -> None:
        """The task is stored after all others, or at the place it had in another store."""
        at = self._work.events.next_seq if place is None else place
        self._db.run(INSERT, {**self._params(record), "place": at, "number": record.number})
        self._work.batch.touch(self._work.workspace, "tasks")

    def save(self, record: TaskRecord) -> None:
        """The task is stored, and the kind has a new version."""
        self._db.run(SAVE, self._params(record))
        self._work.batch.touch(self._work.workspace, "tasks")

    def _params(self, record: TaskRecord) -> dict[str, Any]:
        task = record.task
        return {
            **self._here,
            "id": task.id,
            "status": task.status.value,
            "priority": task.priority.rank,
            "assignee": task.assignee,
            "assignee_principal": record.assignee_principal,
            "open_dependencies": record.open_dependencies,
            "ready_t": record.ready_t,
            "returned_t": record.returned_t,
            "critical_path": record.critical_path,
            "needs_attention": int(task.needs_attention),
            "labels": "\n".join(["", *task.labels, ""]),
            "searched": f"{task.id} {task.title}".lower(),
            "etag": task.etag,
            "document": task.model_dump_json(),
        }

    def highest_number(self) -> int:
        """The highest n of all ids `T-<n>`; 0 when there is none."""
        row = self._db.one(
            "SELECT coalesce(max(number), 0) FROM tasks WHERE workspace = :workspace", self._here
        )
        return int(row[0]) if row else 0

    def set_dependencies(self, task_id: str, depends_on: Sequence[str]) -> None:
        """The task waits for exactly these."""
        here = {**self._here, "task_id": task_id}
        self._db.run(
            "DELETE FROM task_edges WHERE workspace = :workspace AND task_id = :task_id", here
        )
        rows = [{**here, "depends_on": one} for one in dict.fromkeys(depends_on)]
        if rows:
            self._db.insert("task_edges", _EDGES, rows)

    def dependants(self, task_id: str) -> list[str]:
        """The tasks that wait for this one, by id."""
        rows = self._db.all(
            "SELECT task_id FROM task_edges WHERE workspace = :workspace "
            "AND depends_on = :depends_on ORDER BY task_id",
            {**self._here, "depends_on": task_id},
        )
        return [row[0] for row in rows]

    def dependencies(self, task_ids: Sequence[str]) -> Mapping[str, list[str]]:
        """What each of these tasks waits for; those that wait for nothing are left out."""
        found: dict[str, list[str]] = {}
        for start in range(0, len(task_ids), 500):
            listing, params = listed("id", task_ids[start : start + 500])
            rows = self._db.all(
                "SELECT task_id, depends_on FROM task_edges "
                f"WHERE workspace = :workspace AND task_id IN ({listing})",
                {**self._here, **params},
            )
            for task_id, depends_on in rows:
                found.setdefault(task_id, []).append(depends_on)
        return found

    def statuses(self, task_ids: Sequence[str]) -> Mapping[str, TaskStatus]:
        """The status of each of these tasks that exists."""
        if not task_ids:
            return {}
        listing, params = listed("id", task_ids)
        rows = self._db.all(
            f"SELECT id, status FROM tasks WHERE workspace = :workspace AND id IN ({listing})",
            {**self._here, **params},
        )
        return {row[0]: TaskStatus(row[1]) for row in rows}

    def ready(self, priority: Priority, now: int, ageing_ms: int) -> Iterator[TaskRecord]:
        """Ready tasks of a class in the order of `rules.turn`.

        Those that have aged below class 0 go by age; each younger step goes by critical path.
        """
        here = {**self._here, "priority": priority.rank}
        aged = now - (priority.rank + 1) * ageing_ms
        yield from self._pages(READY, here, -1, aged)
        for step in range(priority.rank, -1, -1):
            after, until = now - (step + 1) * ageing_ms, now - step * ageing_ms
            length = 1 << 53
            while (row := self._db.one(LENGTH_BELOW, {**here, "length": length})) is not None:
                if row[0] is None:
                    break
                length = int(row[0])
                yield from self._pages(READY_OF_LENGTH, {**here, "length": length}, after, until)

    def _pages(
        self, statement: str, params: dict[str, Any], after: int, until: int
    ) -> Iterator[TaskRecord]:
        """Records with `after < ready_t <= until`, oldest first, a page at a time."""
        at: dict[str, Any] = {"ready_t": after, "id": "\U0010ffff", "until": until}
        while True:
            rows = self._db.all(statement, {**params, **at})
            yield from map(_record, rows)
            if len(rows) < PAGE:
                return
            at |= {"ready_t": rows[-1][3], "id": rows[-1][-1]}

    def chains(self, task_ids: Sequence[str]) -> Mapping[str, tuple[TaskStatus, int]]:
        """Status and critical path of each of these tasks that exists."""
        found: dict[str, tuple[TaskStatus, int]] = {}
        for start in range(0, len(task_ids), 500):
            listing, params = listed("id", task_ids[start : start + 500])
            rows = self._db.all(
                "SELECT id, status, critical_path FROM tasks "
                f"WHERE workspace = :workspace AND id IN ({listing})",
                {**self._here, **params},
            )
            found.update({row[0]: (TaskStatus(row[1]), row[2]) for row in rows})
        return found

    def set_critical_path(self, task_id: str, length: int) -> None:
        """The longest chain of open tasks behind this one has this length."""
        self._db.run(SET_LENGTH, {**self._here, "id": task_id, "length": length})

    def returned(self) -> Iterator[TaskRecord]:
        """Tasks in progress without a lease, the one sent back first first."""
        return iter([_record(row) for row in self._db.all(RETURNED, self._here)])

    def counts(self) -> Mapping[TaskStatus, int]:
        """How many tasks stand in each column; empty ones are left out."""
        rows = self._db.all(
            "SELECT status, count(*) FROM tasks WHERE workspace = :workspace GROUP BY status",
            self._here,
        )
        return {TaskStatus(row[0]): row[1] for row in rows}

    def count_blocked(self) -> int:
        """Queued tasks with open dependencies."""
        return self._count("status = 'queued' AND open_dependencies > 0")

    def count_attention(self) -> int:
        """Tasks that wait for a person."""
        return self._count("needs_attention = 1")

    def _count(self, where: str) -> int:
        row = self._db.one(
            f"SELECT count(*) FROM tasks WHERE workspace = :workspace AND {where}", self._here
        )
        return int(row[0]) if row else 0

    def needing_attention(self, limit: int) -> list[Task]:
        """Tasks that wait for a person, oldest first."""
        rows = self._db.all(
            f"{_SELECT} AND needs_attention = 1 ORDER BY place LIMIT :limit",
            {**self._here, "limit": limit},
        )
        return [_record(row).task for row in rows]

    def cards(self, status: TaskStatus, limit: int) -> list[Card]:
        """The first cards of a column, in order of creation."""
        rows = self._db.all(
            f"{_SELECT} AND status = :status ORDER BY place LIMIT :limit",
            {**self._here, "status": status.value, "limit": limit},
        )
        return [
            Card(
                id=record.task.id,
                title=record.task.title,
                priority=record.task.priority,
                assignee=record.task.assignee,
                blocked_by=record.open_dependencies,
            )
            for record in map(_record, rows)
        ]

    def matching(
        self,
        statuses: Sequence[TaskStatus] | None,
        assignee: str | None,
        label: str | None,
        query: str | None,
        limit: int,
        after: int,
    ) -> tuple[list[Task], int, int | None]:
        """A page of matching tasks in order of creation, their total, and where to go on."""
        where, params = "", dict[str, Any](self._here)
        if statuses is not None:
            listing, named = listed("status", [status.value for status in statuses])
            where += f" AND status IN ({listing})"
            params.update(named)
        if assignee is not None:
            where += " AND assignee = :assignee"
            params["assignee"] = assignee
        if label is not None:
            where += " AND replace(labels, :label, '') <> labels"
            params["label"] = f"\n{label}\n"
        if query is not None:
            where += " AND searched LIKE :query ESCAPE '~'"
            params["query"] = like(query.lower())
        total = self._db.one(
            f"SELECT count(*) FROM tasks WHERE workspace = :workspace{where}", params
        )
        rows = self._db.all(
            f"SELECT place, {_RECORD} FROM tasks WHERE workspace = :workspace{where} "
            "AND place > :after ORDER BY place LIMIT :limit",
            {**params, "after": after, "limit": limit + 1},
        )
        tasks = [_record(row[1:]).task for row in rows[:limit]]
        last = rows[limit - 1][0] if len(rows) > limit else None
        return tasks, int(total[0]) if total else 0, last

    def all(self) -> list[Task]:
        """Every task of the workspace, in order of creation."""
        return [_record(row).task for row in self._db.all(f"{_SELECT} ORDER BY place", self._here)]

    def kind_etag(self) -> str:
        """The tag of all tasks of the workspace."""
        return self._work.kind_etag("tasks")


def _record(row: Row) -> TaskRecord:
    return TaskRecord(
        task=Task.model_validate_json(row[0]),
        number=row[1],
        open_dependencies=row[2],
        ready_t=row[3],
        returned_t=row[4],
        assignee_principal=row[5],
        critical_path=row[6],
    )
