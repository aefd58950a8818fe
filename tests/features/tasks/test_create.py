"""Creating tasks: ids, whole batches, circles, and bounds."""

from typing import Any

import pytest
from pydantic import ValidationError

from kyros_collab_server.features.tasks.model import TaskDraft, TaskStatus
from tests.callers import Caller, refused, token_of

pytestmark = pytest.mark.anyio


async def test_ids_follow_the_highest_number_whoever_gave_it(ana: Caller) -> None:
    first = await ana.create_all({}, {})
    assert [task.id for task in first] == ["T-1", "T-2"]
    await ana.create("T-100")
    await ana.create("epic.1")
    await ana.create("T-99")
    mixed = await ana.create_all({}, {"id": "T-500"}, {})
    assert [task.id for task in mixed] == ["T-101", "T-500", "T-501"]


async def test_a_created_task_is_queued_and_told_with_its_tag(ana: Caller) -> None:
    task = await ana.create(title="Write it", priority="P1", labels=["x"], skills=["py"])
    assert task.status is TaskStatus.QUEUED
    assert (task.created_by, task.version, task.attempts) == ("agent:ana", 1, 0)
    assert task == await ana.task(task.id)
    (event,) = await ana.log("task_created")
    assert event.target == f"task:{task.id}"
    assert event.details["etag"] == task.etag
    assert event.details["version"] == 1
    shown = {**event.details["task"], "etag": task.etag, "version": 1}
    assert shown == task.model_dump(mode="json")


async def test_a_batch_is_created_whole_or_not_at_all(ana: Caller) -> None:
    await ana.create("T-1")
    head = await ana.head()
    with refused("already_exists"):
        await ana.create_all({"id": "T-2"}, {"id": "T-1"})
    with refused("already_exists"):
        await ana.create_all({"id": "T-2"}, {"id": "T-2"})
    with refused("not_found", thing="dependency"):
        await ana.create_all({"id": "T-2"}, {"id": "T-3", "depends_on": ["T-9"]})
    with refused("invalid_field"):
        await ana.create_all({"id": "T-2"}, {"resources": ["path:../x"]})
    with refused("use_claim"):
        await ana.create_all({"id": "T-2"}, {"resources": ["task:T-1"]})
    with refused("invalid_field"):
        await ana.create(definition_of_done=[{"id": "d2", "text": "a"}, "b"])
    with refused("not_found"):
        await ana.task("T-2")
    assert await ana.head() == head


async def test_tasks_of_a_batch_may_depend_on_each_other_in_any_order(ana: Caller) -> None:
    await ana.create("T-1")
    await ana.create_all({"id": "b", "depends_on": ["a", "T-1"]}, {"id": "a"})
    with refused("guard_failed", guard="open_dependencies", open=["a", "T-1"]):
        await ana.claim("b")
    assert (await ana.claim("a")).claimed


async def test_a_circle_of_dependencies_is_refused_by_its_names(ana: Caller) -> None:
    with refused("dependency_cycle", cycle=["a", "c", "b", "a"]) as refusal:
        await ana.create_all(
            {"id": "a", "depends_on": ["c"]},
            {"id": "b", "depends_on": ["a"]},
            {"id": "c", "depends_on": ["b"]},
        )
    assert refusal.facts["cycle"][0] == refusal.facts["cycle"][-1]
    with refused("dependency_cycle", cycle=["a", "a"]):
        await ana.create("a", depends_on=["a"])
    first = await ana.create("a")
    await ana.create("b", depends_on=["a"])
    await ana.create("c", depends_on=["b"])
    with refused("dependency_cycle", cycle=["a", "c", "b", "a"]):
        await ana.update(first, depends_on=["c"])
    with refused("dependency_cycle", cycle=["a", "a"]):
        await ana.update(first, depends_on=["a"])
    assert (await ana.task("a")) == first


async def test_resources_of_a_task_are_kept_in_their_one_spelling(ana: Caller) -> None:
    task = await ana.create(resources=["port:1", "path:cafe\u0301/**", "path:caf\u00e9/**"])
    assert task.resources == ["path:caf\u00e9/**", "port:1"]


@pytest.mark.parametrize(
    "fields",
    [
        {"title": ""},
        {"title": " "},
        {"title": "x" * 201},
        {"title": "x" * 1_000_000},
        {"title": "a\x00b"},
        {"title": "a\u202eb"},
        {"title": "\ud800"},
        {"title": 7},
        {"title": None},
        {"titel": "x"},
        {"description": "x" * 16_385},
        {"description": "é" * 8_193},
        {"priority": "P4"},
        {"priority": 0},
        {"status": "done"},
        {"labels": ["x"] * 65},
        {"labels": ["x" * 65]},
        {"labels": ["a\nb"]},
        {"skills": ["x"] * 65},
        {"skills": ["a b"]},
        {"role": "-"},
        {"depends_on": [f"T-{n}" for n in range(65)]},
        {"depends_on": ["a/b"]},
        {"resources": ["x"] * 65},
        {"resources": [""]},
        {"definition_of_done": ["x"] * 51},
        {"definition_of_done": [{"text": "x", "more": 1}]},
        {"id": "a b"},
        {"id": "-x"},
        {"id": "x" * 65},
        {"links": [{"url": "x" * 2_049}]},
    ],
    ids=lambda fields: next(f"{name} {str(value)[:12]!a}" for name, value in fields.items()),
)
def test_a_draft_beyond_its_bounds_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TaskDraft(**{"title": "t", **fields})


async def test_the_largest_legal_card_can_be_stored_worked_and_lost(ana: Caller) -> None:
    """Its handoff is replaced by a requeue, whose event holds both."""
    task = await ana.create(description='"' * 16_384)
    token = await ana.hold(task.id, ttl_seconds=5)
    await ana.update(task, token=token, handoff="\U0001f600" * 4_096)
    for word in range(5):
        await ana.say("\U0001f600" * 4_000 + str(word), target=f"task:{task.id}")
    await ana.release((await ana.task(task.id)).lock_id or "")
    claim = await ana.claim(task.id)
    await ana.move(task.id, "queued", token_of(claim), handoff='"\n' * 8_192)
    assert (await ana.task(task.id)).status is TaskStatus.QUEUED


async def test_a_number_beyond_all_others_is_refused_and_jams_nothing(ana: Caller) -> None:
    with refused("invalid_field", field="id"):
        await ana.create("T-999999999999999")
    await ana.create("T-1000000000000")
    (after,) = await ana.create_all({})
    assert after.id == "T-1000000000001"


async def test_a_dense_board_settles_each_chain_once(ana: Caller) -> None:
    for start in range(0, 100, 50):
        await ana.create_all(
            *(
                {"id": f"n{n}", "depends_on": [f"n{m}" for m in range(max(0, n - 20), n)]}
                for n in range(start, start + 50)
            )
        )
    claim = await ana.claim()
    assert claim.task is not None
    assert claim.task.id == "n0"
