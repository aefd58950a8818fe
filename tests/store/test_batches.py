"""The lane: one commit for a batch, a savepoint for each operation, the culprit alone."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.features.leases import rules as lease_rules
from kyros_collab_server.kernel.errors import (
    Invalid,
    StorageFull,
    StoreConflict,
    StoreUnavailable,
)
from kyros_collab_server.settings import Settings
from kyros_collab_server.store.lane import Committed
from kyros_collab_server.store.work import SqlWork
from tests.conftest import Board
from tests.store.gates import BOUND, TESTER, in_one_batch, note
from tests.store.tables import chained, raw_connection, rows

pytestmark = pytest.mark.anyio


async def test_what_queued_during_a_commit_is_committed_once(board: Board) -> None:
    store: Any = board.kyros._store
    commits: list[Committed] = []
    store.on_commit(commits.append)
    before = len(chained(board.opened.settings))
    answers = await in_one_batch(store, *(note(str(n)) for n in range(50)))
    assert answers == list(range(before + 1, before + 51))
    assert [one.heads for one in commits] == [{}, {"default": before + 50}]
    assert len(chained(board.opened.settings)) == before + 50


async def test_a_refusal_takes_back_its_own_operation_alone(board: Board) -> None:
    store: Any = board.kyros._store

    def refuse(work: Any) -> None:
        work.events.append("note", None, {"text": "refused"})
        work.db.run("INSERT INTO store_meta (name, value) VALUES ('refused', 'x')")
        assert work.events.one(work.events.head().seq).details["text"] == "refused"
        raise Invalid("title", "is wrong")

    def fail(work: Any) -> None:
        work.events.append("note", None, {"text": "failed"})
        raise LookupError("a defect of ours")

    answers = await in_one_batch(store, note("a"), refuse, note("b"), fail, note("c"))
    assert isinstance(answers[1], Invalid)
    assert isinstance(answers[3], LookupError)
    lines = chained(board.opened.settings)
    assert [line["details"]["text"] for line in lines[-3:]] == ["a", "b", "c"]
    assert [answers[0], answers[2], answers[4]] == [line["seq"] for line in lines[-3:]]
    assert rows(board.opened.settings, "SELECT * FROM store_meta WHERE name = 'refused'") == []


async def test_a_fenced_write_leaves_its_event_and_nothing_else(board: Board) -> None:
    store: Any = board.kyros._store

    def fenced(work: Any) -> None:
        work.events.append("note", None, {"text": "refused"})
        raise lease_rules.fenced_off("task:T-1", work.actor, "task_update", 1, None, 2)

    await in_one_batch(store, note("a"), fenced, note("b"))
    names = [line["event"] for line in chained(board.opened.settings)[-3:]]
    assert names == ["note", "write_fenced", "note"]


async def test_units_of_one_call_stand_up_to_the_first_that_refuses(board: Board) -> None:
    store: Any = board.kyros._store

    def refuse(work: Any) -> None:
        work.events.append("note", None, {"text": "second"})
        raise Invalid("x", "is wrong")

    with pytest.raises(Invalid):
        await store.write(TESTER, note("first"), refuse, note("third"))
    assert chained(board.opened.settings)[-1]["details"]["text"] == "first"
    assert await store.write(TESTER, note("a"), note("b")) == len(chained(board.opened.settings))


async def test_a_statement_that_the_store_refuses_fails_its_own_operation_alone(
    board: Board,
) -> None:
    """On Postgres the failure shows at a later statement of the pipeline: of a neighbour's."""
    store: Any = board.kyros._store

    def twice(work: Any) -> None:
        work.db.run("INSERT INTO store_meta (name, value) VALUES ('epoch', 'x')")

    answers = await in_one_batch(store, note("a"), twice, note("b"), twice, note("c"))
    assert isinstance(answers[1], StoreConflict)
    assert isinstance(answers[3], StoreConflict)
    lines = chained(board.opened.settings)
    assert [line["details"]["text"] for line in lines[-3:]] == ["a", "b", "c"]
    assert [answers[0], answers[2], answers[4]] == [line["seq"] for line in lines[-3:]]


async def test_many_callers_at_once_get_every_seq_exactly_once(board: Board) -> None:
    store: Any = board.kyros._store
    before = len(chained(board.opened.settings))
    seqs = await asyncio.wait_for(
        asyncio.gather(*(store.write(TESTER, note(str(n))) for n in range(600))), BOUND
    )
    assert sorted(seqs) == list(range(before + 1, before + 601))
    lines = chained(board.opened.settings)
    assert {line["details"]["text"]: line["seq"] for line in lines[before:]} == {
        str(n): seq for n, seq in enumerate(seqs)
    }


async def test_statements_that_were_prepared_survive_refusals(board: Board) -> None:
    store: Any = board.kyros._store

    def refuse(work: Any) -> None:
        work.events.append("note", None, {})
        work.events.one(1)
        raise Invalid("x", "is wrong")

    for turn in range(12):
        answers = await in_one_batch(store, refuse, note(f"a{turn}"), refuse, note(f"b{turn}"))
        assert [isinstance(one, int) for one in answers] == [False, True, False, True]
    chained(board.opened.settings)
    writer = store._lane._writer
    if store.on_postgres:
        assert len(writer._raw._prepared._names) > 3


async def test_a_store_that_cannot_be_written_to_says_storage_full_and_recovers(
    board: Board,
) -> None:
    store: Any = board.kyros._store

    def fill(work: Any) -> None:
        if store.on_postgres:
            work.db.run("SET TRANSACTION READ ONLY")
        else:
            pages = work.db.one("PRAGMA page_count")[0]
            work.db.run(f"PRAGMA max_page_count = {pages}")
        for number in range(20):
            work.events.append("note", None, {"text": str(number) * 10_000})
        work.events.one(1)

    before = chained(board.opened.settings)
    with pytest.raises(StorageFull) as full:
        await store.write(TESTER, fill)
    assert full.value.retry_after_seconds
    head = await store.read(TESTER, lambda work: work.events.head().seq)
    assert head == len(before)
    if not store.on_postgres:
        await store.write(TESTER, lambda work: work.db.run("PRAGMA max_page_count = 4294967294"))
    assert await store.write(TESTER, note("again")) == len(before) + 1
    assert chained(board.opened.settings)[:-1] == before


CUT = """
CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON store_meta DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION cut()
"""
"""The server drops the connection while it commits: after COMMIT was sent, before its answer."""


async def test_a_commit_whose_answer_is_lost_is_unknown_and_never_failed(
    postgres_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=postgres_url)
    async with open_kyros(settings, duties=False) as opened:
        store: Any = opened.kyros._store
        with raw_connection(settings) as raw:
            raw.execute(CUT)

        def cut(work: Any) -> None:
            work.events.append("note", None, {"text": "unknown"})
            work.db.run("INSERT INTO store_meta (name, value) VALUES ('cut', 'x')")

        answers = await in_one_batch(store, note("beside"), cut)
        for answer in answers:
            assert isinstance(answer, StoreUnavailable)
            assert answer.facts["outcome"] == "unknown"
            assert answer.retryable
        assert await store.write(TESTER, note("after")) == len(chained(settings))


async def test_a_connection_that_breaks_after_its_commit_takes_nothing_back(
    postgres_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=postgres_url)
    async with open_kyros(settings, duties=False) as opened:
        store: Any = opened.kyros._store
        writer = store._writer(store.readers._shared)
        with writer.transaction({"default"}) as transaction:
            note("kept")(SqlWork(transaction.batch, TESTER))
            transaction.commit(transaction.batch.finish())
            with raw_connection(settings) as raw:
                raw.execute("SELECT pg_terminate_backend(%s)", (writer._raw.info.backend_pid,))
        with writer.transaction({"default"}) as transaction:
            note("next")(SqlWork(transaction.batch, TESTER))
            transaction.commit(transaction.batch.finish())
        writer.close()
        texts = [line["details"].get("text") for line in chained(settings)]
        assert texts[-2:] == ["kept", "next"]


async def test_a_connection_that_breaks_before_the_commit_leaves_nothing(
    postgres_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=postgres_url)
    async with open_kyros(settings, duties=False) as opened:
        store: Any = opened.kyros._store
        before = chained(settings)

        def cut(work: Any) -> None:
            work.events.append("note", None, {"text": "gone"})
            pid = work.db.raw.info.backend_pid
            with raw_connection(settings) as raw:
                raw.execute("SELECT pg_terminate_backend(%s)", (pid,))

        (answer,) = await in_one_batch(store, cut)
        assert isinstance(answer, StoreUnavailable)
        assert chained(settings) == before
        assert await store.write(TESTER, note("after")) == len(before) + 1


async def test_a_closed_store_refuses_instead_of_hanging(board: Board) -> None:
    store: Any = board.kyros._store
    waiting = asyncio.ensure_future(store.write(TESTER, note("last")))
    await asyncio.sleep(0)
    await asyncio.to_thread(store._lane.close)
    assert isinstance(await asyncio.wait_for(waiting, BOUND), int)
    with pytest.raises(StoreUnavailable):
        await store.write(TESTER, note("too late"))
