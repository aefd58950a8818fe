"""The log's operations: append, read by cursor and filter, wait without missing anything."""

import asyncio

import pytest
from pydantic import ValidationError

from kyros_collab_server.features.events import accounts
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import (
    AppendEvent,
    EventBatch,
    FindSeq,
    ReadEvents,
    ReadHead,
    Summarise,
    Summary,
)
from kyros_collab_server.kernel.time import rfc3339
from tests.callers import Caller, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio
BOUND = 20


async def read(caller: Caller, **fields: object) -> EventBatch:
    batch: EventBatch = await caller.call(events.read, ReadEvents.model_validate(fields))
    return batch


async def test_an_appended_event_is_the_callers_and_chained_to_the_head(ana: Caller) -> None:
    await ana.head()
    before = await ana.call(events.head, ReadHead())
    seq = await ana.say("hello", "build.passed", target="task:T-1", details={"n": 1})
    assert seq == before.seq + 1
    (event,) = (await read(ana, after=before.seq)).items
    assert (event.seq, event.actor, event.event) == (seq, "agent:ana", "build.passed")
    assert event.details == {"n": 1, "text": "hello"}
    assert (event.target, event.workspace) == ("task:T-1", "default")
    assert event.request_id.startswith("rq_")
    assert event.prev_hash == before.hash
    after = await ana.call(events.head, ReadHead())
    assert (after.seq, after.hash, after.epoch) == (seq, event.hash, ana.kyros.epoch)


async def test_reserved_names_and_outsized_details_are_refused(ana: Caller) -> None:
    await ana.head()
    head = await ana.head()
    for name in ("task_created", "lease_reclaimed", "job_done", "write_fenced", "hello"):
        with refused("invalid_field", field="event"):
            await ana.say("x", name)
    with refused("too_large", allowed=16_384):
        await ana.say("x", details={"x": "a" * 16_384})
    for details in ({"n": 2**53}, {"n": float("nan")}, {"x": "\x00"}, {"\u202e": 1}):
        with refused("invalid_field", field="details"):
            await ana.say("x", details=details)
    deep: dict[str, object] = {}
    for _ in range(5_000):
        deep = {"x": deep}
    with refused("invalid_field"):
        await ana.call(events.append, AppendEvent.model_construct(event="note", details=deep))
    assert await ana.head() == head


@pytest.mark.parametrize(
    "details", [{"n": 2**60}, {"n": float("nan")}, {"x": "\ud800"}, {"x": ["\x00"]}]
)
async def test_bad_details_are_refused_under_an_idempotency_key_too(
    ana: Caller, details: dict[str, object]
) -> None:
    command = AppendEvent.model_construct(event="note", details=details, text=None, to=None)
    with refused("invalid_field"):
        await ana.call(events.append, command, "key")


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "note", "text": "a\x00"},
        {"event": "note", "text": "\u202e"},
        {"event": "note", "text": "x" * 16_385},
        {"event": "Note"},
        {"event": "n" * 65},
        {"event": "note", "target": "T-1"},
        {"event": "note", "target": "task:a b"},
        {"event": "note", "target": "task:\u202e"},
        {"event": "note", "target": "task:\u200b"},
        {"event": "note", "target": "task:" + "x" * 260},
        {"event": "note", "details": []},
        {"event": "note", "to": []},
        {"event": "note", "to": ["a b"]},
        {"event": "note", "actor": "agent:ben"},
        {"event": "note", "seq": 1},
    ],
)
def test_an_event_beyond_its_bounds_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AppendEvent.model_validate(fields)


async def test_a_filter_skips_and_its_cursor_covers_what_it_skipped(
    ana: Caller, ben: Caller
) -> None:
    start = await ben.head()
    await ana.create("T-1")
    await ana.say("a", target="task:T-1")
    await ben.say("b")
    await ana.create("T-2")
    head = await ana.head()
    for fields, found in (
        ({"types": ["note"]}, ["a", "b"]),
        ({"types": ["note"], "actor": "agent:ana"}, ["a"]),
        ({"types": ["note"], "target": "task:T-1"}, ["a"]),
        ({"types": ["n*"]}, ["a", "b"]),
        ({"types": ["nothing"]}, []),
    ):
        batch = await read(ana, after=start, **fields)
        assert [event.details["text"] for event in batch.items] == found
        assert batch.cursor == batch.head == head
    names = [one.event for one in (await read(ana, after=start, types=["task_*"])).items]
    assert names == ["task_created", "task_created"]
    assert (await read(ana, after=start, types=["task.*"])).items == []


async def test_pages_follow_the_cursor_without_gap_or_repeat(ana: Caller) -> None:
    for number in range(7):
        await ana.say(str(number))
        await ana.say(str(number), "progress")
    seen: list[str] = []
    cursor = 0
    for _ in range(10):
        batch = await read(ana, after=cursor, types=["note"], limit=3)
        seen += [event.details["text"] for event in batch.items]
        if batch.cursor == batch.head:
            break
        assert batch.cursor > cursor
        cursor = batch.cursor
    assert seen == [str(number) for number in range(7)]
    newest = await read(ana, limit=2)
    assert [event.seq for event in newest.items] == [batch.head - 1, batch.head]
    older = await read(ana, before=newest.items[0].seq, limit=2)
    assert [event.seq for event in older.items] == [batch.head - 3, batch.head - 2]
    beyond = await read(ana, after=batch.head + 100)
    assert (beyond.items, beyond.cursor) == ([], batch.head + 100)


async def test_a_wait_ends_at_once_when_something_matches_already(ana: Caller) -> None:
    seq = await ana.say("there")
    batch = await asyncio.wait_for(read(ana, after=seq - 1, wait_seconds=60), BOUND)
    assert [event.seq for event in batch.items] == [seq]


async def test_a_wait_ends_at_the_first_match_and_passes_over_the_rest(
    ana: Caller, ben: Caller
) -> None:
    start = await ben.head()
    await ana.head()
    waiting = asyncio.create_task(
        read(ana, after=start, types=["decision"], actor="agent:ben", wait_seconds=60)
    )
    for _ in range(3):
        await ben.say("no")
        await ana.say("no", "decision")
    seq = await ben.say("yes", "decision")
    batch = await asyncio.wait_for(waiting, BOUND)
    assert [event.seq for event in batch.items] == [seq]
    assert batch.cursor >= seq


async def test_a_wait_ends_at_its_deadline_with_a_cursor_that_covers_what_it_skipped(
    ana: Caller, ben: Caller
) -> None:
    await ana.head()
    await ben.say("skipped")
    head = await ben.head()
    batch = await asyncio.wait_for(
        read(ana, after=0, types=["nothing.of_this_name"], wait_seconds=0.05), BOUND
    )
    assert (batch.items, batch.cursor) == ([], head)
    nothing = await asyncio.wait_for(read(ana, wait_seconds=0.05), BOUND)
    assert (nothing.items, nothing.cursor) == ([], head)


async def test_a_waiter_misses_nothing_between_reading_and_waiting(
    ana: Caller, ben: Caller
) -> None:
    count = 60
    cursor = await ben.head()
    await ana.head()
    writing = asyncio.create_task(_say_many(ben, count))
    seen: list[str] = []
    while len(seen) < count:
        batch = await asyncio.wait_for(
            read(ana, after=cursor, types=["note"], wait_seconds=BOUND), BOUND
        )
        assert batch.items
        seen += [event.details["text"] for event in batch.items]
        cursor = batch.cursor
    await writing
    assert seen == [str(number) for number in range(count)]


async def _say_many(caller: Caller, count: int) -> None:
    for number in range(count):
        await caller.say(str(number))


async def test_an_instant_finds_the_events_at_or_after_it(board: Board, ana: Caller) -> None:
    first = await ana.say("first")
    later(board, 10)
    second = await ana.say("second")
    instant = rfc3339(board.clock.wall_ms())

    async def since(ts: str) -> int:
        seq: int = await ana.call(events.find_seq, FindSeq(ts=ts))
        return seq

    assert await since(instant) == second - 1
    assert await since(instant.replace("Z", "+00:00")) == second - 1
    assert first <= await since(rfc3339(board.clock.wall_ms() - 5_000)) < second
    assert await since("1970-01-01T00:00:00Z") == 0
    assert await since("9999-01-01T00:00:00Z") == second
    for bad in ("yesterday", "2026-01-01T00:00:00", "2026-01-01\x00", ""):
        with refused("invalid_field"):
            await since(bad)


async def test_a_reader_with_a_strange_filter_is_answered_alike_on_both_engines(
    ana: Caller,
) -> None:
    await ana.say("x")
    for fields in (
        {"actor": "agent:\x00"},
        {"target": "task:\x00"},
        {"actor": "\ud800"},
        {"actor": "' OR 1=1 --"},
        {"target": "%"},
    ):
        try:
            command = ReadEvents.model_validate({"after": 0, **fields})
        except ValidationError:
            continue
        assert (await ana.call(events.read, command)).items == []


async def test_a_summary_is_of_a_range_a_selection_or_a_filter(ana: Caller) -> None:
    first = await ana.say("one", "decision")
    second = await ana.say("two", "question")
    third = await ana.say("three", "decision", target="task:T-1")

    async def told(**fields: object) -> Summary:
        found: Summary = await ana.call(events.summary, Summarise.model_validate(fields))
        return found

    whole = await told()
    assert (whole.last_seq, whole.is_whole) == (third, True)
    assert {first, second, third} <= set(whole.cited)
    part = await told(begin=str(second), end=str(second))
    assert (part.first_seq, part.last_seq, part.events) == (second, second, 1)
    assert part.cited == [second]
    assert (await told(begin="2100-01-01T00:00:00Z")).events == 0
    assert (await told(seqs=[third, first, 999_999])).cited == [first, third]
    assert (await told(types=["question"])).cited == [second]
    assert (await told(target="task:T-1")).cited == [third]
    with refused("invalid_field", field="begin"):
        await told(begin="yesterday")
    with refused("invalid_field", field="append"):
        await told(append=True)


async def test_an_appended_summary_is_an_entry_of_the_human_log(ana: Caller) -> None:
    seq = await ana.say("one", "decision")
    command = Summarise(begin=str(seq), append=True)
    told = await ana.call(events.append_summary, command, "key")
    assert told.appended_seq == seq + 1
    assert await ana.call(events.append_summary, command, "key") == told
    (entry,) = (await read(ana, after=seq)).items
    assert (entry.event, entry.details) == ("log_appended", {"text": told.markdown.strip()})


async def test_a_long_range_is_told_from_its_end(
    ana: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_EVENTS", 3)
    seqs = [await ana.say(str(number), "decision") for number in range(5)]
    told = await ana.call(events.summary, Summarise(begin=str(seqs[0])))
    assert (told.first_seq, told.events, told.is_whole) == (seqs[2], 3, False)
    told = await ana.call(events.summary, Summarise(begin=str(seqs[2])))
    assert (told.events, told.is_whole) == (3, True)
