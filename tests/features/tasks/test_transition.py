"""Moves over the board: every guard with its facts, lease effects, and the way back."""

from typing import Any

import pytest

from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import SettingsPatch, UpdateWorkspace
from kyros_collab_server.features.tasks.model import TaskStatus
from kyros_collab_server.kernel.principal import Role, Scope
from tests.callers import Caller, caller_of, id_of, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def reviewed(ana: Caller, task_id: str, **fields: Any) -> None:
    """A task of ana's, finished and waiting for its review."""
    await ana.create(task_id, **fields)
    token = await ana.hold(task_id)
    await ana.move(task_id, "in_progress", token)
    await ana.move(task_id, "review", token)


async def test_the_whole_way_to_done_is_told_move_by_move(ana: Caller, ben: Caller) -> None:
    await reviewed(ana, "T-1", definition_of_done=["tests"])
    for to in ("approved", "merging"):
        await ben.move("T-1", to)
    with refused("guard_failed", guard="open_checklist", open=[{"id": "d1", "text": "tests"}]):
        await ben.move("T-1", "done")
    await ben.update(await ben.task("T-1"), tick=("d1",))
    done = await ben.move("T-1", "done", reason="merged")
    assert (done.old_status, done.new_status) == (TaskStatus.MERGING, TaskStatus.DONE)
    assert done.etag == done.task.etag == (await ana.task("T-1")).etag
    moves = await ana.log("task_transitioned", target="task:T-1")
    assert [event.details["changes"]["status"]["after"] for event in moves] == [
        "in_progress", "review", "approved", "merging", "done",
    ]  # fmt: skip
    assert moves[-1].seq == done.seq
    assert moves[-1].details["reason"] == "merged"
    assert moves[-1].details["etag"] == done.etag


async def test_leaving_a_leased_column_needs_the_live_token(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.create("T-1")
    token = await ana.hold("T-1", ttl_seconds=5)
    for to in ("in_progress", "queued", "cancelled"):
        for writer, offered in ((ben, token), (ben, None), (ana, None), (ana, token + 1)):
            with refused("write_fenced", current=token, holder="agent:ana", offered=offered):
                await writer.move("T-1", to, offered)
    later(board, 5.001)
    for offered in (token, None):
        with refused("write_fenced", offered=offered, holder=None, current=token):
            await ana.move("T-1", "in_progress", offered)
    with refused("guard_failed", guard="lease_required", status="claimed"):
        await ben.move("T-1", "in_progress")
    assert (await ana.task("T-1")).status is TaskStatus.CLAIMED


async def test_a_task_is_claimed_by_claiming_alone(ana: Caller, boss: Caller) -> None:
    await ana.create("T-1")
    for who in (ana, boss):
        with refused("use_claim", task_id="T-1"):
            await who.move("T-1", "claimed")


@pytest.mark.parametrize("to", ["review", "queued", "cancelled"])
async def test_a_move_out_of_work_releases_every_lease_of_the_task(ana: Caller, to: str) -> None:
    await ana.create("T-1", resources=["path:src/**", "port:1"])
    claim = await ana.claim("T-1", resources=["extra"])
    leases = {lease.lock_id: lease for lease in claim.leases or []}
    token = next(one.fencing_token for one in leases.values() if one.resource == "task:T-1")
    own = await ana.acquire("unrelated")
    await ana.move("T-1", "in_progress", token)
    moved = await ana.move("T-1", to, token, handoff="half done")
    assert set(moved.released) == set(leases)
    assert len(leases) == 4
    for lock_id in leases:
        assert (await ana.lease(lock_id)).state == "released"
    assert (await ana.lease(own[0].lock_id)).state == "active"
    task = await ana.task("T-1")
    assert (task.lock_id, task.handoff) == (None, "half done")
    assert task.assignee == (None if to == "queued" else "agent:ana")
    told = await ana.log("lease_released")
    assert {event.details["lock_id"] for event in told} == set(leases)


async def test_a_reviewer_is_never_the_assignee_unless_the_workspace_says_so(
    board: Board, ana: Caller, ben: Caller, boss: Caller
) -> None:
    await reviewed(ana, "T-1")
    with refused("guard_failed", guard="self_review", assignee="agent:ana"):
        await ana.move("T-1", "approved")
    key = await boss.make_key("writer", scopes=[Scope.TASKS_READ, Scope.TASKS_WRITE])
    writer = await caller_of(board, key.key)
    with refused("insufficient_scope"):
        await writer.move("T-1", "approved")
    await ben.move("T-1", "approved")
    await ana.move("T-1", "review")
    relaxed = SettingsPatch(independent_review=False)
    await boss.call(identity.update_workspace, UpdateWorkspace(id="default", settings=relaxed))
    await ana.move("T-1", "approved")


async def test_only_an_operator_reopens_what_is_done(
    board: Board, ana: Caller, ben: Caller, boss: Caller
) -> None:
    await reviewed(ana, "T-1")
    for to in ("approved", "merging", "done"):
        await ben.move("T-1", to)
    with refused("insufficient_scope", scopes_needed=["operate"]):
        await ana.move("T-1", "queued")
    key = await boss.make_key("op", role=Role.OPERATOR)
    reopened = await (await caller_of(board, key.key)).move("T-1", "queued")
    assert (reopened.task.status, reopened.task.assignee) == (TaskStatus.QUEUED, None)
    assert id_of(await ben.claim()) == "T-1"


async def test_an_operators_move_ends_the_lease_in_the_same_transaction(
    ana: Caller, boss: Caller
) -> None:
    await ana.create("T-1", resources=["r"])
    token = await ana.hold("T-1")
    head = await boss.head()
    moved = await boss.move("T-1", "in_progress")
    assert len(moved.released) == 2
    events = await ana.log(after=head)
    assert [event.event for event in events] == [
        "lease_released", "lease_released", "task_transitioned",
    ]  # fmt: skip
    assert events[0].details["by"] == "agent:boss"
    assert moved.task.lock_id is None
    with refused("write_fenced", offered=token, holder=None):
        await ana.move("T-1", "review", token)
    with refused("write_fenced", offered=token):
        await boss.move("T-1", "review", token)


async def test_a_move_with_an_old_etag_is_taught_the_current_one(ana: Caller) -> None:
    old = await ana.create("T-1")
    new = await ana.update(old, title="two")
    with refused("etag_mismatch", etag=new.etag):
        await ana.move("T-1", "cancelled", if_match=old.etag)
    assert (await ana.move("T-1", "cancelled", if_match=new.etag)).new_status == "cancelled"


async def test_a_task_sent_back_is_in_progress_without_a_lease(ana: Caller, ben: Caller) -> None:
    await reviewed(ana, "T-1")
    back = await ben.move("T-1", "in_progress", reason="tests are missing")
    assert (back.task.assignee, back.task.lock_id) == ("agent:ana", None)
    with refused("guard_failed", guard="lease_required"):
        await ana.move("T-1", "review")
    claim = await ana.claim("T-1")
    assert claim.task is not None
    assert claim.task.status is TaskStatus.IN_PROGRESS


async def test_closing_a_task_readies_its_dependants_and_reopening_blocks_them(
    ana: Caller, ben: Caller, boss: Caller
) -> None:
    await reviewed(ana, "a")
    await ana.create("other")
    await ana.create("b", depends_on=["a"])
    await ana.create("c", depends_on=["a", "other"])
    for to in ("approved", "merging"):
        await ben.move("a", to)
    head = await ana.head()
    await ben.move("a", "done")
    assert [one.event for one in await ana.log(after=head)] == ["task_transitioned", "task_ready"]
    (ready,) = await ana.log("task_ready")
    assert (ready.target, ready.details) == ("task:b", {"closed": "a"})
    with refused("guard_failed", guard="open_dependencies", open=["other"]):
        await ana.claim("c")
    await boss.move("a", "queued")
    with refused("guard_failed", guard="open_dependencies", open=["a"]):
        await ana.claim("b")


async def test_reopening_a_task_flags_the_dependants_that_are_past_claimed(
    ana: Caller, ben: Caller, boss: Caller
) -> None:
    await reviewed(ana, "a")
    for task_id in ("begun", "claimed", "waiting"):
        await ana.create(task_id, depends_on=["a"])
    for to in ("approved", "merging", "done"):
        await ben.move("a", to)
    token = await ana.hold("begun")
    await ana.hold("claimed")
    begun = (await ana.move("begun", "in_progress", token)).task
    head = await ana.head()
    await boss.move("a", "queued")
    flagged = await ana.task("begun")
    assert (flagged.needs_attention, flagged.status) == (True, TaskStatus.IN_PROGRESS)
    assert flagged.version == begun.version + 1
    (event,) = await ana.log("task_needs_attention", after=head)
    assert (event.target, event.details["reopened"]) == ("task:begun", "a")
    assert event.details["etag"] == flagged.etag
    assert not (await ana.task("claimed")).needs_attention
    assert not (await ana.task("waiting")).needs_attention
    await ana.move("begun", "review", token)
