"""Tasks over REST."""

import pytest

from tests.http_api.conftest import Client

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


async def test_the_history_is_not_available_yet(ada: Client) -> None:
    task_id = (await ada.post("/collab/tasks", json={"title": "one"})).json()["id"]
    refused = await ada.get(f"/collab/tasks/{task_id}/history")
    assert (refused.status_code, refused.json()["code"]) == (501, "not_available")


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
