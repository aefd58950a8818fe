"""The log as a table: gapless over processes, chained, and closed to every change."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pysqlite3 import dbapi2 as sqlite

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.settings import Settings
from tests.callers import agent_of
from tests.conftest import Board
from tests.store.tables import chained, raw_connection

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
BOUND = 60


async def appended(settings: Settings, name: str, callers: int, count: int) -> dict[str, list[int]]:
    """What a process of its own was told."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.appender",
        str(settings.data_dir), settings.database_url or "-", name, str(callers), str(count),
        stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), BOUND)
    assert process.returncode == 0
    told: dict[str, list[int]] = json.loads(out)
    return told


async def test_processes_that_open_an_empty_store_together_write_one_gapless_log(
    store_settings: Settings,
) -> None:
    answers = await asyncio.gather(
        *(appended(store_settings, f"p{number}", 4, 25) for number in range(3))
    )
    told = {name: seqs for answer in answers for name, seqs in answer.items()}
    lines = chained(store_settings)
    notes = {line["seq"]: line for line in lines if line["event"] == "note"}
    assert sorted(seq for seqs in told.values() for seq in seqs) == sorted(notes)
    assert len(notes) == 300
    for name, seqs in told.items():
        assert seqs == sorted(seqs)
        for number, seq in enumerate(seqs):
            assert notes[seq]["actor"] == f"agent:{name}"
            assert notes[seq]["details"]["text"] == f"{name} {number}"
    created = [line for line in lines if line["event"] == "workspace_created"]
    assert len(created) == 1


async def test_nothing_updates_or_deletes_an_event(board: Board) -> None:
    settings = board.opened.settings
    before = chained(settings)
    statements = [
        "UPDATE events SET actor = 'x'",
        "UPDATE events SET seq = seq + 1000",
        "DELETE FROM events",
        "DELETE FROM events WHERE seq = 1",
    ]
    if settings.database_url:
        statements.append("TRUNCATE events")
    with raw_connection(settings) as raw:
        for statement in statements:
            with pytest.raises((sqlite.IntegrityError, psycopg.errors.RaiseException)):
                raw.execute(statement)
    assert chained(settings) == before


async def test_time_never_runs_backwards_in_the_log(board: Board) -> None:
    ana = await agent_of(board, "ana")
    (lease,) = await ana.acquire("r", ttl=60)
    board.clock.advance(-3_600)
    await ana.say("an hour earlier")
    assert (await ana.lease(lease.lock_id)).expires_in_ms == 60_000
    (late,) = await ana.acquire("s", ttl=60)
    board.clock.advance(3_600 + 60)
    assert (await ana.lease(late.lock_id)).expires_in_ms == 0
    assert (await ana.lease(late.lock_id)).state == "active"
    await ana.say("and on")
    times = chained(board.opened.settings)
    assert times[-1]["details"]["text"] == "and on"


async def test_the_log_is_the_same_after_a_restart(store_settings: Settings, clock: Any) -> None:
    heads = []
    for _ in range(2):
        async with open_kyros(store_settings, duties=False, clock=clock) as opened:
            board = Board(opened, clock)
            ana = await agent_of(board, "ana")
            await ana.create()
            heads.append((opened.kyros.epoch, opened.first_start, opened.credentials.token))
    assert heads[0][0] == heads[1][0]
    assert [first for _, first, _ in heads] == [True, False]
    assert heads[0][2] == heads[1][2]
    lines = chained(store_settings)
    assert [line["event"] for line in lines].count("task_created") == 2
    assert [line["event"] for line in lines].count("agent_registered") == 1
    assert [line["event"] for line in lines].count("key_created") == 1
