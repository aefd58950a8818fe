"""Who held what and when, and who waits for what is held."""

import asyncio

import pytest

from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import (
    Hold,
    Holds,
    LeaseMode,
    LeaseWithQueue,
    ReadHolds,
    ReadLease,
)
from tests.callers import Caller, later, refused
from tests.conftest import Board
from tests.features.leases.test_waiting import acquire, queued

pytestmark = pytest.mark.anyio


async def holds(caller: Caller, **fields: object) -> list[Hold]:
    found: Holds = await caller.call(leases.holds, ReadHolds.model_validate(fields))
    return found.data


async def test_each_hold_is_told_from_its_grant_to_its_end(
    board: Board, ana: Caller, ben: Caller
) -> None:
    (shared,) = await ana.acquire("a", mode=LeaseMode.SHARED)
    (upgraded,) = await ana.acquire("a")
    assert upgraded.lock_id == shared.lock_id
    (kept,) = await ben.acquire("path:src/**", ttl=3600)
    later(board, 301)
    await ben.acquire("a")
    newest, path, first = await holds(ana)
    assert (newest.holder, newest.ended, newest.ended_at) == ("agent:ben", None, None)
    assert (path.lock_id, path.ended_seq) == (kept.lock_id, None)
    assert (first.acquired_seq, first.fencing_token) == (
        shared.fencing_token,
        upgraded.fencing_token,
    )
    assert (first.mode, first.ended, first.ended_by) == ("exclusive", "reclaimed", "agent:ben")
    assert first.ended_seq is not None
    assert first.ended_seq < newest.acquired_seq


async def test_a_range_a_holder_or_a_resource_narrows_the_holds(ana: Caller, ben: Caller) -> None:
    (early,) = await ana.acquire("path:src/**")
    await ana.release(early.lock_id)
    over = await ana.head()
    (late,) = await ben.acquire("b")
    assert [one.lock_id for one in await holds(ana, begin=str(over + 1))] == [late.lock_id]
    assert [one.lock_id for one in await holds(ana, end=str(over))] == [early.lock_id]
    assert [one.lock_id for one in await holds(ana, holder="agent:ben")] == [late.lock_id]
    assert [one.lock_id for one in await holds(ana, resource="path:src/a.py")] == [early.lock_id]
    assert await holds(ana, resource="path:docs/a.md") == []
    with refused("invalid_field", field="resources"):
        await holds(ana, resource="path:../a")


async def test_pages_of_holds_follow_each_other_and_a_forged_cursor_does_not(
    ana: Caller,
) -> None:
    granted = await ana.acquire(*(f"r{number}" for number in range(5)))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page: Holds = await ana.call(leases.holds, ReadHolds(limit=2, cursor=cursor))
        seen += [one.lock_id for one in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [lease.lock_id for lease in reversed(granted)]
    with refused("invalid_field", field="cursor"):
        await ana.call(leases.holds, ReadHolds(cursor="AAAA"))


async def test_a_lease_names_who_waits_for_it_first_come_first(
    board: Board, ana: Caller, ben: Caller
) -> None:
    (held,) = await acquire(ana, "path:src/**")
    waiting = asyncio.create_task(acquire(ben, "path:src/a.py", wait=20))
    await queued(board, 1)
    seen: LeaseWithQueue = await ana.call(leases.read_queue, ReadLease(lock_id=held.lock_id))
    (one,) = seen.waiters
    assert (one.holder, one.resources, one.place) == ("agent:ben", ["path:src/a.py"], 1)
    assert 0 < one.gives_up_in_ms <= 20_000
    await ana.release(held.lock_id)
    await asyncio.wait_for(waiting, 20)
    over: LeaseWithQueue = await ana.call(leases.read_queue, ReadLease(lock_id=held.lock_id))
    assert (over.state, over.waiters) == ("released", [])
    with refused("not_found"):
        await ana.call(leases.read_queue, ReadLease(lock_id="lk_0123456789abcdef"))
