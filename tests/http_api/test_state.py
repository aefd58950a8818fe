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


@pytest.mark.parametrize("kind", ["tasks", "locks", "agents", "logs"])
async def test_a_past_moment_is_read_conditionally_too(ada: Client, kind: str) -> None:
    await ada.post("/collab/tasks", json={"title": "one"})
    await ada.post("/collab/leases/acquire", json={"resource": "a"})
    await ada.post("/collab/logs", json={"text": "# Monday"})
    head = (await ada.get("/collab/events")).json()["head_seq"]
    then = await ada.get(f"/collab/state/{kind}?at={head}")
    assert then.status_code == 200
    assert then.json()["etag"] == then.headers["etag"]
    await ada.post("/collab/tasks", json={"title": "two"})
    await ada.post("/collab/leases/acquire", json={"resource": "b"})
    await ada.post("/collab/logs", json={"text": "# Tuesday"})
    again = await ada.get(f"/collab/state/{kind}?at={head}")
    assert again.content == then.content
    unread = {"if-none-match": then.headers["etag"]}
    same = await ada.get(f"/collab/state/{kind}?at={head}", headers=unread)
    assert (same.status_code, same.content) == (304, b"")
    if kind != "agents":
        assert (await ada.get(f"/collab/state/{kind}", headers=unread)).status_code == 200


async def test_a_past_board_is_the_board_that_was_in_full_and_as_cards(ada: Client) -> None:
    made = (await ada.post("/collab/tasks", json={"title": "one"})).json()
    head = (await ada.get("/collab/events")).json()["head_seq"]
    patch = {"title": "renamed"}
    await ada.patch("/collab/tasks/T-1", json=patch, headers={"if-match": made["etag"]})
    assert (await ada.get(f"/collab/state/tasks?at={head}")).json()["data"] == [made["task"]]
    cards = (await ada.get(f"/collab/state/tasks?at={head}&view=summary")).json()["data"]
    assert (cards[0]["title"], "description" in cards[0]) == ("one", False)
    ts = made["task"]["created_at"]
    assert len((await ada.get(f"/collab/state/tasks?at={ts}")).json()["data"]) == 1
    assert (await ada.get("/collab/state/tasks?at=0")).json()["data"] == []


@pytest.mark.parametrize("at", ["", "yesterday", "-1", "2026-01-01", "1e3", "9" * 40, "2026-13-01"])
async def test_a_moment_that_is_none_is_refused_by_its_field(ada: Client, at: str) -> None:
    refused = await ada.get("/collab/state/tasks", params={"at": at})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_field")
    assert refused.json()["field"] == "at"


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
