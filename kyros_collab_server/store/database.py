"""An open store: one lane that writes, a few readers, and what other processes committed."""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kyros_collab_server.features.events.ports import Delivery, LateResults, Signer
from kyros_collab_server.features.leases.ports import LeaseEnded
from kyros_collab_server.kernel.errors import Invalid, KyrosError
from kyros_collab_server.kernel.paging import CursorSeal
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.kernel.time import Clock, SystemClock
from kyros_collab_server.store import engine, revision
from kyros_collab_server.store.boot import (
    SteadyClock,
    meta_value,
    settle_boot,
    settle_timeline,
)
from kyros_collab_server.store.dialect import PostgresDb, SqliteDb
from kyros_collab_server.store.events import HEAD
from kyros_collab_server.store.failpoints import Failpoint
from kyros_collab_server.store.lane import Committed, Lane
from kyros_collab_server.store.postgres_writer import PostgresWriter
from kyros_collab_server.store.readers import Readers
from kyros_collab_server.store.sqlite_writer import SqliteWriter
from kyros_collab_server.store.work import Shared, SqlWork
from kyros_collab_server.store.writer import Writer

log = logging.getLogger(__name__)
R = TypeVar("R")


@dataclass(frozen=True)
class StoreOptions:
    """Where the store lies and how it is used; exactly one of path and URL."""

    sqlite_path: Path | None = None
    database_url: str = ""
    secret: str = ""
    batch_limit: int = 256
    lock_timeout_seconds: float = 5
    read_threads: int = 3
    failpoint: str = ""
    clock: Clock | None = None
    """For tests; None: the machine's clock on SQLite, the server's on Postgres."""


class Database:
    """The store of one process. Built by `open_database`, closed by `close`."""

    def __init__(self, options: StoreOptions, shared: Shared, clock: Clock | None) -> None:
        self._options = options
        self._clock = clock
        self._shared = shared
        self.readers = Readers(self._reading_connection, shared, clock, options.read_threads)
        self._probe: Any = None
        self._listeners: list[Callable[[Committed], None]] = []
        self._lane = Lane(
            self._writer(shared),
            batch_limit=options.batch_limit,
            timeout_seconds=options.lock_timeout_seconds,
            failpoint=Failpoint(options.failpoint),
            committed=self._tell,
        )
        self._lane.start()

    @property
    def epoch(self) -> str:
        """Names this life of the log; another after a restore or a timeline change."""
        return self._shared.epoch

    @property
    def on_postgres(self) -> bool:
        """True when the store is a Postgres database."""
        return self._options.sqlite_path is None

    def _writer(self, shared: Shared) -> Writer:
        options = self._options
        if options.sqlite_path is None:
            timeout = options.lock_timeout_seconds
            return PostgresWriter(
                lambda: engine.postgres_connection(options.database_url, timeout_seconds=timeout),
                shared,
                self._clock,
            )
        path = options.sqlite_path
        busy_ms = int(options.lock_timeout_seconds * 1000)
        raw = engine.sqlite_connection(path, query_only=False, busy_ms=busy_ms)
        clock = self._clock or SystemClock()
        return SqliteWriter(raw, path.with_name(path.name + ".lock"), shared, clock)

    def _reading_connection(self) -> Any:
        if self._options.sqlite_path is None:
            return engine.postgres_connection(self._options.database_url, timeout_seconds=5)
        return engine.sqlite_connection(self._options.sqlite_path, query_only=True)

    def on_commit(self, listener: Callable[[Committed], None]) -> None:
        """Call the listener on the event loop after every commit of this process."""
        self._listeners.append(listener)

    def _tell(self, committed: Committed) -> None:
        for listener in self._listeners:
            listener(committed)

    async def write(self, principal: Principal, *units: Callable[[SqlWork], Any]) -> Any:
        """The last unit's answer, after a durable commit; see `Lane.submit`."""
        return await self._lane.submit(principal, *units)

    async def read(self, principal: Principal, unit: Callable[[SqlWork], R]) -> R:
        """The unit's answer from one snapshot."""
        return await self.readers.read(principal, unit)

    def stamp(self) -> int | None:
        """A number that is another after any commit of any process (3 µs); None on Postgres.

        Call it on the event loop's thread.
        """
        if self._options.sqlite_path is None:
            return None
        if self._probe is None:
            self._probe = engine.sqlite_connection(self._options.sqlite_path, query_only=True)
        return int(self._probe.execute("PRAGMA data_version").fetchone()[0])

    def heads(self, workspaces: Sequence[str]) -> dict[str, int]:
        """The newest seq of each of these workspaces; call it off the event loop."""

        def of(work: SqlWork) -> dict[str, int]:
            rows = {name: work.db.one(HEAD, {"workspace": name}) for name in workspaces}
            return {name: int(row[0]) if row else 0 for name, row in rows.items()}

        return self.readers.read_here(Principal(id="system", scopes=frozenset()), of)

    def listening_connection(self) -> Any:
        """A connection that hears the notifications of other processes (Postgres only)."""
        raw = engine.postgres_connection(self._options.database_url, timeout_seconds=5)
        raw.execute("LISTEN kyros")
        return raw

    def close(self) -> None:
        """Queued operations are answered and every connection is closed."""
        self._lane.close()
        self.readers.close()
        if self._probe is not None:
            self._probe.close()


def open_database(
    options: StoreOptions,
    *,
    deliver: Delivery,
    lease_ended: Sequence[LeaseEnded],
    late_result: LateResults,
    signer_of: Callable[[bytes], Signer],
) -> Database:
    """Migrate the store and open it.

    Raises:
        Invalid: an unsafe SQLite or file system; names the remedy.
        StoreUnavailable: the database server does not answer.
    """
    if options.sqlite_path is not None:
        options.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
        engine.check_sqlite(options.sqlite_path)
    at = revision.current(options.sqlite_path, options.database_url)
    if at is not None and at > revision.NEWEST:
        raise Invalid(
            "store",
            f"stands at revision {at}, beyond this release's {revision.NEWEST}",
            fix="Start the newer release, or restore a backup made before it.",
        )
    if at != revision.NEWEST:
        from kyros_collab_server.store import migrate  # noqa: PLC0415 - see `revision`

        migrate.upgrade(options.sqlite_path, options.database_url)
    clock: Clock | None = options.clock
    if options.sqlite_path is not None:
        raw = engine.sqlite_connection(options.sqlite_path, query_only=False)
        try:
            raw.execute("BEGIN IMMEDIATE")
            db = SqliteDb(raw)
            epoch, secret = _identity(db, options)
            clock = SteadyClock(settle_boot(db, clock or SystemClock()), clock or SystemClock())
            raw.execute("COMMIT")
        finally:
            raw.close()
    else:
        connection = engine.postgres_connection(
            options.database_url, timeout_seconds=options.lock_timeout_seconds
        )
        with connection, connection.transaction():
            server = PostgresDb(connection)
            settle_timeline(server)
            epoch, secret = _identity(server, options)
    shared = Shared(
        epoch=epoch,
        seal=CursorSeal(secret),
        deliver=deliver,
        lease_ended=lease_ended,
        late_result=late_result,
        signer=signer_of(secret),
    )
    return Database(options, shared, clock)


def _identity(db: Any, options: StoreOptions) -> tuple[str, bytes]:
    """The store's epoch, and the secret: the configured one, else one kept in the store."""
    epoch = meta_value(db, "epoch", lambda: secrets.token_hex(8))
    kept = meta_value(db, "secret", lambda: secrets.token_hex(32))
    return epoch, (options.secret or kept).encode()


async def measure(database: Database) -> tuple[float, KyrosError | None]:
    """Milliseconds that one read of the store takes, and the refusal when it fails."""
    began = time.perf_counter()
    refusal: KyrosError | None = None
    try:
        await database.read(
            Principal(id="system", scopes=frozenset()), lambda work: work.db.one("SELECT 1")
        )
    except KyrosError as error:
        refusal = error
    return (time.perf_counter() - began) * 1000, refusal
