"""Commits of other processes wake whoever waits here, on both engines, bell or no bell."""

import asyncio

import pytest

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import ReadEvents
from kyros_collab_server.kernel.principal import Principal
from tests.callers import agent_of
from tests.conftest import Board
from tests.store.tables import raw_connection
from tests.store.test_log import appended

pytestmark = pytest.mark.anyio
BOUND = 30


async def test_an_event_of_another_process_ends_a_wait_here(board: Board) -> None:
    ana = await agent_of(board, "ana")
    head = await ana.head()
    command = ReadEvents(after=head, types=["note"], wait_seconds=BOUND)
    waiting = asyncio.create_task(ana.call(events.read, command))
    other = asyncio.create_task(appended(board.opened.settings, "far", 1, 1))
    batch = await asyncio.wait_for(waiting, BOUND)
    assert [event.actor for event in batch.items] == ["agent:far-0"]
    await other


async def test_another_store_open_on_the_same_data_wakes_each_wait_in_turn(board: Board) -> None:
    settings = board.opened.settings
    async with open_kyros(settings, duties=False, clock=board.clock) as second:
        ana = await agent_of(board, "ana")
        ben = await agent_of(Board(second, board.clock), "ben")
        await ben.head()
        for turn in range(5):
            head = await ana.head()
            waiting = asyncio.create_task(board.kyros.feed.after("default", head, BOUND))
            seq = await ben.say(str(turn))
            assert await asyncio.wait_for(waiting, BOUND) >= seq


async def test_a_lost_bell_delays_and_never_loses(board: Board) -> None:
    """The listening connection is cut, and this process's own bell is silent."""
    settings = board.opened.settings
    async with open_kyros(settings, duties=False, clock=board.clock) as second:
        ana = await agent_of(board, "ana")
        ben = await agent_of(Board(second, board.clock), "ben")
        head = await ben.say("before")
        waiting = asyncio.create_task(board.kyros.feed.after("default", head, BOUND))
        await asyncio.sleep(0)
        if settings.database_url:
            with raw_connection(settings) as raw:
                raw.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE query LIKE 'LISTEN%' AND datname = current_database()"
                )
        seq = await ben.say("after")
        assert await asyncio.wait_for(waiting, BOUND) >= seq
        assert (await ana.log("note"))[-1].seq == seq


async def test_a_wait_is_only_woken_by_its_own_workspace(board: Board) -> None:
    store = board.kyros._store
    other = Principal(id="x", scopes=frozenset(), workspace="other", user="x")
    await board.kyros.feed.after("default", 0, 0.01)
    head = board.kyros.feed.head("default")
    await store.write(other, lambda work: work.events.append("note", None, {}))  # type: ignore[arg-type]
    assert await board.kyros.feed.after("default", head, 0.05) == head
    assert await asyncio.wait_for(board.kyros.feed.after("other", 0, BOUND), BOUND) == 1
