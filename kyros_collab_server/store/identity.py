"""Workspaces, keys, and replayed answers."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import Index

from kyros_collab_server.features.identity.model import Workspace, WorkspaceSettings
from kyros_collab_server.features.identity.rules import KeyRecord
from kyros_collab_server.features.identity.service import LOCAL_PRINCIPAL
from kyros_collab_server.store.dialect import Row
from kyros_collab_server.store.schema import Table, big, key, text

if TYPE_CHECKING:
    from kyros_collab_server.store.work import SqlWork


class WorkspaceRow(Table, table=True):
    """A workspace; `document` is its published shape."""

    __tablename__ = "workspaces"

    id: str = key()
    document: str = text()


class KeyRow(Table, table=True):
    """A key; lists are JSON text, the token is there as its SHA-256 alone."""

    __tablename__ = "api_keys"

    id: str = key()
    name: str = text()
    agent: str | None = text(null=True)
    principal: str = text()
    scopes: str = text()
    workspaces: str = text()
    token_hash: str = text()
    created_at: str = text()
    expires_wall_ms: int | None = big(null=True)
    expires_at: str | None = text(null=True)
    revoked_at: str | None = text(null=True)
    last_used_at: str | None = text(null=True)
    last_used_wall_ms: int = big()


class IdempotencyRow(Table, table=True):
    """A success that is replayed for 24 hours; written in the transaction that it tells of."""

    __tablename__ = "idempotency"

    workspace: str = key()
    principal: str = key()
    actor: str = key()
    operation: str = key()
    key: str = key()
    digest: str = text()
    answer: str = text()
    t: int = big()

    __table_args__ = (Index("ix_idempotency_t", "t"),)


class KindRow(Table, table=True):
    """How often a kind of a workspace changed; one version for each batch that changed it."""

    __tablename__ = "kinds"

    workspace: str = key()
    kind: str = key()
    version: int = big()


class MetaRow(Table, table=True):
    """Facts about the store itself: epoch, boot, secret."""

    __tablename__ = "store_meta"

    name: str = key()
    value: str = text()


_COLUMNS = tuple(KeyRow.model_fields)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM api_keys"
_INSERT = (
    f"INSERT INTO api_keys ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)
_REVOKE = """
UPDATE api_keys SET revoked_at = :revoked_at WHERE id = :id AND revoked_at IS NULL
"""
_USED = """
UPDATE api_keys SET last_used_at = :last_used_at, last_used_wall_ms = :last_used_wall_ms
WHERE id = :id
"""
_LIVES = """
SELECT 1 FROM api_keys WHERE principal = :principal AND revoked_at IS NULL
AND (expires_wall_ms IS NULL OR expires_wall_ms > :wall_ms) LIMIT 1
"""


class SqlKeys:
    """All keys of the deployment."""

    def __init__(self, work: "SqlWork") -> None:
        self._db = work.db

    def get(self, key_id: str) -> KeyRecord | None:
        """The key of this id, or None."""
        row = self._db.one(f"{_SELECT} WHERE id = :id", {"id": key_id})
        return None if row is None else _record(row)

    def insert(self, record: KeyRecord) -> None:
        """The key is stored."""
        self._db.run(_INSERT, _params(record))

    def save_use(self, record: KeyRecord) -> None:
        """When the key was used last is stored, and nothing else of it."""
        self._db.run(_USED, _params(record))

    def revoke(self, record: KeyRecord) -> None:
        """The key is revoked for good, whoever writes it at the same time."""
        self._db.run(_REVOKE, _params(record))

    def all(self) -> list[KeyRecord]:
        """Every key, newest first."""
        return [_record(row) for row in self._db.all(f"{_SELECT} ORDER BY created_at DESC, id")]

    def principal_lives(self, principal: str, wall_ms: int) -> bool:
        """True for the local user, and while some key of the principal admits calls."""
        if principal == LOCAL_PRINCIPAL:
            return True
        return self._db.one(_LIVES, {"principal": principal, "wall_ms": wall_ms}) is not None


def _params(record: KeyRecord) -> dict[str, object]:
    values = asdict(record)
    return {
        **values,
        "scopes": json.dumps(values["scopes"]),
        "workspaces": json.dumps(values["workspaces"]),
    }


def _record(row: Row) -> KeyRecord:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["scopes"] = tuple(json.loads(values["scopes"]))
    values["workspaces"] = tuple(json.loads(values["workspaces"]))
    return KeyRecord(**values)


class SqlWorkspaces:
    """All workspaces of the deployment."""

    def __init__(self, work: "SqlWork") -> None:
        self._db = work.db

    def get(self, workspace: str) -> Workspace | None:
        """The workspace of this name, or None."""
        row = self._db.one("SELECT document FROM workspaces WHERE id = :id", {"id": workspace})
        return None if row is None else Workspace.model_validate_json(row[0])

    def settings(self, workspace: str) -> WorkspaceSettings:
        """The settings of the workspace; the defaults where it does not exist."""
        found = self.get(workspace)
        return found.settings if found else WorkspaceSettings()

    def insert(self, workspace: Workspace) -> None:
        """The workspace is stored."""
        self._db.run(
            "INSERT INTO workspaces (id, document) VALUES (:id, :document)",
            {"id": workspace.id, "document": workspace.model_dump_json()},
        )

    def save(self, workspace: Workspace) -> None:
        """The workspace's new settings are stored."""
        self._db.run(
            "UPDATE workspaces SET document = :document WHERE id = :id",
            {"id": workspace.id, "document": workspace.model_dump_json()},
        )

    def all(self) -> list[Workspace]:
        """Every workspace, by name."""
        rows = self._db.all("SELECT document FROM workspaces ORDER BY id")
        return [Workspace.model_validate_json(row[0]) for row in rows]
