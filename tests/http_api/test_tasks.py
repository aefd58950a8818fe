"""Tasks over REST."""

import asyncio
import itertools
from typing import Any

import pytest

from http_api.app import build_app
from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.settings import Settings
from tests.conftest import TurnedClock
from tests.http_api.conftest import WAIT, Board, Client, agent

pytestmark = pytest.mark.anyio


async def test_a_created_task_comes_with_its_id_and_etag(ada: Client) -> None:
    made = await ada.post("/collab/tasks", json={"title": "Paint the fence"})
    assert made.status_code == 201
    body = made.json()
    assert set(body) == {"id", "etag", "task"}
    assert body["etag"] == body["task"]["etag"] == made.headers["etag"]
    read = await ada.get(f"/collab/tasks/{body['id']}")
    assert read.json() == body["task"]
    assert read.headers["etag"] == body["etag"]


async def test_several_tasks_are_created_all_or_none(ada: Client) -> None:
    drafts = [{"id": "A", "title": "a"}, {"id": "B", "title": "b", "depends_on": ["A"]}]
    made = await ada.post("/collab/tasks", json={"tasks": drafts})
    assert made.status_code == 201
    assert [one["id"] for one in made.json()["tasks"]] == ["A", "B"]
    refused = await ada.post("/collab/tasks", json={"tasks": [{"title": "c"}, drafts[0]]})
    assert (refused.status_code, refused.json()["code"]) == (409, "already_exists")
    listed = (await ada.get("/collab/tasks")).json()
    assert (listed["total"], listed["next_cursor"]) == (2, None)


async def test_a_list_of_tasks_pages_by_its_cursor_and_filters(ada: Client) -> None:
    for number in range(5):
        await ada.post(
            "/collab/tasks", json={"title": f"n{number}", "labels": ["odd"] * (number % 2)}
        )
    first = (await ada.get("/collab/tasks?limit=3")).json()
    assert ([t["title"] for t in first["data"]], first["total"]) == (["n0", "n1", "n2"], 5)
    rest = await ada.get("/collab/tasks", params={"limit": 3, "cursor": first["next_cursor"]})
    assert [t["title"] for t in rest.json()["data"]] == ["n3", "n4"]
    odd = await ada.get("/collab/tasks?label=odd&status=queued,claimed")
    assert odd.json()["total"] == 2


async def test_a_patch_needs_if_match_and_a_mismatch_teaches(ada: Client) -> None:
    task = (await ada.post("/collab/tasks", json={"title": "one"})).json()
    url = f"/collab/tasks/{task['id']}"
    blind = await ada.patch(url, json={"priority": "P0"})
    assert (blind.status_code, blind.json()["code"]) == (428, "if_match_required")
    assert blind.json()["etag"] == blind.headers["etag"] == task["etag"]
    changed = await ada.patch(url, json={"priority": "P0"}, headers={"if-match": task["etag"]})
    assert changed.status_code == 200
    assert changed.json() == {"ok": True, "etag": changed.headers["etag"]}
    late = await ada.patch(url, json={"priority": "P3"}, headers={"if-match": task["etag"]})
    body = late.json()
    assert (late.status_code, body["code"]) == (412, "etag_mismatch")
    assert body["etag"] == changed.json()["etag"]
    assert body["current"]["priority"] == "P0"
    assert "priority" in body["diff"]


async def test_a_merge_patch_leaves_absent_fields_and_empties_null_ones(ada: Client) -> None:
    draft = {"title": "one", "labels": ["x"], "description": "d"}
    task = (await ada.post("/collab/tasks", json=draft)).json()
    headers = {"if-match": task["etag"], "content-type": "application/merge-patch+json"}
    url = f"/collab/tasks/{task['id']}"
    changed = await ada.patch(url, content=b'{"labels": null}', headers=headers)
    assert changed.status_code == 200
    now = (await ada.get(url)).json()
    assert (now["labels"], now["description"]) == ([], "d")


async def test_a_claimed_task_moves_with_its_fencing_token_only(ada: Client, bob: Client) -> None:
    draft = {"title": "one", "definition_of_done": ["tests"]}
    task_id = (await ada.post("/collab/tasks", json=draft)).json()["id"]
    claim = (await ada.post("/collab/tasks/claim", json={})).json()
    assert (claim["claimed"], claim["task"]["id"]) == (True, task_id)
    assert "why" not in claim
    token = claim["leases"][0]["fencing_token"]
    url = f"/collab/tasks/{task_id}/transition"
    fenced = await bob.post(url, json={"to": "in_progress", "fencing_token": token})
    assert (fenced.status_code, fenced.json()["code"]) == (409, "write_fenced")
    assert fenced.json()["holder"] == "agent:ada"
    header = {"x-kyros-fencing-token": str(token)}
    moved = await ada.post(url, json={"to": "in_progress"}, headers=header)
    assert moved.status_code == 200, moved.text
    assert (moved.json()["old_status"], moved.json()["new_status"]) == ("claimed", "in_progress")
    assert moved.headers["etag"] == moved.json()["etag"]
    both = await ada.post(url, json={"to": "review", "fencing_token": token + 1}, headers=header)
    assert (both.status_code, both.json()["field"]) == (422, "fencing_token")


async def test_a_tick_needs_the_token_of_the_live_lease(ada: Client) -> None:
    draft = {"title": "one", "definition_of_done": [{"id": "t", "text": "tests"}]}
    task_id = (await ada.post("/collab/tasks", json=draft)).json()["id"]
    claim = (await ada.post("/collab/tasks/claim", json={"task_id": task_id})).json()
    headers = {"if-match": claim["task"]["etag"]}
    url = f"/collab/tasks/{task_id}"
    refused = await ada.patch(url, json={"tick": ["t"]}, headers=headers)
    assert refused.json()["code"] == "write_fenced"
    token = claim["leases"][0]["fencing_token"]
    ticked = await ada.patch(url, json={"tick": ["t"], "fencing_token": token}, headers=headers)
    assert ticked.status_code == 200, ticked.text
    assert (await ada.get(url)).json()["definition_of_done"][0]["done"] is True


async def test_a_guard_that_stands_in_the_way_is_named(ada: Client) -> None:
    task_id = (await ada.post("/collab/tasks", json={"title": "one"})).json()["id"]
    refused = await ada.post(f"/collab/tasks/{task_id}/transition", json={"to": "merging"})
    body = refused.json()
    assert (refused.status_code, body["code"], body["guard"]) == (
        409,
        "guard_failed",
        "illegal_move",
    )


async def test_nothing_to_claim_is_no_error(ada: Client) -> None:
    answer = await ada.post("/collab/tasks/claim", json={})
    assert answer.status_code == 200
    assert answer.json()["claimed"] is False
    assert "retry_after_seconds" in answer.json()


async def test_a_wait_beyond_thirty_seconds_is_refused(ada: Client) -> None:
    refused = await ada.post("/collab/tasks/claim", json={"wait_seconds": 31})
    assert (refused.status_code, refused.json()["field"]) == (422, "wait_seconds")


async def test_revisions_come_newest_first_with_both_values_of_each_field(ada: Client) -> None:
    made = (await ada.post("/collab/tasks", json={"title": "one"})).json()
    etag = made["etag"]
    for title in ("two", "three"):
        patched = await ada.patch(
            "/collab/tasks/T-1", json={"title": title}, headers={"if-match": etag}
        )
        etag = patched.json()["etag"]
    first = (await ada.get("/collab/tasks/T-1/history?limit=2")).json()
    assert [one["changes"]["title"] for one in first["data"]] == [
        {"before": "two", "after": "three"},
        {"before": "one", "after": "two"},
    ]
    assert first["data"][0]["etag"] == etag
    query = {"limit": 2, "cursor": first["next_cursor"]}
    rest = (await ada.get("/collab/tasks/T-1/history", params=query)).json()
    assert [(one["event"], one["version"]) for one in rest["data"]] == [("task_created", 1)]
    assert rest["next_cursor"] is None
    await ada.post("/collab/tasks", json={"title": "other"})
    forged = await ada.get("/collab/tasks/T-2/history", params=query)
    assert (forged.status_code, forged.json()["field"]) == (422, "cursor")
    assert (await ada.get("/collab/tasks/T-9/history")).status_code == 404


async def test_a_queued_task_says_why_it_waits(ada: Client) -> None:
    await ada.post("/collab/tasks", json={"title": "one"})
    await ada.post("/collab/tasks", json={"title": "two", "depends_on": ["T-1"]})
    (turn,) = (await ada.get("/collab/tasks/T-1/why-waiting")).json()["data"]
    assert turn == {"reason": "turn", "facts": {"ahead": 0}}
    (waits,) = (await ada.get("/collab/tasks/T-2/why-waiting")).json()["data"]
    assert (waits["reason"], waits["facts"]["open"]) == ("open_dependencies", ["T-1"])
    await ada.post("/collab/tasks/claim", json={"task_id": "T-1"})
    assert (await ada.get("/collab/tasks/T-1/why-waiting")).json() == {"data": []}
    assert (await ada.get("/collab/tasks/T-9/why-waiting")).status_code == 404


async def test_what_a_zombie_hands_in_is_kept_beside_its_task(
    settings: Settings, clock: TurnedClock
) -> None:
    async with open_kyros(settings, duties=False, clock=clock) as opened:
        board = Board(
            build_app(opened.kyros, settings), opened.kyros, opened.credentials.token, settings
        )
        async with agent(board, "ada") as ada, agent(board, "bob") as bob:
            await hand_in_late(board, clock, ada, bob)


async def hand_in_late(board: Board, clock: TurnedClock, ada: Client, bob: Client) -> None:
    await ada.post("/collab/tasks", json={"title": "one"})
    claim = (await ada.post("/collab/tasks/claim", json={"task_id": "T-1"})).json()
    clock.advance(301)
    await board.kyros.sweep()
    assert (await bob.post("/collab/tasks/claim", json={"task_id": "T-1"})).json()["claimed"]
    late = {"to": "review", "fencing_token": claim["leases"][0]["fencing_token"]}
    refused = await ada.post("/collab/tasks/T-1/transition", json=late)
    assert (refused.status_code, refused.json()["code"]) == (409, "write_fenced")
    body = {"event": "late_result", "target": "task:T-1", "text": "what I had"}
    assert (await ada.post("/collab/events", json=body)).status_code == 200
    assert (await bob.post("/collab/events", json=body)).status_code == 422
    (kept,) = (await bob.get("/collab/tasks/T-1/late-results")).json()["data"]
    assert (kept["author"], kept["text"]) == ("agent:ada", "what I had")


async def test_claims_that_wait_are_served_in_the_order_of_their_calls(
    board: Board, ada: Client, bob: Client
) -> None:
    async def waits(client: Client, before: int) -> "asyncio.Task[Any]":
        body = {"wait_seconds": 30}
        task = asyncio.create_task(client.post("/collab/tasks/claim", json=body, timeout=WAIT))
        async with asyncio.timeout(WAIT):
            for _ in itertools.count():
                if await waiters(board) > before:
                    break
                await asyncio.sleep(0)
        return task

    first = await waits(ada, 0)
    second = await waits(bob, 1)
    async with board.client() as admin:
        await admin.post("/collab/tasks", json={"title": "one"})
        assert (await asyncio.wait_for(first, WAIT)).json()["task"]["assignee"] == "agent:ada"
        assert not second.done()
        await admin.post("/collab/tasks", json={"title": "two"})
    assert (await asyncio.wait_for(second, WAIT)).json()["task"]["assignee"] == "agent:bob"


async def waiters(board: Board) -> int:
    principal = board.kyros.local_caller(agent="observer")
    found: int = await board.kyros._store.read(principal, lambda work: len(work.waiters.all()))
    return found


async def test_a_brief_comes_with_its_task(ada: Client) -> None:
    task_id = (await ada.post("/collab/tasks", json={"title": "one"})).json()["id"]
    read = (await ada.get(f"/collab/tasks/{task_id}/brief")).json()
    assert read["task"]["id"] == task_id
    assert "one" in read["brief"]


async def test_the_workflow_is_served_as_data(ada: Client) -> None:
    workflow = (await ada.get("/collab/workflow")).json()
    moves = {(move["from_status"], move["to_status"]) for move in workflow["moves"]}
    assert ("queued", "claimed") in moves
    assert ("cancelled", "queued") not in moves
