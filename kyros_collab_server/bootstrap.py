"""The composition root: settings → store → change feed → Kyros. It alone knows both sides."""

import asyncio
import importlib.metadata
import json
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kyros_collab_server.adapters.boards import Board
from kyros_collab_server.adapters.change_feed import postgres, sqlite
from kyros_collab_server.adapters.change_feed.feed import ChangeFeed
from kyros_collab_server.adapters.follower import Follower
from kyros_collab_server.adapters.projection import Projection
from kyros_collab_server.application import Kyros
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import (
    DEFAULT_WORKSPACE,
    CreateKey,
    WorkspaceSettings,
)
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.kernel.ids import new_request_id
from kyros_collab_server.kernel.principal import ROLE_SCOPES, Principal, Role
from kyros_collab_server.kernel.time import Clock
from kyros_collab_server.ports import Check
from kyros_collab_server.settings import Settings
from kyros_collab_server.store import restoring, revision
from kyros_collab_server.store.database import Database, StoreOptions, measure
from kyros_collab_server.store.exporting import Exports
from kyros_collab_server.store.failpoints import Failpoint
from kyros_collab_server.store.lane import Committed
from kyros_collab_server.stores import ROOT, open_store_of, restore_board, store_options

log = logging.getLogger(__name__)

LOCAL_KEY_NAME = "local-admin"
CREDENTIALS_FILE = "credentials.json"
NOT_FOR_GIT = "credentials.json*\nkyros.db*\n*.lock\n.gitignore\n"
"""What of a data directory inside a repository git must never see."""
SWEEP_SECONDS = 1.0
PRUNE_SECONDS = 600.0
LEAST_FREE_BYTES = 16 * 1024 * 1024
"""Free space on the store's disk below which the deployment counts as not ready."""


@dataclass(frozen=True)
class LocalCredentials:
    """The local admin's key; kept in the data directory, readable by its owner alone."""

    token: str


@dataclass(frozen=True)
class Opened:
    """An open deployment."""

    kyros: Kyros
    settings: Settings
    credentials: LocalCredentials
    first_start: bool


@asynccontextmanager
async def open_kyros(
    settings: Settings,
    *,
    duties: bool = True,
    clock: Clock | None = None,
    restores: Callable[[], Board] | None = None,
) -> AsyncIterator[Opened]:
    """An open deployment for the block: migrated, with a local admin, its feed and its duties.

    A store in which nothing ever happened begins as the board that `restores` gives.

    Raises:
        Invalid: the store cannot be trusted as configured; names the remedy.
        StoreUnavailable: the database does not answer.
    """
    options = store_options(settings, clock)
    database = await asyncio.to_thread(open_store_of, options)
    if restores is not None and await database.read(ROOT, restoring.is_empty):
        await asyncio.to_thread(database.close)
        await restore_board(settings, await asyncio.to_thread(restores), clock)
        database = await asyncio.to_thread(open_store_of, options)
    running: list[asyncio.Task[None]] = []
    listener: postgres.Listener | None = None
    follower: Follower | None = None
    try:
        feed = ChangeFeed(lambda names: asyncio.to_thread(database.heads, names))
        database.on_commit(partial(_tell, feed))
        if not database.on_postgres:
            running.append(asyncio.create_task(sqlite.follow_file(feed, database.stamp)))
        else:
            listener = postgres.Listener(feed, database.listening_connection)
            listener.start()
            running.append(asyncio.create_task(postgres.poll(feed)))
        if duties and (not settings.database_url or "data_dir" in settings.model_fields_set):
            follower = _follower(database, settings)
        checks = partial(_checks, database, options, follower)
        kyros = Kyros(database, feed, version=version(), checks=checks)
        first_start, credentials = await _first_start(database, settings)
        if duties:
            running.append(asyncio.create_task(_duties(kyros)))
        if follower is not None:
            running.append(asyncio.create_task(follower.run()))
        yield Opened(kyros, settings, credentials, first_start)
    finally:
        for task in running:
            task.cancel()
        for task in running:
            with suppress(asyncio.CancelledError):
                await task
        if listener is not None:
            await asyncio.to_thread(listener.stop)
        if follower is not None:
            await follower.stop()
        await asyncio.to_thread(database.close)


def _follower(database: Database, settings: Settings) -> Follower:
    """What keeps the files of the data directory up to date with the default workspace."""
    failpoint = Failpoint(settings.failpoint) if settings.failpoint else None
    exports = Exports(database.readers, DEFAULT_WORKSPACE)
    follower = Follower(Projection(settings.data_dir, exports, failpoint))
    database.on_commit(lambda _: follower.ring())
    return follower


def version() -> str:
    """The installed release."""
    return importlib.metadata.version("kyros")


def _tell(feed: ChangeFeed, committed: Committed) -> None:
    feed.ring(committed.heads)
    for workspace, beat in committed.beats:
        feed.publish(workspace, "beat", beat)


async def _duties(kyros: Kyros) -> None:
    """Sweep every second and prune every ten minutes, until cancelled."""
    pruned = time.monotonic()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await kyros.sweep()
            if time.monotonic() - pruned >= PRUNE_SECONDS:
                await kyros.prune()
                pruned = time.monotonic()
        except KyrosError as refusal:
            log.warning("duty_refused", extra={"code": refusal.code})
        except Exception:
            log.exception("duty_failed")


async def _first_start(database: Database, settings: Settings) -> tuple[bool, LocalCredentials]:
    """Open the default workspace where there is none, and have a key for the local admin."""
    principal = Principal(
        id=ROOT.id,
        scopes=ROOT.scopes,
        workspace=DEFAULT_WORKSPACE,
        face="start",
        request_id=new_request_id(),
    )
    kept = _kept_token(settings)
    known = False
    if kept is not None:
        record = await database.read(principal, lambda work: identity.admitted(work, kept))
        known = record is not None

    def unit(work: Any) -> tuple[bool, str]:
        first = work.workspaces.get(DEFAULT_WORKSPACE) is None
        if first:
            identity.open_workspace(work, DEFAULT_WORKSPACE, WorkspaceSettings())
        if known and kept is not None:
            return first, kept
        made = identity.mint(
            work,
            CreateKey(name=LOCAL_KEY_NAME, role=Role.ADMIN),
            tuple(scope.value for scope in sorted(ROLE_SCOPES[Role.ADMIN])),
            ("*",),
            principal=identity.LOCAL_PRINCIPAL,
        )
        return first, made.key

    if known:
        return False, LocalCredentials(kept or "")
    first, token = await database.write(principal, unit)
    _keep_token(settings, token)
    return first, LocalCredentials(token)


def _credentials_path(settings: Settings) -> Path:
    return settings.data_dir / CREDENTIALS_FILE


def _kept_token(settings: Settings) -> str | None:
    try:
        kept = json.loads(_credentials_path(settings).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    token = kept.get("token") if isinstance(kept, dict) else None
    return token if isinstance(token, str) else None


def _keep_token(settings: Settings, token: str) -> None:
    path = _credentials_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    unseen = path.parent / ".gitignore"
    if not unseen.exists():
        unseen.write_text(NOT_FOR_GIT, encoding="utf-8")
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"token": token}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


async def _checks(
    database: Database, options: StoreOptions, follower: Follower | None
) -> list[Check]:
    """The database answers, stands at the migration head, its disk has room, its files keep up."""
    ms, refusal = await measure(database)
    checks = [Check(name="database", ok=refusal is None, ms=ms, detail=refusal and refusal.code)]
    began = time.perf_counter()
    try:
        at = await asyncio.to_thread(revision.current, options.sqlite_path, options.database_url)
    except KyrosError:
        at = "unknown"
    detail = f"{at}, newest {revision.NEWEST}"
    checks.append(_check("migrations", at == revision.NEWEST, began, detail))
    if options.sqlite_path is not None:
        began = time.perf_counter()
        free = shutil.disk_usage(options.sqlite_path.parent).free
        checks.append(_check("disk", free >= LEAST_FREE_BYTES, began, f"{free} bytes free"))
    if follower is not None:
        lag = follower.lag
        checks.append(Check(name="projection", ok=lag is None, ms=0, detail=lag, optional=True))
    return checks


def _check(name: str, ok: bool, began: float, detail: str) -> Check:
    ms = (time.perf_counter() - began) * 1000
    return Check(name=name, ok=ok, ms=round(ms, 3), detail=None if ok else detail)
