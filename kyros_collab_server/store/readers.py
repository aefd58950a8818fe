"""Readers: threads with connections of their own, each read in a snapshot that waits for nobody."""

import asyncio
import contextvars
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from pysqlite3 import dbapi2 as sqlite

from kyros_collab_server.kernel.errors import StoreUnavailable
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.kernel.time import Clock
from kyros_collab_server.store.dialect import PostgresDb, SqliteDb
from kyros_collab_server.store.postgres_writer import NOW
from kyros_collab_server.store.work import Batch, Shared, SqlWork

R = TypeVar("R")


class Readers:
    """A few threads that read. `connect` gives a raw connection that cannot write."""

    def __init__(
        self, connect: Callable[[], Any], shared: Shared, clock: Clock | None, threads: int
    ) -> None:
        self._connect = connect
        self._shared = shared
        self._clock = clock
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(threads):
            self._idle.put(None)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="kyros-read")

    async def read(self, principal: Principal, unit: Callable[[SqlWork], R]) -> R:
        """The unit's answer from one snapshot.

        Raises:
            StoreUnavailable: the store could not be reached.
        """
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, context.run, self.read_here, principal, unit
        )

    def read_here(self, principal: Principal, unit: Callable[[SqlWork], R]) -> R:
        """As `read`, on the calling thread."""
        raw = self._idle.get()
        try:
            if raw is None or getattr(raw, "closed", False):
                raw = self._connect()
            with self._snapshot(raw) as batch:
                return unit(SqlWork(batch, principal))
        except (sqlite.Error, psycopg.Error) as error:
            if isinstance(error, psycopg.Error) and raw is not None:
                raw.close()
            raise StoreUnavailable from error
        finally:
            self._idle.put(raw)

    @contextmanager
    def _snapshot(self, raw: Any) -> Iterator[Batch]:
        if isinstance(raw, psycopg.Connection):
            with raw.transaction():
                raw.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                db = PostgresDb(raw)
                row = db.one(NOW)
                now = int(row[0]) if row else 0
                steady, wall = now, now
                if self._clock is not None:
                    steady, wall = self._clock.steady_ms(), self._clock.wall_ms()
                yield Batch(db, self._shared, steady, wall)
            return
        clock = self._clock
        if clock is None:
            raise StoreUnavailable
        raw.execute("BEGIN")
        try:
            yield Batch(SqliteDb(raw), self._shared, clock.steady_ms(), clock.wall_ms())
        finally:
            raw.execute("ROLLBACK")

    def close(self) -> None:
        """No read is under way and every connection is closed."""
        self._threads.shutdown(wait=True)
        while not self._idle.empty():
            raw = self._idle.get()
            if raw is not None:
                raw.close()
