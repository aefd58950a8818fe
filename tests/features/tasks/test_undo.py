"""Undo: the exact way back of one's own last move, within a minute, past no fence."""

import pytest

from kyros_collab_server.features.tasks.model import TaskStatus
from tests.callers import Caller, id_of, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def test_ones_own_last_move_can_be_undone_within_a_minute(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.create("T-1")
    moved = await ana.move("T-1", "cancelled")
    with refused("guard_failed", reason="not_your_move"):
        await ben.move("T-1", "queued", undo_of=moved.seq)
    with refused("guard_failed", reason="not_your_move"):
        await ana.move("T-1", "queued", undo_of=moved.seq + 1)
    with refused("guard_failed", reason="not_the_way_back"):
        await ana.move("T-1", "review", undo_of=moved.seq)
    with refused("guard_failed", guard="illegal_move"):
        await ana.move("T-1", "queued")
    later(board, 60)
    undone = await ana.move("T-1", "queued", undo_of=moved.seq)
    assert undone.new_status is TaskStatus.QUEUED
    assert id_of(await ben.claim()) == "T-1"


async def test_an_undo_after_a_minute_or_a_change_is_refused(board: Board, ana: Caller) -> None:
    await ana.create("T-1")
    moved = await ana.move("T-1", "cancelled")
    later(board, 60.001)
    with refused("guard_failed", reason="too_late"):
        await ana.move("T-1", "queued", undo_of=moved.seq)
    task = await ana.create("T-2")
    moved = await ana.move("T-2", "cancelled")
    await ana.update(task, labels=["x"])
    with refused("guard_failed", reason="task_changed"):
        await ana.move("T-2", "queued", undo_of=moved.seq)


async def test_an_undo_that_gave_up_a_lease_is_refused(ana: Caller) -> None:
    await ana.create("T-1")
    token = await ana.hold("T-1")
    await ana.move("T-1", "in_progress", token)
    moved = await ana.move("T-1", "review", token)
    with refused("guard_failed", reason="lease_given_up"):
        await ana.move("T-1", "in_progress", undo_of=moved.seq)


async def test_an_undo_under_a_lease_passes_the_same_fence_as_any_write(ana: Caller) -> None:
    await ana.create("T-1")
    token = await ana.hold("T-1", ttl_seconds=5)
    moved = await ana.move("T-1", "in_progress", token)
    for offered in (None, token + 1, token - 1):
        with refused("write_fenced", offered=offered, current=token):
            await ana.move("T-1", "claimed", offered, undo_of=moved.seq)
    back = await ana.move("T-1", "claimed", token, undo_of=moved.seq)
    assert (back.new_status, back.released) == (TaskStatus.CLAIMED, [])
    assert (await ana.lease(back.task.lock_id or "")).state == "active"


async def test_a_stale_holder_undoes_nothing(board: Board, ana: Caller) -> None:
    await ana.create("T-1")
    token = await ana.hold("T-1", ttl_seconds=5)
    moved = await ana.move("T-1", "in_progress", token)
    later(board, 6)
    for offered in (token, None):
        with refused("write_fenced", offered=offered, holder=None):
            await ana.move("T-1", "claimed", offered, undo_of=moved.seq)
    assert (await ana.task("T-1")).status is TaskStatus.IN_PROGRESS
    await board.kyros.sweep()
    with refused("guard_failed", guard="lease_required"):
        await ana.move("T-1", "claimed", undo_of=moved.seq)
