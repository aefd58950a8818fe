"""When a task's lease ends without a move: back to the queue, once, with what its holder noted."""

import asyncio

import pytest

from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import SettingsPatch, UpdateWorkspace
from kyros_collab_server.features.tasks.model import TaskStatus
from tests.callers import Caller, id_of, later, refused, token_of
from tests.conftest import Board

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("started", [False, True])
async def test_a_released_task_lease_returns_its_task_to_queued(
    ana: Caller, ben: Caller, started: bool
) -> None:
    await ana.create("T-1", resources=["r"])
    claim = await ana.claim("T-1")
    assert claim.task is not None
    if started:
        await ana.move("T-1", "in_progress", token_of(claim))
    await ana.release(claim.task.lock_id or "")
    task = await ana.task("T-1")
    assert (task.status, task.assignee, task.lock_id) == (TaskStatus.QUEUED, None, None)
    assert (task.attempts, task.handoff) == (0, "")
    events = await ana.log("lease_released", "lease_reclaimed", "task_requeued")
    assert [one.event for one in events] == ["lease_released", "lease_released", "task_requeued"]
    assert events[-1].details["lock_id"] == claim.task.lock_id
    assert id_of(await ben.claim()) == "T-1"


async def test_a_released_resource_lease_leaves_its_task_alone(ana: Caller, ben: Caller) -> None:
    await ana.create("T-1", resources=["r"])
    claim = await ana.claim("T-1")
    own = next(one for one in claim.leases or [] if one.resource == "r")
    await ana.release(own.lock_id)
    assert (await ana.task("T-1")).status is TaskStatus.CLAIMED
    assert await ben.acquire("r")


@pytest.mark.parametrize("by", ["duty", "demand", "acquire"])
async def test_a_reclaimed_lease_returns_its_task_to_queued_whoever_meets_it(
    board: Board, ana: Caller, ben: Caller, by: str
) -> None:
    await ana.create("T-1", resources=["r"])
    token = await ana.hold("T-1", ttl_seconds=5)
    await ana.move("T-1", "in_progress", token)
    await ana.say("first", target="task:T-1")
    await ben.say("not mine", target="task:T-1")
    await ana.say("second", "decision", target="task:T-1")
    later(board, 5.001)
    head = await ben.head()
    if by == "duty":
        await board.kyros.sweep()
    elif by == "demand":
        assert len((await ben.reclaim()).reclaimed) == 2
    else:
        await ben.acquire("r")
        await ben.reclaim()
    task = await ben.task("T-1")
    assert (task.status, task.attempts, task.assignee) == (TaskStatus.QUEUED, 1, None)
    assert "first" in task.handoff
    assert "second" in task.handoff
    assert "not mine" not in task.handoff
    reclaimed = await ben.log("lease_reclaimed", after=head)
    assert sorted(one.details["resource"] for one in reclaimed) == ["r", "task:T-1"]
    assert {one.details["by"] for one in reclaimed} == {"system" if by == "duty" else "agent:ben"}
    (requeued,) = await ben.log("task_requeued", after=head)
    assert requeued.details["etag"] == task.etag
    assert requeued.details["changes"]["attempts"] == {"before": 0, "after": 1}


async def test_exactly_one_reclaim_is_told_however_many_race(board: Board, ana: Caller) -> None:
    await ana.create("T-1", resources=["r"])
    await ana.hold("T-1", ttl_seconds=5)
    callers = [Caller(board.kyros, await board.agent(f"a{n}")) for n in range(8)]
    for caller in callers:
        await caller.head()
    later(board, 5.001)
    await asyncio.gather(
        *(caller.reclaim() for caller in callers[:4]),
        *(caller.claim("T-1") for caller in callers[4:5]),
        *(caller.claim() for caller in callers[5:]),
        board.kyros.sweep(),
    )
    reclaimed = await callers[0].log("lease_reclaimed")
    assert sorted(one.details["resource"] for one in reclaimed) == ["r", "task:T-1"]
    assert len(await callers[0].log("task_requeued")) == 1
    assert len(await callers[0].log("task_claimed")) == 2


async def test_attempts_beyond_the_workspaces_limit_need_a_person(
    board: Board, ana: Caller, boss: Caller
) -> None:
    await boss.call(
        identity.update_workspace,
        UpdateWorkspace(id="default", settings=SettingsPatch(max_attempts=1)),
    )
    await ana.create("T-1")
    for attempt in (1, 2):
        claim = await ana.claim()
        assert claim.task is not None
        await ana.release(claim.task.lock_id or "")
        await ana.hold("T-1", ttl_seconds=5)
        later(board, 6)
        await board.kyros.sweep()
        assert (await ana.task("T-1")).attempts == attempt
    assert (await ana.task("T-1")).needs_attention
    assert not (await ana.claim()).claimed
    (told,) = await ana.log("task_needs_attention")
    assert (told.target, told.details["attempts"]) == ("task:T-1", 2)


async def test_a_zombie_writes_nothing_and_its_try_is_logged(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.create("T-1")
    token = await ana.hold("T-1", ttl_seconds=5)
    later(board, 6)
    taken = await ben.claim("T-1")
    before = await ana.task("T-1")
    head = await ana.head()
    with refused(
        "write_fenced", offered=token, current=token_of(taken), holder="agent:ben"
    ) as refusal:
        await ana.move("T-1", "in_progress", token)
    with refused("write_fenced", offered=token):
        await ana.update(before, token=token, description="mine")
    assert await ana.task("T-1") == before
    events = await ana.log(after=head)
    assert [one.event for one in events] == ["write_fenced", "write_fenced"]
    assert events[0].target == "task:T-1"
    assert events[0].details == {
        "writer": "agent:ana",
        "operation": "task_transition",
        "resource": "task:T-1",
        "offered": token,
        "current": token_of(taken),
        "holder": "agent:ben",
    }
    assert refusal.facts["resource"] == "task:T-1"


async def test_a_lease_that_two_tasks_of_one_holder_need_outlives_the_first(
    ana: Caller, ben: Caller
) -> None:
    await ana.create_all(
        {"id": "T-1", "resources": ["path:src/**"]}, {"id": "T-2", "resources": ["path:src/**"]}
    )
    first = await ana.hold("T-1")
    await ana.hold("T-2")
    await ana.move("T-1", "queued", first)
    with refused("lease_held", holder="agent:ana"):
        await ben.acquire("path:src/a.py")
