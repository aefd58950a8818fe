"""Counts of the log over time, and the human log."""

import pytest
from pydantic import ValidationError

from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import (
    AppendLog,
    HumanLog,
    LogStats,
    ReadHumanLog,
    ReadStats,
)
from tests.callers import Caller, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def stats(caller: Caller, **fields: object) -> LogStats:
    found: LogStats = await caller.call(events.stats, ReadStats.model_validate(fields))
    return found


async def test_buckets_share_the_events_of_a_range_among_them(board: Board, ana: Caller) -> None:
    first = await ana.say("one")
    for number in range(9):
        later(board, 60)
        await ana.say(f"more {number}")
    found = await stats(ana, begin=str(first), buckets=10)
    assert sum(one.count for one in found.buckets) == found.total
    assert len(found.buckets) == 10
    assert found.facets_of == found.total
    counted = {one.value: one.count for one in found.events}
    assert counted["note"] == 10
    assert sum(counted.values()) == sum(one.count for one in found.actors) == found.total
    part = await stats(ana, begin=found.buckets[3].ts, end=found.buckets[5].ts, buckets=7)
    assert sum(one.count for one in part.buckets) == part.total
    seqs = await stats(ana, begin=str(first), end=str(first), buckets=3)
    assert (seqs.total, sum(one.count for one in seqs.buckets)) == (1, 1)


async def test_a_range_without_events_is_empty_and_no_failure(ana: Caller) -> None:
    await ana.say("one")
    nothing = await stats(ana, begin="2999-01-01T00:00:00Z", buckets=5)
    assert (nothing.total, nothing.buckets, nothing.events) == (0, [], [])
    assert (await stats(ana, begin="9007199254740991")).total == 0
    backwards = await stats(ana, begin="3", end="1")
    assert backwards.total == 0
    for wrong in ("yesterday", "2026-01-01", "2026-01-01T00:00:00"):
        with refused("invalid_field", field="from"):
            await stats(ana, begin=wrong)
        with refused("invalid_field", field="to"):
            await stats(ana, end=wrong)


async def human_log(caller: Caller, at: str | None = None) -> HumanLog:
    found: HumanLog = await caller.call(events.human_log, ReadHumanLog(at=at))
    return found


async def test_what_is_written_into_the_human_log_is_read_back_in_order(ana: Caller) -> None:
    before = await human_log(ana)
    assert before.text == ""
    first = (await ana.call(events.append_log, AppendLog(text="# Monday\n"))).seq
    await ana.call(events.append_log, AppendLog(text="# Tuesday"))
    assert (await human_log(ana)).text == "# Monday\n\n# Tuesday"
    then = await human_log(ana, at=str(first))
    assert then.text == "# Monday"
    assert len({before.etag, then.etag, (await human_log(ana)).etag}) == 3
    (told, _) = await ana.log("log_appended")
    assert (told.seq, told.actor, told.details) == (first, "agent:ana", {"text": "# Monday"})


async def test_an_entry_that_no_event_can_hold_is_refused(ana: Caller) -> None:
    head = await ana.head()
    with refused("too_large"):
        await ana.call(events.append_log, AppendLog(text='"' * 49_000))
    for wrong in ("", "  \n", "x" * 49_153, "a\x00b"):
        with pytest.raises(ValidationError):
            AppendLog(text=wrong)
    assert await ana.head() == head
