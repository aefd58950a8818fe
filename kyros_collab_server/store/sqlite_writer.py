"""Writing on SQLite: behind an `flock`, one process at a time."""

import errno
import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite

from kyros_collab_server.kernel.time import Clock
from kyros_collab_server.store.dialect import SqliteDb
from kyros_collab_server.store.work import Batch, Shared
from kyros_collab_server.store.writer import StoreFailure, Transaction

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
