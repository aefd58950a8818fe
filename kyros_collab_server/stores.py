"""Stores: opened where the settings say, made from a board, read for an export."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from kyros_collab_server.adapters.boards import Board
from kyros_collab_server.adapters.signing import CheckpointSigner
from kyros_collab_server.features.identity.model import DEFAULT_WORKSPACE
from kyros_collab_server.features.leases import holding
from kyros_collab_server.features.messages import service as messages
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.kernel.ids import new_request_id
from kyros_collab_server.kernel.principal import ROLE_SCOPES, Principal, Role
from kyros_collab_server.kernel.time import Clock
from kyros_collab_server.settings import Settings
from kyros_collab_server.store import restoring
from kyros_collab_server.store.database import Database, StoreOptions, open_database
from kyros_collab_server.store.exporting import Exports

ROOT = Principal(
    id="system", scopes=ROLE_SCOPES[Role.ADMIN], workspace=DEFAULT_WORKSPACE, face="start"
)
"""Who acts while a store is opened."""


def store_options(settings: Settings, clock: Clock | None = None) -> StoreOptions:
    """Where these settings put the store."""
    return StoreOptions(
        sqlite_path=None if settings.database_url else settings.sqlite_path,
        database_url=settings.database_url,
        secret=settings.secret,
        batch_limit=settings.batch_limit,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        read_threads=settings.read_threads,
        failpoint=settings.failpoint,
        clock=clock,
    )


def open_store_of(options: StoreOptions) -> Database:
    """The store, migrated and open, with what the features bring along."""
    return open_database(
        options,
        deliver=messages.deliver,
        lease_ended=(tasks.requeue,),
        late_result=holding.check_late_result,
        signer_of=CheckpointSigner,
    )


async def restore_board(
    settings: Settings, board: Board, clock: Clock | None = None
) -> restoring.Outcome:
    """An empty store is the board. No key is made, so nothing is added to the log."""
    database = await asyncio.to_thread(open_store_of, store_options(settings, clock))
    try:
        principal = replace(ROOT, workspace=board.name, request_id=new_request_id())
        outcome: restoring.Outcome = await database.write(
            principal, partial(restoring.restore, board=board)
        )
        return outcome
    finally:
        await asyncio.to_thread(database.close)


async def store_is_empty(settings: Settings) -> bool:
    """True while nothing ever happened in the store."""
    database = await asyncio.to_thread(open_store_of, store_options(settings))
    try:
        return await database.read(ROOT, restoring.is_empty)
    finally:
        await asyncio.to_thread(database.close)


@asynccontextmanager
async def open_export(settings: Settings, workspace: str) -> AsyncIterator[Exports]:
    """The store, to be read alone: nothing is made and nothing is written."""
    database = await asyncio.to_thread(open_store_of, store_options(settings))
    try:
        yield Exports(database.readers, workspace)
    finally:
        await asyncio.to_thread(database.close)
