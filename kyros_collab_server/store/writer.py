"""Writers: how one process becomes the only writer for one transaction, on each engine."""

import errno
import fcntl
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
from pysqlite3 import dbapi2 as sqlite

from kyros_collab_server.kernel.errors import (
    KyrosError,
    StorageFull,
    StoreConflict,
    StoreUnavailable,
    WriterStalled,
)
from kyros_collab_server.kernel.time import Clock
from kyros_collab_server.store.boot import settle_timeline
from kyros_collab_server.store.dialect import Db, PostgresDb, SqliteDb, postgres_text
from kyros_collab_server.store.events import HEAD
from kyros_collab_server.store.work import Batch, Shared

SAVEPOINT = "SAVEPOINT job"
RELEASE = "RELEASE SAVEPOINT job"
ROLLBACK_TO = "ROLLBACK TO SAVEPOINT job"


class Savepoint:
    """A savepoint that is opened by the first write after `open`, if there is any."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._is_open = False

    def open(self) -> None:
        """What is written from here on can be taken back alone."""
        self._is_open = False
        self._db.guard = self._begin

    def _begin(self) -> None:
        self._db.guard = None
        self._is_open = True
        self._db.run(SAVEPOINT)

    def keep(self) -> None:
        """What was written since `open` stays."""
        self._db.guard = None
        if self._is_open:
            self._db.run(RELEASE)

    def undo(self) -> None:
        """What was written since `open` is undone."""
        self._db.guard = None
        if self._is_open:
            self._db.run(ROLLBACK_TO)
            self._db.run(RELEASE)


class StoreFailure(Exception):
    """The store failed; not a refusal of an operation."""

    def __init__(self, reason: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.outcome_unknown = outcome_unknown

    def refusal(self) -> KyrosError:
        """What the caller is told."""
        if self.outcome_unknown:
            return StoreUnavailable("unknown")
        if self.reason == "full":
            return StorageFull()
        if self.reason == "locked":
            return WriterStalled(None)
        return StoreConflict() if self.reason == "conflict" else StoreUnavailable()


@dataclass
class Transaction:
    """A transaction that is the only writer of its workspaces until it ends."""

    batch: Batch
    commit: Callable[[dict[str, int]], None]
    """Make it durable and announce the new heads; raises StoreFailure with what is known."""


class Writer(Protocol):
    """One connection that writes."""

    waits_for_lock: bool

    def transaction(self, workspaces: Collection[str]) -> Any: ...
    def failure(self, error: BaseException) -> StoreFailure | None:
        """The store's failure behind a driver's error; None for an error of ours."""
        ...

    def lock_holder(self) -> int | None: ...
    def close(self) -> None: ...


_SQLITE_REASONS = {
    sqlite.SQLITE_FULL: "full",
    sqlite.SQLITE_READONLY: "full",
    sqlite.SQLITE_IOERR: "full",
    sqlite.SQLITE_BUSY: "locked",
    sqlite.SQLITE_LOCKED: "locked",
    sqlite.SQLITE_CONSTRAINT: "conflict",
}


def sqlite_code(error: BaseException) -> int:
    """The primary result code of SQLite behind a driver's error; 0 when it has none."""
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


class SqliteWriter:
    """Writes behind an `flock` on `<database>.lock`, then `BEGIN IMMEDIATE`."""

    def __init__(self, raw: Any, lock_path: Path, shared: Shared, clock: Clock) -> None:
        self._raw = raw
        self._db = SqliteDb(raw)
        self._shared = shared
        self._clock = clock
        self._lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.waits_for_lock = False

    @contextmanager
    def transaction(self, workspaces: Collection[str]) -> Iterator[Transaction]:
        """Hold the write lock of the whole file for the block; roll back unless committed."""
        self._take_lock()
        try:
            try:
                self._raw.execute("BEGIN IMMEDIATE")
                batch = Batch(
                    self._db, self._shared, self._clock.steady_ms(), self._clock.wall_ms()
                )
                yield Transaction(batch, self._commit)
            except sqlite.Error as error:
                raise self._as_failure(error) from error
            finally:
                if self._raw.in_transaction:
                    self._raw.execute("ROLLBACK")
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
                raise StoreFailure("unavailable") from error
            self.waits_for_lock = True
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            finally:
                self.waits_for_lock = False
        try:
            os.pwrite(self._lock, b"%-20d" % os.getpid(), 0)
        except OSError:
            return  # a full disk keeps the last holder's pid; the lock itself is held

    def _commit(self, heads: dict[str, int]) -> None:
        try:
            self._raw.execute("COMMIT")
        except sqlite.Error as error:
            failure = self._as_failure(error)
            failure.outcome_unknown = sqlite_code(error) == sqlite.SQLITE_IOERR
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
            raise failure from error

    def failure(self, error: BaseException) -> StoreFailure | None:
        """The store's failure behind a driver's error."""
        return self._as_failure(error) if isinstance(error, sqlite.Error) else None

    def _as_failure(self, error: BaseException) -> StoreFailure:
        return StoreFailure(_SQLITE_REASONS.get(sqlite_code(error), "unavailable"))

    def lock_holder(self) -> int | None:
        """The process that took the lock last."""
        text = os.pread(self._lock, 20, 0).strip()
        return int(text) if text.isdigit() else None

    def close(self) -> None:
        """The connection and the lock file are closed."""
        self._raw.close()
        os.close(self._lock)


IDLE = psycopg.pq.TransactionStatus.IDLE
LOCK_WORKSPACE = "SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"
NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
LIMIT_STATEMENTS = "SET LOCAL statement_timeout = '2s'"
NOTIFY = "SELECT pg_notify('kyros', :payload)"


class PostgresWriter:
    """Writes behind advisory locks of its workspaces, in a pipeline."""

    def __init__(
        self, connect: Callable[[], "psycopg.Connection[Any]"], shared: Shared, clock: Clock | None
    ) -> None:
        self._connect = connect
        self._raw = connect()
        self._db = PostgresDb(self._raw)
        self._shared = shared
        self._clock = clock
        self.waits_for_lock = False

    @contextmanager
    def transaction(self, workspaces: Collection[str]) -> Iterator[Transaction]:
        """Be the only writer of these workspaces for the block; roll back unless committed."""
        try:
            if self._raw.closed or self._raw.broken:
                self._raw = self._connect()
                with self._raw.transaction():
                    settle_timeline(PostgresDb(self._raw), self._shared)
            self._db = PostgresDb(self._raw)
            try:
                with self._raw.pipeline():
                    yield Transaction(self._begin(workspaces), self._commit)
            finally:
                self._leave()
        except StoreFailure:
            self._raw.close()
            raise
        except psycopg.Error as error:
            self._raw.close()
            raise self._as_failure(error) from error

    def _leave(self) -> None:
        """No transaction is open; a connection that cannot say so is given up."""
        if self._raw.closed or self._raw.info.transaction_status is IDLE:
            return
        try:
            self._raw.execute("ROLLBACK")
        except psycopg.Error:
            self._raw.close()

    def _begin(self, workspaces: Collection[str]) -> Batch:
        """Take the locks, then read the clock and the heads: one round trip."""
        names = sorted(workspaces)
        self._db.run("BEGIN")
        for name in names:
            self._db.run(LOCK_WORKSPACE, {"key": f"kyros:{name}"})
        self._db.run(LIMIT_STATEMENTS)
        clock = self._raw.execute(NOW, prepare=True)
        heads = [
            self._raw.execute(postgres_text(HEAD), {"workspace": name}, prepare=True)
            for name in names
        ]
        self.waits_for_lock = True
        try:
            row = clock.fetchone()
        finally:
            self.waits_for_lock = False
        steady = wall = int(row[0]) if row else 0
        if self._clock is not None:
            steady, wall = self._clock.steady_ms(), self._clock.wall_ms()
        batch = Batch(self._db, self._shared, steady, wall)
        for name, head in zip(names, heads, strict=True):
            batch.know_head(name, head.fetchone())
        return batch

    def _commit(self, heads: dict[str, int]) -> None:
        """Announce and commit in one round trip; without an answer the outcome is unknown."""
        try:
            if heads:
                payload = ",".join(f"{name}:{seq}" for name, seq in heads.items())
                self._db.run(NOTIFY, {"payload": payload[:7_900]})
            self._db.run("COMMIT")
            self._db.one("SELECT 1")
        except psycopg.Error as error:
            if self._raw.closed or self._raw.broken:
                raise StoreFailure("unavailable", outcome_unknown=True) from error
            raise self._as_failure(error) from error

    def failure(self, error: BaseException) -> StoreFailure | None:
        """The store's failure behind a driver's error."""
        return self._as_failure(error) if isinstance(error, psycopg.Error) else None

    def _as_failure(self, error: psycopg.Error) -> StoreFailure:
        if isinstance(error, psycopg.errors.LockNotAvailable):
            return StoreFailure("locked")
        if isinstance(error, psycopg.errors.DiskFull | psycopg.errors.ReadOnlySqlTransaction):
            return StoreFailure("full")
        conflicts = (
            psycopg.errors.UniqueViolation,
            psycopg.errors.SerializationFailure,
            psycopg.errors.DeadlockDetected,
        )
        return StoreFailure("conflict" if isinstance(error, conflicts) else "unavailable")

    def lock_holder(self) -> int | None:
        """Not known from here."""
        return None

    def close(self) -> None:
        """The connection is closed."""
        self._raw.close()
