"""A writer that does not let go: bounded waits, reads that go on, no write behind one's back."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.kernel.errors import StoreUnavailable, WriterStalled
from kyros_collab_server.settings import Settings
from tests.callers import agent_of, refused
from tests.conftest import Board, TurnedClock
from tests.store.gates import BOUND, TESTER, Gate, note
from tests.store.tables import chained, raw_connection

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


@pytest.fixture
def impatient(store_settings: Settings) -> Settings:
    """Settings of a store that waits 300 ms for the write lock."""
    return store_settings.model_copy(update={"lock_timeout_seconds": 0.3})


@asynccontextmanager
async def stopped_writer(
    settings: Settings,
) -> AsyncIterator[tuple[int, Callable[[], Awaitable[Any]]]]:
    """Another writer of the default workspace that is stopped; its pid, and how to end it."""
    if settings.database_url:
        with raw_connection(settings) as raw:
            raw.execute("BEGIN")
            raw.execute("SELECT pg_advisory_xact_lock(hashtextextended('kyros:default', 0))")
            yield 0, lambda: asyncio.to_thread(raw.execute, "ROLLBACK")
        return
    lock = settings.sqlite_path.with_name(settings.sqlite_path.name + ".lock")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.lock_holder", str(lock),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), BOUND) == b"held\n"
        os.kill(process.pid, signal.SIGSTOP)
        yield process.pid, end
    finally:
        await end()


async def test_a_stalled_writer_is_named_in_time_and_never_robbed(
    impatient: Settings, clock: TurnedClock
) -> None:
    async with open_kyros(impatient, duties=False, clock=clock) as opened:
        board = Board(opened, clock)
        ana = await agent_of(board, "ana")
        await ana.create("T-1")
        before = chained(impatient)
        async with stopped_writer(impatient) as (pid, end):
            with refused("writer_stalled") as refusal:
                await asyncio.wait_for(ana.create("T-2"), 5)
            assert refusal.facts.get("pid") in (pid, None)
            assert (refusal.facts.get("pid") == pid) == (not impatient.database_url)
            assert (await asyncio.wait_for(ana.task("T-1"), 5)).id == "T-1"
            assert (await opened.kyros.health()).ok
            with refused("writer_stalled"):
                await asyncio.wait_for(ana.create("T-3"), 5)
            await end()
        created = await asyncio.wait_for(ana.create("T-4"), BOUND)
        assert created.id == "T-4"
        assert [line["target"] for line in chained(impatient)[len(before) :]] == ["task:T-4"]


async def test_a_read_waits_for_no_writer_and_sees_nothing_unfinished(board: Board) -> None:
    store: Any = board.kyros._store
    gate = Gate()

    def unfinished(work: Any) -> None:
        work.events.append("note", None, {"text": "unfinished"})
        work.events.one(1)
        gate(work)

    head = await store.read(TESTER, lambda work: work.events.head().seq)
    writing = asyncio.ensure_future(store.write(TESTER, unfinished))
    await gate.entered()
    reading = store.read(TESTER, lambda work: work.events.head().seq)
    assert await asyncio.wait_for(reading, BOUND) == head
    gate.open()
    await asyncio.wait_for(writing, BOUND)
    assert await store.read(TESTER, lambda work: work.events.head().seq) == head + 1


async def test_a_read_is_one_snapshot_and_stops_no_writer(board: Board) -> None:
    store: Any = board.kyros._store
    gate = Gate()

    def twice(work: Any) -> tuple[int, int]:
        def heads() -> int:
            return int(work.db.one("SELECT max(seq) FROM events")[0])

        first = heads()
        gate(work)
        return first, heads()

    reading = asyncio.ensure_future(store.read(TESTER, twice))
    await gate.entered()
    seq = await asyncio.wait_for(store.write(TESTER, note("meanwhile")), BOUND)
    gate.open()
    assert await asyncio.wait_for(reading, BOUND) == (seq - 1, seq - 1)


async def test_a_reader_cannot_write(board: Board) -> None:
    store: Any = board.kyros._store
    statement = "INSERT INTO store_meta (name, value) VALUES ('x', 'y')"
    with pytest.raises(StoreUnavailable):
        await store.read(TESTER, lambda work: work.db.run(statement))
    assert await store.read(TESTER, lambda work: work.events.head().seq) > 0


async def test_every_commit_is_durable_before_its_answer(board: Board) -> None:
    store: Any = board.kyros._store

    def said(work: Any) -> str:
        if store.on_postgres:
            return str(work.db.one("SHOW synchronous_commit")[0])
        names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")
        return " ".join(str(work.db.one(f"PRAGMA {name}")[0]) for name in names)

    assert await store.write(TESTER, said) == ("on" if store.on_postgres else "wal 2 1 4000")


def test_a_stalled_writer_is_worth_another_try() -> None:
    assert WriterStalled(1).retryable
