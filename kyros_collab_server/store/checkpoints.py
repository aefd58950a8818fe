"""Checkpoints: one row each, never changed; and the public keys that they are signed by."""

from typing import TYPE_CHECKING

from kyros_collab_server.features.events.model import Checkpoint, CheckpointKey
from kyros_collab_server.store.schema import Table, big_key, key, text

if TYPE_CHECKING:
    from kyros_collab_server.store.work import SqlWork


class CheckpointRow(Table, table=True):
    """A signed checkpoint; nothing updates or deletes a row (triggers)."""

    __tablename__ = "checkpoints"

    workspace: str = key()
    seq: int = big_key()
    hash: str = text()
    ts: str = text()
    key_id: str = text()
    signature: str = text()


class CheckpointKeyRow(Table, table=True):
    """A public key that some checkpoint was signed by, `x` as in a JSON Web Key."""

    __tablename__ = "checkpoint_keys"

    kid: str = key()
    x: str = text()


FIELDS = ("workspace", "seq", "hash", "ts", "key_id", "signature")
LAST = "SELECT max(seq) FROM checkpoints WHERE workspace = :workspace"
AFTER = (
    f"SELECT {', '.join(FIELDS)} FROM checkpoints WHERE workspace = :workspace AND seq > :after "
    "ORDER BY seq LIMIT :limit"
)
EVENT_AT = "SELECT hash, t FROM events WHERE workspace = :workspace AND seq = :seq"
KEYS = "SELECT kid, x FROM checkpoint_keys ORDER BY kid"
ADD = (
    f"INSERT INTO checkpoints ({', '.join(FIELDS)}) "
    f"VALUES ({', '.join(f':{name}' for name in FIELDS)}) ON CONFLICT (workspace, seq) DO NOTHING"
)
PUBLISH = "INSERT INTO checkpoint_keys (kid, x) VALUES (:kid, :x) ON CONFLICT (kid) DO NOTHING"


class SqlCheckpoints:
    """The checkpoints of a work's workspace."""

    def __init__(self, work: "SqlWork") -> None:
        self._work = work
        self._db = work.db
        self._here = {"workspace": work.workspace}

    def last_seq(self) -> int:
        """The seq of the newest checkpoint; 0 when there is none."""
        row = self._db.one(LAST, self._here)
        return int(row[0] or 0) if row else 0

    def event_at(self, seq: int) -> tuple[str, int] | None:
        """Hash and steady time in ms of the event of this seq, or None."""
        self._work.batch.flush_events()
        row = self._db.one(EVENT_AT, {**self._here, "seq": seq})
        return None if row is None else (row[0], row[1])

    def after(self, seq: int, limit: int) -> list[Checkpoint]:
        """The checkpoints after a seq, in order of seq."""
        rows = self._db.all(AFTER, {**self._here, "after": seq, "limit": limit})
        return [Checkpoint(**dict(zip(FIELDS, row, strict=True))) for row in rows]

    def keys(self) -> list[CheckpointKey]:
        """Every public key of this deployment, in order of key ids."""
        return [CheckpointKey(kid=row[0], x=row[1]) for row in self._db.all(KEYS)]

    def add(self, checkpoint: Checkpoint) -> None:
        """The checkpoint is stored; one that is there stays as it is."""
        self._db.run(ADD, checkpoint.model_dump())

    def publish(self, key: CheckpointKey) -> None:
        """The key is among the published ones, once."""
        self._db.run(PUBLISH, {"kid": key.kid, "x": key.x})
