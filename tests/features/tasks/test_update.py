"""Updating tasks: preconditions that teach, the fence, ticks, and what anybody may touch."""

import pytest

from kyros_collab_server.features.tasks.model import TaskStatus
from tests.callers import Caller, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def test_an_update_without_an_etag_is_asked_for_it(ana: Caller) -> None:
    task = await ana.create()
    with refused("if_match_required", etag=task.etag):
        await ana.update(task, etag=None, title="new")
    assert await ana.task(task.id) == task


async def test_an_update_of_an_older_version_is_taught_the_current_one(
    ana: Caller, ben: Caller
) -> None:
    old = await ana.create(title="one", labels=["a"])
    new = await ben.update(old, title="two")
    with refused("etag_mismatch", etag=new.etag) as refusal:
        await ana.update(old, etag=old.etag, title="three", labels=["a"])
    assert refusal.facts["current"] == new.model_dump(mode="json")
    assert refusal.facts["diff"] == {"title": {"before": "two", "after": "three"}}
    assert refusal.error is not None
    assert new.etag in refusal.error.fix
    assert await ana.task(old.id) == new


async def test_an_update_gives_a_new_tag_and_tells_what_changed(ana: Caller) -> None:
    task = await ana.create(title="one", description="x")
    changed = await ana.update(task, title="two", description=None)
    assert (changed.title, changed.description) == ("two", "")
    assert changed.version == 2
    assert changed.etag != task.etag
    assert changed == await ana.task(task.id)
    (event,) = await ana.log("task_updated")
    assert event.details["version"] == 2
    assert event.details["etag"] == changed.etag
    assert event.details["changes"] == {
        "title": {"before": "one", "after": "two"},
        "description": {"before": "x", "after": ""},
    }


async def test_an_update_that_changes_nothing_leaves_tag_and_log_alone(ana: Caller) -> None:
    task = await ana.create(title="one", skills=["b", "a"], labels=["x"])
    head = await ana.head()
    assert await ana.update(task, title="one", skills=["a", "b", "a"], labels=["x", "x"]) == task
    assert await ana.update(task) == task
    assert await ana.head() == head


async def test_beside_a_live_lease_others_may_touch_priority_labels_and_links_alone(
    ana: Caller, ben: Caller, boss: Caller
) -> None:
    task = await ana.create()
    token = await ana.hold(task.id)
    free = await ben.update(task, priority="P0", labels=["hot"], links=["https://x.example"])
    assert (free.priority, free.labels, free.links[0].url) == ("P0", ["hot"], "https://x.example")
    for fields in (
        {"title": "x"},
        {"description": "x"},
        {"role": "qa"},
        {"skills": ["x"]},
        {"depends_on": []},
        {"resources": ["r"]},
        {"definition_of_done": ["x"]},
        {"handoff": "x"},
        {"title": "x", "priority": "P1"},
    ):
        for other in (ben, boss):
            with refused("write_fenced", current=token, holder="agent:ana"):
                await other.update(task, **fields)
    for wrong in (token - 1, token + 1):
        with refused("write_fenced", offered=wrong, current=token):
            await ana.update(task, token=wrong, labels=["cold"])
    with refused("write_fenced", current=token):
        await ana.update(task, title="x")
    with refused("write_fenced", offered=token, holder="agent:ana"):
        await ben.update(task, token=token, title="x")
    assert await ana.task(task.id) == free
    assert (await ana.update(task, token=token, title="x")).title == "x"


async def test_a_token_is_refused_where_no_lease_lives(board: Board, ana: Caller) -> None:
    task = await ana.create()
    with refused("write_fenced", offered=3, holder=None):
        await ana.update(task, token=3, title="x")
    token = await ana.hold(task.id, ttl_seconds=5)
    later(board, 5)
    assert (await ana.update(task, token=token, title="in time")).title == "in time"
    later(board, 5.001)
    for offered in (token, None):
        with refused("write_fenced", offered=offered, current=token, holder=None):
            await ana.update(task, token=offered, title="too late")


async def test_ticks_finish_lines_of_the_definition_of_done(ana: Caller) -> None:
    task = await ana.create(definition_of_done=["tests", {"id": "docs", "text": "docs"}])
    ticked = await ana.update(task, tick=("docs",))
    assert [item.done for item in ticked.definition_of_done] == [False, True]
    with refused("invalid_field", field="tick", allowed=["d1", "docs"]):
        await ana.update(task, tick=("d1", "nope"))
    again = await ana.update(task, tick=("d1",), definition_of_done=["other"])
    assert [(item.text, item.done) for item in again.definition_of_done] == [("other", True)]


async def test_changed_dependencies_decide_at_once_whether_a_task_is_ready(ana: Caller) -> None:
    await ana.create("a")
    task = await ana.create("b")
    await ana.update(task, depends_on=["a"])
    with refused("guard_failed", guard="open_dependencies"):
        await ana.claim("b")
    with refused("not_found", thing="dependency"):
        await ana.update(task, depends_on=["nope"])
    await ana.update(task, depends_on=None)
    assert (await ana.claim("b")).claimed
    await ana.move("a", "cancelled")
    with refused("not_found", thing="task"):
        await ana.task("nope")


async def test_only_a_person_clears_needs_attention(
    board: Board, ana: Caller, ben: Caller, boss: Caller
) -> None:
    task = await ana.create()
    for _ in range(4):
        await ana.hold(task.id, ttl_seconds=5)
        later(board, 6)
        await board.kyros.sweep()
    assert (await ana.task(task.id)).needs_attention
    with refused("insufficient_scope"):
        await ben.update(task, needs_attention=False)
    cleared = await boss.update(task, needs_attention=False)
    assert (cleared.needs_attention, cleared.attempts) == (False, 0)
    assert (await ana.claim()).claimed


async def test_heartbeats_do_not_change_a_task(board: Board, ana: Caller) -> None:
    task = await ana.create()
    claim = await ana.claim(task.id)
    assert claim.task is not None
    etag, head = claim.task.etag, await ana.head()
    later(board, 200)
    await ana.renew(claim.task.lock_id or "")
    later(board, 200)
    found = await ana.task(task.id)
    assert (found.etag, found.status) == (etag, TaskStatus.CLAIMED)
    assert await ana.head() == head
