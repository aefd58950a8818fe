"""Signed checkpoints: made in time by whoever comes first, kept for ever, checked by anyone."""

import asyncio
import base64

import psycopg
import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pysqlite3 import dbapi2 as sqlite

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import (
    Checkpoint,
    Checkpoints,
    ReadCheckpoints,
    ReadHead,
)
from kyros_collab_server.features.events.verifying import join
from kyros_collab_server.settings import Settings
from kyros_collab_server.store.log_lines import LogLines
from tests.callers import Caller, agent_of
from tests.conftest import Board, TurnedClock
from tests.store.tables import chained, raw_connection

pytestmark = pytest.mark.anyio


async def signed(caller: Caller, **asked: int) -> Checkpoints:
    found: Checkpoints = await caller.call(events.checkpoints, ReadCheckpoints(**asked))
    return found


def verified_by_hand(checkpoint: Checkpoint, listed: Checkpoints) -> bool:
    """As anyone would, knowing the specification and nothing of our code."""
    (key,) = [one for one in listed.keys if one.kid == checkpoint.key_id]
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key.x + "="))
    text = rfc8785.dumps(checkpoint.model_dump(exclude={"signature"}))
    try:
        public.verify(base64.urlsafe_b64decode(checkpoint.signature + "=="), text)
    except InvalidSignature:
        return False
    return True


async def test_a_minute_after_its_first_news_the_log_is_signed(board: Board) -> None:
    ana = await agent_of(board, "ana")
    await ana.say("news")
    await board.kyros.sweep()
    assert (await signed(ana)).data == []
    board.clock.advance(60)
    await board.kyros.sweep()
    listed = await signed(ana)
    lines = chained(board.opened.settings)
    (checkpoint,) = listed.data
    head = await ana.call(events.head, ReadHead())
    assert (checkpoint.seq, checkpoint.hash) == (head.seq, head.hash) == (len(lines), head.hash)
    assert checkpoint.workspace == "default"
    assert verified_by_hand(checkpoint, listed)
    assert not verified_by_hand(checkpoint.model_copy(update={"seq": 1}), listed)
    board.clock.advance(3_600)
    await board.kyros.sweep()
    assert [one.seq for one in (await signed(ana)).data if one.hash == head.hash] == [head.seq]


async def test_every_thousandth_event_is_signed_without_waiting(board: Board) -> None:
    ana = await agent_of(board, "ana")
    for _ in range(5):
        await asyncio.gather(*(ana.say(f"{number}") for number in range(420)))
    await board.kyros.sweep()
    listed = await signed(ana)
    assert [one.seq for one in listed.data] == [1_000, 2_000]
    assert all(verified_by_hand(one, listed) for one in listed.data)


async def test_processes_that_sign_together_make_each_checkpoint_once(
    board: Board, clock: TurnedClock
) -> None:
    ana = await agent_of(board, "ana")
    await ana.say("news")
    clock.advance(61)
    async with open_kyros(board.opened.settings, duties=False, clock=clock) as other:
        await asyncio.gather(board.kyros.sweep(), other.kyros.sweep())
    listed = await signed(ana)
    assert len(listed.data) == len(listed.keys) == 1


async def test_checkpoints_are_read_in_pages_of_ones_own_workspace(board: Board) -> None:
    ana = await agent_of(board, "ana")
    for _ in range(3):
        await ana.say("news")
        board.clock.advance(61)
        await board.kyros.sweep()
    first = await signed(ana, limit=2)
    assert first.next_cursor is not None
    rest = await signed(ana, limit=2, after=int(first.next_cursor))
    assert rest.next_cursor is None
    assert len(first.data + rest.data) == 3
    with raw_connection(board.opened.settings) as raw:
        raw.execute("INSERT INTO workspaces SELECT 'other', document FROM workspaces")
    bo = await agent_of(board, "bo", workspace="other")
    assert (await signed(bo)).data == []


async def test_nothing_updates_or_deletes_a_checkpoint(board: Board) -> None:
    ana = await agent_of(board, "ana")
    await ana.say("news")
    board.clock.advance(61)
    await board.kyros.sweep()
    before = await signed(ana)
    statements = [
        "UPDATE checkpoints SET hash = 'x'",
        "DELETE FROM checkpoints",
        "UPDATE checkpoint_keys SET x = 'x'",
        "DELETE FROM checkpoint_keys",
    ]
    if board.opened.settings.database_url:
        statements += ["TRUNCATE checkpoints", "TRUNCATE checkpoint_keys"]
    with raw_connection(board.opened.settings) as raw:
        for statement in statements:
            with pytest.raises((sqlite.IntegrityError, psycopg.errors.RaiseException)):
                raw.execute(statement)
    assert await signed(ana) == before


async def test_a_new_secret_signs_with_a_new_key_and_the_old_one_stays_published(
    store_settings: Settings, clock: TurnedClock
) -> None:
    for secret in ("", "s" * 32, "t" * 32, "s" * 32):
        settings = store_settings.model_copy(update={"secret": secret})
        async with open_kyros(settings, duties=False, clock=clock) as opened:
            ana = Caller(opened.kyros, opened.kyros.local_caller(agent="ana"))
            await ana.say("news")
            clock.advance(61)
            await opened.kyros.sweep()
            listed = await signed(ana)
    assert all(verified_by_hand(one, listed) for one in listed.data)
    kept, first, second, again = (one.key_id for one in listed.data)
    assert len({kept, first, second}) == 3
    assert again == first
    assert {one.kid for one in listed.keys} == {kept, first, second}


async def test_the_log_is_walked_on_either_engine_without_opening_the_store(board: Board) -> None:
    ana = await agent_of(board, "ana")
    await ana.say('ü \\ "quoted"', target="task:T-1")
    board.clock.advance(61)
    await board.kyros.sweep()
    settings = board.opened.settings
    path = None if settings.database_url else settings.sqlite_path
    lines = LogLines(path, settings.database_url)
    (log,) = lines.logs()
    head = await ana.call(events.head, ReadHead())
    assert (log.workspace, log.first, log.last, log.events) == ("default", 1, head.seq, head.seq)
    parts = [
        lines.check("default", seq - 1, seq, frozenset({1}), None if seq > 1 else 1)
        for seq in range(1, head.seq + 1)
    ]
    whole = join(parts)
    assert whole.difference is None
    assert whole.last_hash.decode() == head.hash
    assert list(whole.hashes) == [1]
    listed = await signed(ana)
    assert lines.checkpoints() == (listed.data, listed.keys)
