"""The board as a whole, and conditional reads of it."""

import pytest

from tests.http_api.conftest import Board, Client

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", ["tasks", "locks", "agents"])
async def test_an_unchanged_kind_is_answered_without_a_body(ada: Client, kind: str) -> None:
    read = await ada.get(f"/collab/state/{kind}")
    assert set(read.json()) == {"data", "etag"}
    assert read.json()["etag"] == read.headers["etag"]
    assert read.headers["etag"].startswith('"')
    for header in (read.headers["etag"], f'"x", W/{read.headers["etag"]}', "*"):
        again = await ada.get(f"/collab/state/{kind}", headers={"if-none-match": header})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == read.headers["etag"]


async def test_a_change_gives_the_kind_a_new_tag(ada: Client) -> None:
    before = await ada.get("/collab/state/tasks")
    made = await ada.post("/collab/tasks", json={"title": "one"})
    after = await ada.get("/collab/state/tasks", headers={"if-none-match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.json()["data"] == [made.json()["task"]]
    assert after.headers["etag"] != before.headers["etag"]
    again = await ada.get("/collab/state/tasks")
    assert again.content == after.content


async def test_a_summary_is_another_representation_with_its_own_tag(ada: Client) -> None:
    await ada.post("/collab/tasks", json={"title": "one", "description": "long"})
    full = await ada.get("/collab/state/tasks")
    summary = await ada.get("/collab/state/tasks?view=summary")
    assert "description" not in summary.json()["data"][0]
    assert summary.headers["etag"] != full.headers["etag"]
    again = await ada.get(
        "/collab/state/tasks?view=summary", headers={"if-none-match": summary.headers["etag"]}
    )
    assert again.status_code == 304


async def test_the_human_log_is_text_with_a_tag(ada: Client) -> None:
    log = await ada.get("/collab/state/logs")
    assert set(log.json()) == {"text", "etag"}
    again = await ada.get("/collab/state/logs", headers={"if-none-match": log.headers["etag"]})
    assert again.status_code == 304


async def test_a_past_moment_is_not_available_yet(ada: Client) -> None:
    refused = await ada.get("/collab/state/tasks?at=1")
    assert (refused.status_code, refused.json()["code"]) == (501, "not_available")


async def test_an_unknown_kind_is_not_found(ada: Client) -> None:
    assert (await ada.get("/collab/state/cats")).status_code == 404


async def test_a_board_is_not_shown_to_another_workspace(board: Board, ada: Client) -> None:
    async with board.client() as admin:
        assert (await admin.post("/workspaces", json={"id": "other"})).status_code == 201
    await ada.post("/collab/tasks", json={"title": "one"})
    await ada.get("/collab/state/tasks")
    async with board.client(workspace="other") as elsewhere:
        assert (await elsewhere.get("/collab/state/tasks")).json()["data"] == []


async def test_an_answer_with_a_tag_is_never_encoded(ada: Client) -> None:
    read = await ada.get("/collab/state/tasks", headers={"accept-encoding": "gzip, br"})
    assert "content-encoding" not in read.headers


async def test_a_head_request_is_answered_like_a_get_without_its_body(ada: Client) -> None:
    head = await ada.head("/collab/state/tasks")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == (await ada.get("/collab/state/tasks")).headers["etag"]
