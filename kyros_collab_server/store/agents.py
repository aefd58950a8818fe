"""Agents and their inboxes."""

from typing import TYPE_CHECKING

from kyros_collab_server.features.agents.model import Agent
from kyros_collab_server.features.agents.rules import AgentRecord
from kyros_collab_server.features.messages.model import Message
from kyros_collab_server.store.dialect import Row
from kyros_collab_server.store.schema import Table, big, big_key, key, text

if TYPE_CHECKING:
    from kyros_collab_server.store.work import SqlWork


class AgentRow(Table, table=True):
    """An agent; `document` is its published shape."""

    __tablename__ = "agents"

    workspace: str = key()
    name: str = key()
    principal: str = text()
    seen_t: int = big()
    active_t: int = big()
    etag: str = text()
    document: str = text()


class InboxRow(Table, table=True):
    """A message in one recipient's inbox."""

    __tablename__ = "inbox"

    workspace: str = key()
    recipient: str = key()
    seq: int = big_key()
    document: str = text()


class InboxMarkRow(Table, table=True):
    """Up to which seq a recipient has read."""

    __tablename__ = "inbox_marks"

    workspace: str = key()
    recipient: str = key()
    through: int = big()


_SELECT = """
SELECT document, principal, seen_t, active_t FROM agents WHERE workspace = :workspace
"""
_UPSERT = """
INSERT INTO agents (workspace, name, principal, seen_t, active_t, etag, document)
VALUES (:workspace, :name, :principal, :seen_t, :active_t, :etag, :document)
ON CONFLICT (workspace, name) DO UPDATE SET principal = excluded.principal,
seen_t = excluded.seen_t, active_t = excluded.active_t, etag = excluded.etag,
document = excluded.document
"""
_INBOX = {"workspace": "text", "recipient": "text", "seq": "bigint", "document": "text"}
_UNREAD = """
FROM inbox WHERE workspace = :workspace AND recipient = :recipient AND seq > coalesce(
(SELECT through FROM inbox_marks WHERE workspace = :workspace AND recipient = :recipient), 0)
"""
_MARK = """
INSERT INTO inbox_marks (workspace, recipient, through)
VALUES (:workspace, :recipient, :through)
ON CONFLICT (workspace, recipient) DO UPDATE SET through = excluded.through
WHERE inbox_marks.through < excluded.through
"""


class SqlAgents:
    """The agents of a work's workspace."""

    def __init__(self, work: "SqlWork") -> None:
        self._work = work
        self._db = work.db
        self._here = {"workspace": work.workspace}

    def get(self, name: str) -> AgentRecord | None:
        """The agent of this name, or None."""
        row = self._db.one(f"{_SELECT} AND name = :name", {**self._here, "name": name})
        return None if row is None else _record(row)

    def insert(self, record: AgentRecord) -> None:
        """The agent is stored."""
        self.save(record)

    def save(self, record: AgentRecord) -> None:
        """The agent is stored, and the kind has a new version."""
        agent = record.agent
        self._db.run(
            _UPSERT,
            {
                **self._here,
                "name": agent.name,
                "principal": record.principal,
                "seen_t": record.seen_t,
                "active_t": record.active_t,
                "etag": agent.etag,
                "document": agent.model_dump_json(),
            },
        )
        self._work.batch.touch(self._work.workspace, "agents")

    def all(self) -> list[AgentRecord]:
        """Every agent of the workspace, by name."""
        return [_record(row) for row in self._db.all(f"{_SELECT} ORDER BY name", self._here)]

    def members(self) -> list[tuple[str, str | None]]:
        """Name and role of every agent."""
        return [(record.agent.name, record.agent.role) for record in self.all()]

    def kind_etag(self) -> str:
        """The tag of all agents of the workspace."""
        return self._work.kind_etag("agents")


def _record(row: Row) -> AgentRecord:
    return AgentRecord(
        agent=Agent.model_validate_json(row[0]), principal=row[1], seen_t=row[2], active_t=row[3]
    )


class SqlInboxes:
    """The inboxes of a work's workspace."""

    def __init__(self, work: "SqlWork") -> None:
        self._db = work.db
        self._workspace = work.workspace

    def put(self, recipients: list[str], message: Message) -> None:
        """The message lies in each of these inboxes."""
        document = message.model_dump_json()
        rows = [{**self._of(one), "seq": message.seq, "document": document} for one in recipients]
        if rows:
            self._db.insert("inbox", _INBOX, rows)

    def unread(self, recipient: str, limit: int) -> list[Message]:
        """Messages past the mark, oldest first."""
        rows = self._db.all(
            f"SELECT document {_UNREAD} ORDER BY seq LIMIT :limit",
            {**self._of(recipient), "limit": limit},
        )
        return [Message.model_validate_json(row[0]) for row in rows]

    def count(self, recipient: str) -> int:
        """How many messages lie past the mark."""
        row = self._db.one(f"SELECT count(*) {_UNREAD}", self._of(recipient))
        return int(row[0]) if row else 0

    def acknowledge(self, recipient: str, through: int) -> None:
        """The mark stands at this seq, or where it stood when that is further."""
        self._db.run(_MARK, {**self._of(recipient), "through": through})

    def _of(self, recipient: str) -> dict[str, object]:
        return {"workspace": self._workspace, "recipient": recipient}
