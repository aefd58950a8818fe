"""The past: revisions with their diffs, the board at any moment, late results, why a task waits."""

import pytest

from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import ListAgents
from kyros_collab_server.features.events.model import ReadAt
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import (
    ListAllTasks,
    ReadHeldTask,
    ReadHistory,
    ReadTask,
)
from tests.callers import Caller, agent_of, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def busy_day(board: Board, ana: Caller, ben: Caller, boss: Caller) -> None:
    """Everything that can change a task, once."""
    await ana.create_all(
        {"id": "T-1", "resources": ["path:src/**"], "definition_of_done": ["tests"]},
        {"id": "T-2", "depends_on": ["T-1"], "priority": "P0", "labels": ["x"]},
    )
    await ana.hold("T-1")
    later(board, 301)
    await board.kyros.sweep()
    token = await ben.hold("T-1")
    await ben.move("T-1", "in_progress", token)
    await ben.update(await ben.task("T-1"), tick=("d1",), token=token, title="renamed")
    await ben.move("T-1", "review", token, handoff="all done")
    await boss.move("T-1", "approved")
    await boss.move("T-1", "merging")
    await boss.move("T-1", "done")


async def test_the_board_at_a_moment_is_what_it_was_to_the_field(
    board: Board, ana: Caller, ben: Caller, boss: Caller
) -> None:
    seen = []
    await busy_day(board, ana, ben, boss)
    seen.append((await ana.head(), (await ana.call(tasks.list_all, ListAllTasks())).data))
    await boss.move("T-1", "queued", reason="again")
    await ben.hold("T-1")
    seen.append((await ana.head(), (await ana.call(tasks.list_all, ListAllTasks())).data))
    for seq, then in seen:
        assert (await ana.call(tasks.tasks_at, ReadAt(at=str(seq)))).data == then
    assert (await ana.call(tasks.tasks_at, ReadAt(at="2"))).data == []
    with refused("invalid_field", field="at"):
        await ana.call(tasks.tasks_at, ReadAt(at="yesterday"))


async def test_a_moment_may_be_an_instant(board: Board, ana: Caller) -> None:
    await ana.create("T-1")
    (created,) = await ana.log("task_created")
    later(board, 60)
    await ana.create("T-2")
    then = (await ana.call(tasks.tasks_at, ReadAt(at=created.ts))).data
    assert [task.id for task in then] == ["T-1"]


async def test_leases_and_agents_of_a_moment_are_folded_from_the_log(
    ana: Caller, ben: Caller
) -> None:
    (mine,) = await ana.acquire("a")
    then = await ana.head()
    await ana.release(mine.lock_id)
    await ben.acquire("b")
    held = (await ana.call(leases.leases_at, ReadAt(at=str(then)))).data
    assert [(one.lock_id, one.holder) for one in held] == [(mine.lock_id, "agent:ana")]
    now = (await ana.call(leases.leases_at, ReadAt(at=str(await ana.head())))).data
    assert [one.resource for one in now] == ["b"]
    await ana.register(role="writer")
    known = (await ana.call(agents.list_agents, ListAgents())).data
    told = (await ana.call(agents.agents_at, ReadAt(at=str(await ana.head())))).data
    assert [(one.name, one.role, one.etag) for one in told] == [
        (one.name, one.role, one.etag) for one in known
    ]


async def test_every_version_of_a_task_has_one_revision_with_its_diff(
    board: Board, ana: Caller, ben: Caller, boss: Caller
) -> None:
    await busy_day(board, ana, ben, boss)
    first = await ana.call(tasks.history, ReadHistory(task_id="T-1", limit=4))
    rest = await ana.call(
        tasks.history, ReadHistory(task_id="T-1", limit=100, cursor=first.next_cursor)
    )
    revisions = [*first.data, *rest.data]
    assert rest.next_cursor is None
    versions = (await ana.task("T-1")).version
    assert [one.version for one in revisions] == list(range(versions, 0, -1))
    renamed = next(one for one in revisions if "title" in one.changes and one.version > 1)
    assert renamed.changes["title"] == {"before": "work", "after": "renamed"}
    assert renamed.actor == "agent:ben"
    with refused("invalid_field", field="cursor"):
        await ana.call(tasks.history, ReadHistory(task_id="T-2", cursor=first.next_cursor))


async def test_whoever_lost_a_task_may_keep_its_output_beside_it(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.create("T-1")
    token = await ana.hold("T-1")
    later(board, 301)
    await ben.hold("T-1")
    before = await ben.task("T-1")
    with refused("write_fenced", holder="agent:ben"):
        await ana.move("T-1", "in_progress", token)
    await ana.say("my half of it", event="late_result", target="task:T-1")
    assert await ben.task("T-1") == before
    (late,) = (await ben.call(tasks.late_results, ReadTask(task_id="T-1"))).data
    assert (late.author, late.text) == ("agent:ana", "my half of it")
    shown = await ben.call(tasks.read_held, ReadHeldTask(task_id="T-1"))
    assert "my half of it" in shown.brief
    with refused("invalid_field", field="event"):
        await ben.say("not lost", event="late_result", target="task:T-1")


async def test_a_queued_task_says_why_it_waits(ana: Caller, ben: Caller) -> None:
    await ana.create_all(
        {"id": "T-1", "resources": ["path:src/**"]},
        {"id": "T-2", "depends_on": ["T-1"]},
        {"id": "T-3", "role": "pilot"},
        {"id": "T-4"},
    )
    await ben.acquire("path:src/a.py")

    async def why(task_id: str) -> list[tuple[str, dict[str, object]]]:
        found = (await ana.call(tasks.why_waiting, ReadTask(task_id=task_id))).data
        return [(one.reason, one.facts) for one in found]

    ((reason, facts),) = await why("T-1")
    assert (reason, facts["holder"]) == ("resources_held", "agent:ben")
    assert await why("T-2") == [("open_dependencies", {"open": ["T-1"]})]
    assert await why("T-3") == [("no_fitting_agent", {"role": "pilot", "skills": []})]
    assert await why("T-4") == [("turn", {"ahead": 2})]
    await ana.hold("T-4")
    assert await why("T-4") == []


async def test_an_agent_is_told_once_of_the_lease_that_it_lost(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.create("T-1")
    await ana.hold("T-1")
    later(board, 301)
    await ben.hold("T-1")
    first = await ana.answer(leases.acquire, leases.AcquireLease(resources=["b"]), key="k1")
    assert first.aside is not None
    (lost,) = first.aside.lost
    assert (lost.resource, lost.holder) == ("task:T-1", "agent:ben")
    again = await ana.answer(leases.acquire, leases.AcquireLease(resources=["c"]), key="k2")
    assert again.aside is not None
    assert again.aside.lost == ()


async def test_the_longest_chain_of_dependants_goes_first_within_a_class(
    board: Board, ana: Caller
) -> None:
    await ana.create_all({"id": "short"}, {"id": "long"})
    await ana.create_all(
        {"id": "next", "depends_on": ["long"]}, {"id": "last", "depends_on": ["next"]}
    )
    ben = await agent_of(board, "ben")
    claim = await ben.claim()
    assert claim.task is not None
    assert claim.task.id == "long"


async def test_ageing_below_the_first_class_outweighs_any_chain(board: Board, ana: Caller) -> None:
    await ana.create("old", priority="P0")
    later(board, 601)
    await ana.create("root", priority="P0")
    await ana.create("leaf", priority="P0", depends_on=["root"])
    claim = await ana.claim()
    assert claim.task is not None
    assert claim.task.id == "old"


async def test_reopening_flags_what_has_begun_and_keeps_claimed_work_from_starting(
    ana: Caller, ben: Caller, boss: Caller
) -> None:
    await ana.create_all({"id": "T-1"}, *({"id": i, "depends_on": ["T-1"]} for i in ("T-2", "T-3")))
    await boss.hold("T-1")
    for column in ("in_progress", "review"):
        await boss.move("T-1", column)
    for column in ("approved", "merging", "done"):
        await ben.move("T-1", column)
    begun = await ana.hold("T-2")
    await ana.move("T-2", "in_progress", begun)
    claimed = await ben.hold("T-3")
    await boss.move("T-1", "queued")
    flagged = await ana.log("task_needs_attention")
    assert [event.target for event in flagged] == ["task:T-2"]
    with refused("guard_failed", guard="open_dependencies", open=["T-1"]):
        await ben.move("T-3", "in_progress", claimed)
