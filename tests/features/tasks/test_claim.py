"""Claiming by id: guards with their facts, resources, and what a second claim gives."""

import pytest

from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import ReadHeldTask, TaskStatus
from tests.callers import Caller, id_of, later, refused, token_of
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def test_a_claim_grants_the_task_and_its_resources_in_one_go(ana: Caller) -> None:
    await ana.create("T-1", resources=["port:1", "path:src/**"], definition_of_done=["tests"])
    head = await ana.head()
    claim = await ana.claim("T-1", ttl_seconds=60, resources=["gpu"])
    assert claim.task is not None
    assert claim.leases is not None
    assert (claim.task.status, claim.task.assignee) == (TaskStatus.CLAIMED, "agent:ana")
    granted = {lease.resource: lease for lease in claim.leases}
    assert set(granted) == {"task:T-1", "port:1", "path:src/**", "gpu"}
    assert {lease.task_id for lease in claim.leases} == {"T-1"}
    assert {lease.expires_in_ms for lease in claim.leases} == {60_000}
    assert claim.task.lock_id == granted["task:T-1"].lock_id
    events = await ana.log(after=head)
    assert [one.event for one in events] == ["lease_acquired"] * 4 + ["task_claimed"]
    assert {one.seq for one in events[:4]} == {one.fencing_token for one in claim.leases}
    assert events[4].details["fencing_token"] == token_of(claim)
    assert events[4].details["etag"] == claim.task.etag
    for words in ("T-1", "tests", str(token_of(claim))):
        assert words in (claim.brief or "")
    assert len(claim.brief or "") <= 6_000


async def test_a_task_of_another_holder_is_refused_by_name(ana: Caller, ben: Caller) -> None:
    await ana.create("T-1")
    token = await ana.hold("T-1", ttl_seconds=60)
    with refused(
        "lease_held", holder="agent:ana", fencing_token=token, retry_after_seconds=60
    ) as refusal:
        await ben.claim("T-1")
    assert refusal.facts["resource"] == "task:T-1"


async def test_a_claim_of_ones_own_task_renews_it_and_gives_the_same_lease(
    board: Board, ana: Caller
) -> None:
    await ana.create("T-1", resources=["r"])
    first = await ana.claim("T-1", ttl_seconds=60)
    later(board, 15)
    again = await ana.claim("T-1", ttl_seconds=120)
    assert again.task == first.task
    assert {one.lock_id for one in again.leases or []} == {
        one.lock_id for one in first.leases or []
    }
    assert {one.expires_in_ms for one in again.leases or []} == {120_000}
    await ana.move("T-1", "in_progress", token_of(again))
    third = await ana.claim("T-1")
    assert third.task is not None
    assert third.task.status is TaskStatus.IN_PROGRESS
    assert token_of(third) == token_of(first)


async def test_every_guard_of_a_claim_names_what_is_missing(ana: Caller, boss: Caller) -> None:
    await boss.create("dep")
    await boss.create("T-1", role="qa", skills=["py", "sql"], depends_on=["dep"])
    await ana.register(role="dev", skills=["py"])
    with refused("guard_failed", guard="role", needs="qa", has="dev"):
        await ana.claim("T-1")
    with refused("guard_failed", guard="skills", missing=["sql"]):
        await ana.claim("T-1", role="qa")
    with refused("guard_failed", guard="open_dependencies", open=["dep"]):
        await ana.claim("T-1", role="qa", skills=["sql", "py", "ui"])
    await boss.set_agent("ana", paused=True)
    with refused("guard_failed", guard="agent_paused"):
        await ana.claim("dep")
    await boss.set_agent("ana", paused=False)
    assert (await ana.claim("dep")).claimed
    with refused("not_found", thing="task"):
        await ana.claim("nope")
    await boss.move("dep", "cancelled")
    with refused("guard_failed", guard="illegal_move", to="claimed", allowed=[]):
        await ana.claim("dep")


async def test_a_held_resource_refuses_the_claim_and_grants_nothing(
    ana: Caller, ben: Caller
) -> None:
    await ana.create("T-1", resources=["a", "path:src/**"])
    held = await ben.acquire("path:src/x/*.py")
    head = await ana.head()
    with refused("lease_held", holder="agent:ben", held_resource="path:src/x/*.py") as refusal:
        await ana.claim("T-1")
    assert refusal.facts["witness"].startswith("src/x/")
    with refused("lease_held", holder="agent:ben"):
        await ana.claim(resources=["path:src/x/y.py"])
    assert (await ana.task("T-1")).status is TaskStatus.QUEUED
    assert await ana.head() == head
    await ben.release(held[0].lock_id)
    assert (await ana.claim("T-1")).claimed
    with refused("use_claim"):
        await ana.claim("T-1", resources=["task:T-9"])


async def test_a_claim_by_id_of_a_stale_task_counts_the_loss_first(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.create("T-1", resources=["r"])
    token = await ana.hold("T-1", ttl_seconds=5)
    await ana.move("T-1", "in_progress", token)
    await ana.say("half way", "progress", target="task:T-1")
    later(board, 5.001)
    head = await ben.head()
    claim = await ben.claim("T-1")
    assert claim.task is not None
    assert (claim.task.status, claim.task.assignee) == (TaskStatus.CLAIMED, "agent:ben")
    assert claim.task.attempts == 1
    assert "half way" in claim.task.handoff
    assert token_of(claim) > token
    events = [one.event for one in await ben.log(after=head)]
    assert events.count("lease_reclaimed") == 2
    assert [one for one in events if one.startswith("task")] == ["task_requeued", "task_claimed"]
    versions = [
        one.details["version"] for one in await ben.log("task_*", target="task:T-1", after=0)
    ]
    assert versions == list(range(1, len(versions) + 1))
    with refused("write_fenced", offered=token, current=token_of(claim), holder="agent:ben"):
        await ana.move("T-1", "review", token)


async def test_a_task_that_was_lost_too_often_is_not_claimed(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.create("T-1")
    for loss in range(1, 5):
        await ana.hold("T-1", ttl_seconds=5)
        later(board, 6)
        await ben.reclaim()
        task = await ben.task("T-1")
        assert (task.attempts, task.needs_attention) == (loss, loss > 3)
    for who in (ana, ben):
        with refused("guard_failed", guard="needs_attention", attempts=4):
            await who.claim("T-1")
    claim = await ben.claim()
    assert [(why.reason, why.count) for why in claim.why or []] == [("needs_attention", 1)]
    assert len(await ben.log("task_needs_attention")) == 1


async def test_the_task_that_one_holds_is_read_with_its_brief(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.create("T-1", description="Do the thing")
    with refused("not_found", thing="held task"):
        await ana.call(tasks.read_held, ReadHeldTask())
    await ana.hold("T-1", ttl_seconds=5)
    held = await ana.call(tasks.read_held, ReadHeldTask())
    assert held.task.id == "T-1"
    assert "Do the thing" in held.brief
    assert (await ben.call(tasks.read_held, ReadHeldTask(task_id="T-1"))).task == held.task
    board.clock.advance(6)
    with refused("not_found"):
        await ana.call(tasks.read_held, ReadHeldTask())
    assert id_of(await ben.claim("T-1")) == "T-1"
