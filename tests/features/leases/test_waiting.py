"""The queue for held leases: first in, first out, never in a circle, gone with its caller."""

import asyncio
from typing import Any

import pytest

from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import (
    WAITER_ALIVE_MS,
    AcquireLease,
    LeaseMode,
    ReleaseLeases,
)
from kyros_collab_server.features.leases.rules import Waiter
from tests.callers import Caller, agent_of, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio
BOUND_SECONDS = 20


async def acquire(caller: Caller, *resources: str, wait: float = 0, mode: str = "exclusive") -> Any:
    command = AcquireLease(resources=list(resources), wait_seconds=wait, mode=LeaseMode(mode))
    return (await caller.call(leases.acquire, command)).leases


async def release(caller: Caller, granted: Any) -> None:
    ids = [lease.lock_id for lease in granted]
    await caller.call(leases.release, ReleaseLeases(lock_ids=ids))


async def queued(board: Board, count: int) -> None:
    """Return when this many wait in line."""

    def waiting(work: Any) -> int:
        return len(work.waiters.all())

    principal = board.kyros.local_caller(agent="observer")
    for _ in range(400):
        if await board.kyros._store.read(principal, waiting) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody came to wait")


async def test_whoever_waits_first_is_served_first(board: Board, ana: Caller, ben: Caller) -> None:
    eve = await agent_of(board, "eve")
    held = await acquire(ana, "path:src/**")
    order: list[str] = []

    async def wait_in_line(caller: Caller, resource: str) -> None:
        granted = await acquire(caller, resource, wait=BOUND_SECONDS)
        order.append(caller.actor)
        await release(caller, granted)

    first = asyncio.create_task(wait_in_line(ben, "path:src/a.py"))
    await queued(board, 1)
    second = asyncio.create_task(wait_in_line(eve, "path:src/*.py"))
    await queued(board, 2)
    await release(ana, held)
    await asyncio.wait_for(asyncio.gather(first, second), BOUND_SECONDS)
    assert order == ["agent:ben", "agent:eve"]
    await queued(board, 0)


async def test_a_request_that_meets_no_waiter_passes(
    board: Board, ana: Caller, ben: Caller
) -> None:
    eve = await agent_of(board, "eve")
    held = await acquire(ana, "path:src/a.py")
    waiting = asyncio.create_task(acquire(ben, "path:src/*.py", wait=BOUND_SECONDS))
    await queued(board, 1)
    assert len(await acquire(eve, "path:docs/**")) == 1
    with refused("lease_held", holder="agent:ben", queue_position=2):
        await acquire(eve, "path:src/b.py")
    await release(ana, held)
    assert len(await asyncio.wait_for(waiting, BOUND_SECONDS)) == 1


async def test_a_set_that_waits_is_granted_whole_or_not_at_all(
    board: Board, ana: Caller, ben: Caller
) -> None:
    one, two = await acquire(ana, "a"), await acquire(ana, "b")
    waiting = asyncio.create_task(acquire(ben, "a", "b", "c", wait=BOUND_SECONDS))
    await queued(board, 1)
    await release(ana, one)
    held = (await ana.call(leases.list_leases, leases.ListLeases(holder="agent:ben"))).data
    assert held == []
    await release(ana, two)
    granted = await asyncio.wait_for(waiting, BOUND_SECONDS)
    assert [lease.resource for lease in granted] == ["a", "b", "c"]


async def test_at_its_deadline_a_waiter_learns_who_holds_it(ana: Caller, ben: Caller) -> None:
    await acquire(ana, "a")
    with refused("lease_held", holder="agent:ana", queue_position=1) as seen:
        await acquire(ben, "a", wait=0.05)
    assert seen.facts["retry_after_seconds"] > 0


async def test_shared_holders_keep_an_exclusive_request_waiting_and_new_sharers_out(
    board: Board, ana: Caller, ben: Caller
) -> None:
    eve = await agent_of(board, "eve")
    mine = await acquire(ana, "a", mode="shared")
    yours = await acquire(ben, "a", mode="shared")
    writer = asyncio.create_task(acquire(eve, "a", wait=BOUND_SECONDS))
    await queued(board, 1)
    dan = await agent_of(board, "dan")
    with refused("lease_held", holder="agent:eve"):
        await acquire(dan, "a", mode="shared")
    await release(ana, mine)
    await release(ben, yours)
    assert len(await asyncio.wait_for(writer, BOUND_SECONDS)) == 1


async def test_a_sole_holder_upgrades_under_a_new_token(ana: Caller, ben: Caller) -> None:
    (mine,) = await acquire(ana, "a", mode="shared")
    yours = await acquire(ben, "a", mode="shared")
    with refused("lease_held", holder="agent:ben"):
        await acquire(ana, "a")
    await release(ben, yours)
    (upgraded,) = await acquire(ana, "a")
    assert upgraded.lock_id == mine.lock_id
    assert upgraded.mode is LeaseMode.EXCLUSIVE
    assert upgraded.fencing_token > mine.fencing_token
    with refused("lease_held", holder="agent:ana"):
        await acquire(ben, "a", mode="shared")


async def test_a_wait_that_closes_a_circle_is_refused_with_the_circle(
    board: Board, ana: Caller, ben: Caller
) -> None:
    eve = await agent_of(board, "eve")
    await acquire(ana, "a")
    await acquire(ben, "b")
    await acquire(eve, "c")
    waits = [
        asyncio.create_task(acquire(ana, "b", wait=BOUND_SECONDS)),
        asyncio.create_task(acquire(ben, "c", wait=BOUND_SECONDS)),
    ]
    await queued(board, 2)
    with refused("deadlock") as seen:
        await acquire(eve, "a", wait=BOUND_SECONDS)
    edges = [(edge["holder"], edge["waits_for"]) for edge in seen.facts["cycle"]]
    assert edges == [
        ("agent:eve", "agent:ana"),
        ("agent:ana", "agent:ben"),
        ("agent:ben", "agent:eve"),
    ]
    for wait in waits:
        wait.cancel()
    await queued(board, 0)


async def test_a_caller_who_leaves_holds_nobody_up(board: Board, ana: Caller, ben: Caller) -> None:
    eve = await agent_of(board, "eve")
    held = await acquire(ana, "a")
    leaving = asyncio.create_task(acquire(ben, "a", wait=BOUND_SECONDS))
    await queued(board, 1)
    leaving.cancel()
    await queued(board, 0)
    await release(ana, held)
    assert len(await acquire(eve, "a")) == 1


async def test_a_waiter_that_is_not_heard_of_loses_its_place(
    board: Board, ana: Caller, ben: Caller
) -> None:
    """Of a process that was killed while it waited, only its row is left."""
    eve = await agent_of(board, "eve")

    def left_behind(work: Any) -> None:
        work.waiters.insert(
            Waiter(
                waiter_id="wt_dead",
                place=1,
                holder=ben.actor,
                is_claim=False,
                resources=("a",),
                mode=LeaseMode.EXCLUSIVE,
                role=None,
                skills=(),
                deadline_t=work.now + 60_000,
                alive_t=work.now + WAITER_ALIVE_MS,
            )
        )

    await board.kyros._store.write(ana.principal, left_behind)
    board.clock.advance(30)
    with refused("lease_held", holder=ben.actor):
        await acquire(eve, "a")
    board.clock.advance(0.001)
    (granted,) = await acquire(eve, "a")
    assert granted.holder == eve.actor


async def test_a_stale_lease_in_the_way_is_reclaimed_for_the_waiter(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await acquire(ana, "a")
    board.clock.advance(301)
    (granted,) = await acquire(ben, "a", wait=1)
    assert granted.holder == "agent:ben"


async def test_a_cancelled_call_takes_back_nothing_that_was_held_before(
    board: Board, ana: Caller
) -> None:
    (mine,) = await acquire(ana, "a")
    board.clock.advance(1)
    again = asyncio.create_task(acquire(ana, "a"))
    await asyncio.sleep(0)
    again.cancel()
    with pytest.raises(asyncio.CancelledError):
        await again
    await asyncio.wait_for(asyncio.gather(*board.kyros._background), BOUND_SECONDS)
    held = (await ana.call(leases.read_lease, leases.ReadLease(lock_id=mine.lock_id))).state
    assert held == "active"


async def test_waiters_past_their_time_are_swept_away(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await acquire(ana, "a")
    with refused("lease_held"):
        await acquire(ben, "a", wait=0.05)
    await queued(board, 1)
    board.clock.advance(31)
    await board.kyros.sweep()
    await queued(board, 0)
