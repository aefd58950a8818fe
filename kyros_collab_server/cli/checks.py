"""What `kyros doctor` looks at: each check says what it found and the command that mends it."""

import os
import platform
import socket
import stat
import tempfile
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from kyros_collab_server.cli.migrate import store_of
from kyros_collab_server.cli.ports import holder_of, is_loopback
from kyros_collab_server.cli.session import Session
from kyros_collab_server.features.events import rules
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import GENESIS, Event, ReadEvents, ReadHead
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.settings import Settings

OLDEST_PYTHON = (3, 11)


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    check: str
    state: State
    found: str
    fix: str = ""

    def as_row(self) -> dict[str, Any]:
        """The finding as its public JSON."""
        return asdict(self)


def python_version() -> Finding:
    """Python is one that Kyros runs on."""
    found = platform.python_version()
    if tuple(map(int, platform.python_version_tuple()[:2])) >= OLDEST_PYTHON:
        return Finding("python", State.OK, found)
    return Finding("python", State.FAILED, f"{found} is older than 3.11", "install Python 3.11")


def sqlite_version() -> Finding:
    """SQLite has the fix of the WAL-reset corruption race."""
    from pysqlite3 import dbapi2 as sqlite

    from kyros_collab_server.store.engine import sqlite_is_safe

    if sqlite_is_safe(sqlite.sqlite_version_info):
        return Finding("sqlite", State.OK, str(sqlite.sqlite_version))
    found = f"{sqlite.sqlite_version} has the WAL-reset corruption race"
    return Finding("sqlite", State.FAILED, found, "pip install --upgrade pysqlite3")


def configuration(settings: Settings) -> Finding:
    """The settings are ones that a server would start with."""
    named = [name for name in sorted(settings.model_fields_set) if name not in ("secret", "token")]
    found = "set: " + (", ".join(named) or "nothing")
    if is_loopback(settings.host) or (len(settings.secret) >= 32 and settings.public_url):
        return Finding("configuration", State.OK, found)
    found = f"{settings.host} is reachable from outside without KYROS_SECRET and KYROS_PUBLIC_URL"
    return Finding("configuration", State.FAILED, found, "kyros serve --host 127.0.0.1")


def data_directory(settings: Settings) -> Finding:
    """A file in the data directory can be written and made durable."""
    directory = settings.data_dir
    if not directory.is_dir():
        found = f"{directory} does not exist"
        return Finding("data directory", State.WARNING, found, "kyros serve makes it")
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".doctor-") as probe:
            probe.write(b"probe")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        found = f"{directory} is not writable ({error.strerror})"
        return Finding("data directory", State.FAILED, found, f"chmod u+rwx {directory}")
    return Finding("data directory", State.OK, f"{directory} is writable, fsync works")


def file_system(settings: Settings) -> Finding:
    """The store does not lie on a file system that loses its writes."""
    from kyros_collab_server.store.engine import check_sqlite, file_system_of

    directory = settings.data_dir.absolute()
    if settings.database_url:
        return Finding("file system", State.OK, "the store is a Postgres database")
    try:
        check_sqlite(directory / "kyros.db")
    except KyrosError as error:
        return Finding("file system", State.FAILED, error.detail, error.fix)
    return Finding("file system", State.OK, file_system_of(directory) or "unknown, local")


def migration_head(settings: Settings) -> Finding:
    """The store's schema is that of this version."""
    from kyros_collab_server.store import migrate

    path, url = store_of(settings)
    if path is not None and not path.exists():
        return Finding("migrations", State.WARNING, f"no store at {path}", "kyros serve")
    try:
        at, head = migrate.current(path, url), migrate.newest()
    except (KyrosError, OSError) as error:
        return Finding("migrations", State.FAILED, f"unreadable ({type(error).__name__})")
    if at == head:
        return Finding("migrations", State.OK, f"at {head}")
    return Finding(
        "migrations", State.FAILED, f"at {at}, this version wants {head}", "kyros migrate"
    )


def token_file(settings: Settings) -> Finding:
    """The local token is there and readable by its owner alone."""
    path: Path = settings.data_dir / "credentials.json"
    if settings.database_url and not path.exists():
        return Finding("token", State.OK, "kept by the deployment")
    if not path.exists():
        return Finding("token", State.WARNING, f"no {path}", "kyros serve makes one")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        found = f"{path} can be read by others ({mode:o})"
        return Finding("token", State.FAILED, found, f"chmod 600 {path}")
    return Finding("token", State.OK, f"{path}, for its owner alone")


def port(settings: Settings, *, answers: bool) -> Finding:
    """The port is free, or a Kyros server answers on it."""
    if answers:
        return Finding("port", State.OK, f"a server answers on {settings.port}")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        found = f"{settings.port} is taken by {holder_of(settings.port)} ({error.strerror})"
        return Finding("port", State.WARNING, found, "kyros serve --port 0")
    return Finding("port", State.OK, f"{settings.port} is free")


async def log_integrity(session: Session) -> Finding:
    """The log has no gap, and every event is chained to the one before it."""
    head = await session.perform(events.head, ReadHead())
    prev_hash, seq = GENESIS, 0
    while seq < head.seq:
        batch = await session.perform(events.read, ReadEvents(after=seq, limit=1000))
        for event in batch.items:
            if event.seq != seq + 1:
                found = f"after seq {seq} comes {event.seq}"
                return Finding("log", State.FAILED, found, "restore a backup")
            if not _is_chained(event, prev_hash):
                found = f"seq {event.seq} was altered: its hash does not follow from it"
                return Finding("log", State.FAILED, found, "restore a backup")
            prev_hash, seq = event.hash, event.seq
        if not batch.items:
            return Finding("log", State.FAILED, f"ends at {seq}, not at {head.seq}")
    return Finding("log", State.OK, f"{seq} events without a gap, hash chain holds")


def _is_chained(event: Event, prev_hash: str) -> bool:
    line = event.model_dump(mode="json", exclude={"hash", "prev_hash"})
    for absent in ("trace_id", "on_behalf_of"):
        if line.get(absent) is None:
            line.pop(absent, None)
    return event.prev_hash == prev_hash and rules.chain(prev_hash, line)[1] == event.hash
