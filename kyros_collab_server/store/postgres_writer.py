"""Writing on Postgres: behind advisory locks, in a pipeline."""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from kyros_collab_server.kernel.time import Clock
from kyros_collab_server.store.boot import settle_timeline
from kyros_collab_server.store.dialect import PostgresDb, postgres_text
from kyros_collab_server.store.events import HEAD
from kyros_collab_server.store.work import Batch, Shared
from kyros_collab_server.store.writer import StoreFailure, Transaction

log = logging.getLogger(__name__)
IDLE = psycopg.pq.TransactionStatus.IDLE
LOCK_WORKSPACE = "SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"
NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
LIMIT_STATEMENTS = "SET LOCAL statement_timeout = '2s'"
NOTIFY = "SELECT pg_notify('kyros', :payload)"


def may_have_committed(error: psycopg.Error) -> bool:
    """True unless the error is surely that of a statement ahead of the COMMIT.

    A server that shuts down says so (class 57) before its connection breaks, and it may say it
    after the commit; an error without a state is the wire's own.
    """
    state = error.sqlstate
    return state is None or state[:2] in {"08", "57", "58", "F0", "XX"}


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
        self._committed = False

    @contextmanager
    def transaction(self, workspaces: Collection[str]) -> Iterator[Transaction]:
        """Be the only writer of these workspaces for the block; roll back unless committed."""
        self._committed = False
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
            if self._committed:
                log.warning("connection_lost_after_commit")
                return
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
            if self._raw.closed or self._raw.broken or may_have_committed(error):
                raise StoreFailure("unavailable", outcome_unknown=True) from error
            raise self._as_failure(error) from error
        self._committed = True

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
