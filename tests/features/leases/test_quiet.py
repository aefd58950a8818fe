"""Progress is watched apart from liveness: a lease that is only renewed goes quiet."""

import pytest

from tests.callers import Caller, later
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def renew_for(board: Board, caller: Caller, lock_id: str, seconds: int) -> None:
    """Heartbeats, and nothing else, for this long."""
    for _ in range(seconds // 60):
        later(board, 60)
        await caller.renew(lock_id)


async def test_a_lease_that_is_only_renewed_is_flagged_quiet(board: Board, ana: Caller) -> None:
    (lease,) = await ana.acquire("a")
    await renew_for(board, ana, lease.lock_id, 1_800)
    await board.kyros.sweep()
    assert not (await ana.lease(lease.lock_id)).quiet
    ben = Caller(board.kyros, await board.agent("ben"))
    await renew_for(board, ana, lease.lock_id, 1_920)
    await board.kyros.sweep()
    assert (await ben.lease(lease.lock_id)).quiet
    assert [event.target for event in await ben.log("lease_quiet")] == [f"lease:{lease.lock_id}"]


async def test_progress_ends_the_quiet(board: Board, ana: Caller) -> None:
    (lease,) = await ana.acquire("a")
    await renew_for(board, ana, lease.lock_id, 1_920)
    await board.kyros.sweep()
    later(board, 10)
    await ana.say("still here")
    await board.kyros.sweep()
    assert not (await ana.lease(lease.lock_id)).quiet


async def test_a_lease_quiet_for_twice_the_limit_is_reclaimed_and_its_task_queued(
    board: Board, ana: Caller
) -> None:
    await ana.create("T-1")
    claim = await ana.claim("T-1")
    assert claim.leases is not None
    lock_id = claim.leases[0].lock_id
    await renew_for(board, ana, lock_id, 3_660)
    await board.kyros.sweep()
    ben = Caller(board.kyros, await board.agent("ben"))
    assert (await ben.task("T-1")).status == "queued"
    assert len(await ben.log("lease_reclaimed")) == 1
