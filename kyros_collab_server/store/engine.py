"""Engines: which file or server, the checks before use, and connections set up right."""

import os
from pathlib import Path
from typing import Any

import psycopg
import pysqlite3
from psycopg._preparing import PrepareManager
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool

from kyros_collab_server.kernel.errors import Invalid, StoreUnavailable

FIXED_SQLITE = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""The first releases of their lines without the WAL-reset corruption race."""
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs", "afs"}
)


def sqlite_is_safe(version: tuple[int, ...]) -> bool:
    """True when this SQLite release has the WAL-reset fix."""
    if version >= FIXED_SQLITE[0]:
        return True
    return any(version[:2] == fixed[:2] and version >= fixed for fixed in FIXED_SQLITE[1:])


def check_sqlite(path: Path) -> None:
    """Pass when the linked SQLite and the file system can be trusted with the store.

    Raises:
        Invalid: names what to change.
    """
    if not sqlite_is_safe(sqlite.sqlite_version_info):
        raise Invalid(
            "sqlite",
            f"version {sqlite.sqlite_version} has the WAL-reset corruption race",
            allowed=[".".join(map(str, fixed)) for fixed in FIXED_SQLITE],
            fix="pip install --upgrade pysqlite3",
        )
    kind = file_system_of(path.parent)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise Invalid(
            "KYROS_DATA_DIR",
            f"lies on a network file system ({kind}), where SQLite loses writes",
            fix="Use a local directory, or Postgres with KYROS_DATABASE_URL.",
        )


def file_system_of(directory: Path) -> str | None:
    """The kind of file system that holds a directory, where /proc tells."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    real = os.path.realpath(directory)
    found = [
        (fields[1], fields[2])
        for fields in (line.split() for line in mounts.splitlines())
        if len(fields) > 2 and os.path.commonpath((real, fields[1])) == fields[1]
    ]
    return max(found, key=lambda mount: len(mount[0]))[1] if found else None


def sqlite_engine(path: Path) -> Engine:
    """An engine for migrations; foreign keys are off, as batch alterations need."""
    engine = create_engine(
        f"sqlite:///{path}", module=pysqlite3, poolclass=NullPool, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _connected(raw: Any, _record: Any) -> None:
        raw.isolation_level = None
        raw.execute("PRAGMA busy_timeout=5000")
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def sqlite_connection(path: Path, *, query_only: bool, busy_ms: int = 5_000) -> Any:
    """A raw connection in autocommit mode, durable at every commit."""
    raw = sqlite.connect(
        str(path), isolation_level=None, check_same_thread=False, cached_statements=512
    )
    raw.execute(f"PRAGMA busy_timeout={busy_ms}")
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute("PRAGMA fullfsync=1")
    raw.execute("PRAGMA foreign_keys=ON")
    raw.execute("PRAGMA wal_autocheckpoint=4000")
    raw.execute("PRAGMA cache_size=-16000")
    if query_only:
        raw.execute("PRAGMA query_only=1")
    return raw


def postgres_engine(url: str) -> Engine:
    """An engine for migrations."""
    return create_engine(url, poolclass=NullPool, hide_parameters=True)


class KeptStatements(PrepareManager):
    """Prepared statements that outlive a rollback.

    psycopg drops them all after any ROLLBACK, `ROLLBACK TO SAVEPOINT` included, in case an object
    was made anew meanwhile; inside a pipeline that races with statements already under way. The
    lane makes no objects and gives a connection up after any failure, so it may keep them.
    """

    prepared_max = 1_000

    def _should_discard(self, *_: Any) -> bool:
        return False


def libpq_url(url: str) -> str:
    """The URL as libpq reads it, without SQLAlchemy's driver suffix."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def postgres_connection(url: str, *, timeout_seconds: float) -> "psycopg.Connection[Any]":
    """A raw connection in autocommit mode, durable at every commit.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    lock_ms = int(timeout_seconds * 1000)
    options = (
        f"-c synchronous_commit=on -c lock_timeout={lock_ms} "
        f"-c statement_timeout={lock_ms + 2000} -c idle_in_transaction_session_timeout=30000"
    )
    try:
        raw = psycopg.connect(
            libpq_url(url),
            autocommit=True,
            connect_timeout=5,
            options=options,
            application_name="kyros",
        )
    except psycopg.Error as error:
        raise StoreUnavailable from error
    raw._prepared = KeptStatements()  # noqa: SLF001 - no public seam; a test holds it
    return raw
