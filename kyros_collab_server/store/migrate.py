"""Migrations: run from inside the package, one process at a time, all or nothing."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy import text as sql
from sqlalchemy.exc import SQLAlchemyError

from kyros_collab_server.kernel.errors import StoreUnavailable
from kyros_collab_server.store import engine as engines

SCRIPTS = "kyros_collab_server.store:migrations"


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without any file."""
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def newest() -> str | None:
    """The revision that this release brings."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def engine_of(sqlite_path: Path | None, database_url: str) -> Engine:
    """The engine that migrations of this store use."""
    if sqlite_path is not None:
        return engines.sqlite_engine(sqlite_path)
    return engines.postgres_engine(database_url)


def current(sqlite_path: Path | None, database_url: str) -> str | None:
    """The revision that the store stands at; None for an empty one."""
    with engine_of(sqlite_path, database_url).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(sqlite_path: Path | None, database_url: str, revision: str = "head") -> None:
    """The store stands at this revision.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    engine = engine_of(sqlite_path, database_url)
    try:
        with _alone(sqlite_path), engine.connect() as connection:
            if sqlite_path is None:
                connection.execute(sql("SELECT pg_advisory_lock(hashtext('kyros:migrate'))"))
                connection.commit()
            if MigrationContext.configure(connection).get_current_revision() == newest() and (
                revision == "head"
            ):
                return
            connection.rollback()
            command.upgrade(configuration(connection), revision)
            connection.commit()
    except SQLAlchemyError as error:
        raise StoreUnavailable from error
    finally:
        engine.dispose()


def downgrade(sqlite_path: Path | None, database_url: str, revision: str) -> None:
    """The store stands at an older revision; for tests and emergencies."""
    engine = engine_of(sqlite_path, database_url)
    with _alone(sqlite_path), engine.connect() as connection:
        command.downgrade(configuration(connection), revision)
        connection.commit()
    engine.dispose()


@contextmanager
def _alone(sqlite_path: Path | None) -> Iterator[None]:
    """No other process of this machine migrates or writes this file meanwhile."""
    if sqlite_path is None:
        yield
        return
    lock_path = sqlite_path.with_name(sqlite_path.name + ".lock")
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
