"""The log as it lies in the store, read without opening it: nothing is migrated or written."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from pysqlite3 import dbapi2 as sqlite

from kyros_collab_server.features.events.model import Checkpoint, CheckpointKey
from kyros_collab_server.features.events.verifying import (
    Difference,
    Kind,
    Line,
    Stretch,
    check,
    seq_told,
)
from kyros_collab_server.kernel.errors import Invalid
from kyros_collab_server.store.checkpoints import FIELDS
from kyros_collab_server.store.engine import postgres_connection

PAGE = 5_000
LOGS = "SELECT workspace, min(seq), max(seq), count(*) FROM events GROUP BY workspace ORDER BY 1"
LINES = (
    "SELECT seq, ts, event, actor, target, hash, body FROM events "
    "WHERE workspace = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
)
BODIES = "SELECT seq, body FROM events WHERE workspace = ? ORDER BY seq"
CHECKPOINTS = f"SELECT {', '.join(FIELDS)} FROM checkpoints ORDER BY workspace, seq"
KEYS = "SELECT kid, x FROM checkpoint_keys ORDER BY kid"


class StoredLog(NamedTuple):
    """One workspace's log: from which seq to which, and how many lines there are."""

    workspace: str
    first: int
    last: int
    events: int


class LogLines:
    """A store on SQLite (`path`) or Postgres (`url`), for reading its log line by line.

    Every method raises Invalid for what cannot be read as a store, and StoreUnavailable.
    """

    def __init__(self, path: Path | None, url: str) -> None:
        self._path = path
        self._url = url

    def logs(self) -> list[StoredLog]:
        """The log of every workspace, by name."""
        with self._reading() as rows:
            return [StoredLog(_text(row[0]), *row[1:]) for row in rows(LOGS)]

    def checkpoints(self) -> tuple[list[Checkpoint], list[CheckpointKey]]:
        """Every checkpoint and every public key; none in a store from before there were any."""
        with self._reading() as rows:
            try:
                keys = [CheckpointKey(kid=_text(row[0]), x=_text(row[1])) for row in rows(KEYS)]
                found = rows(CHECKPOINTS)
            except (sqlite.OperationalError, psycopg.errors.UndefinedTable):
                return [], []
            return [_checkpoint(row) for row in found], keys

    def check(
        self, workspace: str, after: int, through: int, wanted: frozenset[int], first: int | None
    ) -> Stretch:
        """The stretch of a log after one seq and up to another."""
        with self._reading() as rows:
            return check(_lines(rows, workspace, after, through), wanted, first=first)

    def explained(self, workspace: str, difference: Difference) -> Difference:
        """The difference, told apart: a seq that is missing in its place may stand in another."""
        if difference.found is None:
            return difference
        kind, detail = Kind.REMOVED, f"after seq {difference.seq - 1} comes {difference.found}"
        with self._reading() as rows:
            for seq, body in rows(BODIES, workspace):
                if seq_told(body) == difference.seq:
                    detail = f"it stands in the place of seq {seq}"
                    return difference._replace(kind=Kind.REORDERED, detail=detail)
                if seq == difference.seq:
                    detail = f"in its place stands seq {difference.found} again"
                    kind = Kind.DUPLICATED if difference.found < seq else Kind.ALTERED
        return difference._replace(kind=kind, detail=detail)

    @contextmanager
    def _reading(self) -> Iterator["_Rows"]:
        """What runs a statement on a connection that cannot write; texts come as bytes."""
        if self._path is None:
            with postgres_connection(self._url, timeout_seconds=30) as raw:
                yield _Rows(raw, "%s")
            return
        try:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite.connect(uri, uri=True, isolation_level=None)) as raw:
                raw.text_factory = bytes
                yield _Rows(raw, "?")
        except sqlite.DatabaseError as error:
            raise Invalid("store", f"cannot be read as one ({error})") from None


class _Rows:
    """Runs statements whose parameters are spelled `?`."""

    def __init__(self, raw: Any, place: str) -> None:
        self._raw = raw
        self._place = place

    def __call__(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        rows = self._raw.execute(sql.replace("?", self._place), params).fetchall()
        if self._place == "?":
            return list(rows)
        return [tuple(map(_bytes, row)) for row in rows]


def _lines(rows: _Rows, workspace: str, after: int, through: int) -> Iterator[Line]:
    while after < through and (page := rows(LINES, workspace, after, through, PAGE)):
        for seq, ts, event, actor, target, digest, body in page:
            yield Line(body, digest, seq, (seq, ts, event, actor, target))
        after = page[-1][0]


def _checkpoint(row: tuple[Any, ...]) -> Checkpoint:
    return Checkpoint(**{name: _text(cell) for name, cell in zip(FIELDS, row, strict=True)})


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
