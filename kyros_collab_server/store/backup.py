"""Backups of a SQLite store: taken beside running writers, checked, and put back."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pysqlite3 import dbapi2 as sqlite

from kyros_collab_server.kernel.errors import Invalid, StorageFull
from kyros_collab_server.store import engine, revision
from kyros_collab_server.store.boot import SET_META
from kyros_collab_server.store.dialect import SqliteDb

FORGET_BOOT = "DELETE FROM store_meta WHERE name = 'boot_id'"
LOGS = "SELECT workspace, max(seq), count(*) FROM events GROUP BY workspace ORDER BY workspace"
EPOCH_BYTES = 8


class Sound(NamedTuple):
    """What a checked file holds."""

    revision: str
    events: int
    workspaces: int


class BackupBroken(Invalid):
    """The file is no sound store of this version."""

    def __init__(self, path: Path, rule: str) -> None:
        super().__init__(str(path), rule, fix="Take another backup.")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A connection to a file that is one file: without a log beside it."""
    raw = sqlite.connect(str(path), isolation_level=None)
    try:
        yield raw
    finally:
        raw.close()


def back_up(source: Path, target: Path) -> Sound:
    """The target is a sound copy of the store as it was at one instant; writers went on.

    Raises:
        BackupBroken: the copy is not sound; the target is as it was.
        StorageFull: there is no room for it.
    """
    fresh = _fresh(target)
    try:
        raw = engine.sqlite_connection(source, query_only=True)
        try:
            with _opened(fresh) as copy:
                raw.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
        finally:
            raw.close()
        found = check(fresh)
        _into_place(fresh, target)
    except sqlite.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (
            sqlite.SQLITE_FULL,
            sqlite.SQLITE_IOERR,
        ):
            raise StorageFull from error
        raise BackupBroken(source, "cannot be copied") from error
    finally:
        fresh.unlink(missing_ok=True)
    return found


def check(path: Path) -> Sound:
    """What a file holds that is a whole, sound store which this version reads.

    Raises:
        BackupBroken: it is not.
    """
    try:
        with _opened(path) as raw:
            said = [row[0] for row in raw.execute("PRAGMA integrity_check").fetchall()]
            if said != ["ok"]:
                raise BackupBroken(path, "fails SQLite's integrity check")
            at = raw.execute(revision.CURRENT).fetchone()
            logs = raw.execute(LOGS).fetchall()
    except sqlite.Error:
        raise BackupBroken(path, "is no store of Kyros") from None
    if at is None or at[0] > revision.NEWEST:
        raise BackupBroken(path, "is of a later version than this one")
    for workspace, last, count in logs:
        if last != count:
            raise BackupBroken(path, f"lacks events of the workspace {workspace}")
    return Sound(str(at[0]), sum(count for _, _, count in logs), len(logs))


def put_back(backup: Path, target: Path) -> Sound:
    """The backup is the store, under a new epoch; every live lease gets one full TTL more.

    The caller sees to it that there is no store at the target.

    Raises:
        BackupBroken: the backup is not sound; nothing was changed.
    """
    check(backup)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = _fresh(target)
    try:
        with _opened(backup) as raw, _opened(fresh) as copy:
            raw.backup(copy)
            db = SqliteDb(copy)
            copy.execute("BEGIN IMMEDIATE")
            db.run(SET_META, {"name": "epoch", "value": secrets.token_hex(EPOCH_BYTES)})
            db.run(FORGET_BOOT)  # so that the next start counts as one of another boot
            copy.execute("COMMIT")
        found = check(fresh)
        for beside in ("-wal", "-shm"):
            target.with_name(target.name + beside).unlink(missing_ok=True)
        _into_place(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)
    return found


def _fresh(target: Path) -> Path:
    """An empty file beside the target, for its owner alone: a store holds hashes and a secret."""
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return fresh


def _into_place(fresh: Path, target: Path) -> None:
    handle = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    fresh.replace(target)
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
