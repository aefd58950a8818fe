"""Claim next: readiness, fit, priority with ageing, tasks sent back, and why there is none."""

import asyncio

import pytest

from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import SettingsPatch, UpdateWorkspace
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import ClaimTask, TaskStatus
from tests.callers import Caller, id_of, later, refused, token_of
from tests.conftest import Board

pytestmark = pytest.mark.anyio
WAIT = 10


def why_of(claim: object) -> dict[str, int]:
    return {why.reason: why.count for why in getattr(claim, "why", None) or []}


async def sent_back(ana: Caller, ben: Caller, task_id: str) -> None:
    await ana.create(task_id)
    token = await ana.hold(task_id)
    await ana.move(task_id, "in_progress", token)
    await ana.move(task_id, "review", token)
    await ben.move(task_id, "in_progress")


async def test_tasks_are_given_by_priority_then_age_then_id(board: Board, ana: Caller) -> None:
    await ana.create_all({"id": "b2", "priority": "P2"}, {"id": "a2", "priority": "P2"})
    later(board, 1)
    await ana.create_all({"id": "z2", "priority": "P2"}, {"id": "a3", "priority": "P3"})
    await ana.create("z0", priority="P0")
    await ana.create("z1", priority="P1")
    given = [id_of(await ana.claim()) for _ in range(7)]
    assert given == ["z0", "z1", "a2", "b2", "z2", "a3", None]


async def test_ageing_lifts_a_waiting_task_past_fresher_and_more_urgent_ones(
    board: Board, ana: Caller
) -> None:
    await ana.create("old3", priority="P3")
    later(board, 3 * 600)
    await ana.create("new0", priority="P0")
    later(board, 599.999)
    assert id_of(await ana.claim()) == "old3"  # class 0 by now, and older
    await ana.create("old2", priority="P2")
    later(board, 600)
    await ana.create("new1", priority="P1")
    assert [id_of(await ana.claim()) for _ in range(3)] == ["new0", "old2", "new1"]


async def test_the_ageing_time_is_a_setting_of_the_workspace(
    board: Board, ana: Caller, boss: Caller
) -> None:
    await boss.call(
        identity.update_workspace,
        UpdateWorkspace(id="default", settings=SettingsPatch(ageing_seconds=1)),
    )
    await ana.create("old", priority="P3")
    later(board, 4)
    await ana.create("new", priority="P0")
    assert id_of(await ana.claim()) == "old"


async def test_what_does_not_fit_is_skipped_and_counted(ana: Caller, ben: Caller) -> None:
    await ana.create("role", role="qa")
    await ana.create("skill", skills=["py"])
    await ana.create("blocked", depends_on=["role"])
    await ana.create("held", resources=["path:src/**"])
    await ben.acquire("path:src/x.py")
    claim = await ana.claim()
    assert not claim.claimed
    assert claim.retry_after_seconds is not None
    assert claim.retry_after_seconds >= 1
    assert why_of(claim) == {"role": 1, "skills": 1, "open_dependencies": 1, "resources_held": 1}
    assert id_of(await ana.claim(skills=["py", "ui"])) == "skill"
    await ana.register(role="qa")
    assert id_of(await ana.claim()) == "role"
    assert id_of(await ben.claim()) == "held"


async def test_an_empty_board_says_so_and_a_paused_agent_is_told(ana: Caller, boss: Caller) -> None:
    assert why_of(await ana.claim()) == {"no_queued_tasks": 0}
    await ana.create()
    await boss.set_agent("ana", paused=True)
    assert why_of(await ana.claim()) == {"agent_paused": 1}


async def test_a_task_sent_back_goes_to_its_assignee_first_and_to_others_after_ten_minutes(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await sent_back(ana, ben, "T-1")
    await ana.create("T-2", priority="P0")
    later(board, 599.999)
    await ben.create("T-3", priority="P3")
    assert id_of(await ben.claim()) == "T-2"
    assert id_of(await ben.claim()) == "T-3"
    assert why_of(await ben.claim()) == {"returned_to_assignee": 1}
    later(board, 0.001)
    claim = await ben.claim()
    assert claim.task is not None
    assert (claim.task.id, claim.task.assignee) == ("T-1", "agent:ben")
    assert claim.task.status is TaskStatus.IN_PROGRESS
    await ben.move("T-1", "review", token_of(claim))
    await ana.move("T-1", "in_progress")
    await ben.create("T-4", priority="P0")
    assert id_of(await ben.claim()) == "T-1"


async def test_a_task_is_never_given_twice_however_many_ask_at_once(
    board: Board, ana: Caller
) -> None:
    await ana.create_all(*[{} for _ in range(20)])
    callers = [Caller(board.kyros, await board.agent(f"a{n}")) for n in range(30)]
    claims = await asyncio.gather(*(caller.claim() for caller in callers))
    given = [id_of(claim) for claim in claims if claim.claimed]
    assert sorted(given, key=str) == sorted((f"T-{n}" for n in range(1, 21)), key=str)
    tokens = [lease.fencing_token for claim in claims for lease in claim.leases or []]
    assert len(set(tokens)) == 20


async def test_a_waiting_claim_gets_the_task_that_is_created_meanwhile(
    ana: Caller, ben: Caller
) -> None:
    await ben.head()
    waiting = asyncio.create_task(ana.claim(wait_seconds=WAIT))
    await asyncio.sleep(0)
    await ben.create("T-1")
    assert id_of(await asyncio.wait_for(waiting, WAIT)) == "T-1"


async def test_a_waiting_claim_gets_what_is_released_and_ends_at_its_deadline(
    ana: Caller, ben: Caller
) -> None:
    await ben.create("T-1")
    claim = await ben.claim()
    waiting = asyncio.create_task(ana.claim(wait_seconds=WAIT))
    await ben.head()
    assert claim.task is not None
    await ben.release(claim.task.lock_id or "")
    assert id_of(await asyncio.wait_for(waiting, WAIT)) == "T-1"
    nothing = await asyncio.wait_for(ben.claim(wait_seconds=0.05), WAIT)
    assert not nothing.claimed


async def test_the_same_key_gets_its_task_again_and_no_second_one(ana: Caller) -> None:
    await ana.create_all({}, {})
    first = await ana.answer(tasks.claim, ClaimTask(), "k")
    again = await ana.answer(tasks.claim, ClaimTask(wait_seconds=1), "k")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.value == first.value
    assert id_of(await ana.claim(key="other")) == "T-2"


async def test_a_claim_that_found_nothing_is_not_replayed(ana: Caller) -> None:
    assert not (await ana.claim(key="k")).claimed
    await ana.create("T-1")
    assert id_of(await ana.claim(key="k")) == "T-1"


async def test_a_caller_who_leaves_leaves_no_task_behind(board: Board, ana: Caller) -> None:
    await ana.create("T-1")
    leaving = asyncio.create_task(ana.claim())
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await asyncio.wait_for(asyncio.gather(*board.kyros._background), WAIT)
    assert (await ana.task("T-1")).status is TaskStatus.QUEUED
    with refused("not_found"):
        await ana.task("T-2")
