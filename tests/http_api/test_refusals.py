"""What bad input gets: a problem with a stable code, and nothing changed."""

from typing import Any

import pytest

from tests.http_api.conftest import Board, Client

pytestmark = pytest.mark.anyio
JSON = {"content-type": "application/json"}


async def posted(client: Client, content: bytes, **headers: str) -> Any:
    return await client.post("/collab/tasks", content=content, headers={**JSON, **headers})


async def test_a_problem_has_the_members_of_the_standard(ada: Client) -> None:
    refused = await ada.get("/collab/tasks/T-404")
    problem = refused.json()
    assert refused.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "/problems/not_found"
    assert problem["status"] == refused.status_code == 404
    assert problem["request_id"] == refused.headers["x-request-id"]
    assert {"title", "code", "detail", "thing", "retryable"} <= set(problem)


async def test_an_unknown_field_names_the_nearest_one(ada: Client) -> None:
    refused = await ada.post("/collab/tasks", json={"title": "one", "priorty": "P0"})
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, "unknown_field")
    assert (problem["field"], problem["nearest"]) == ("priorty", "priority")
    assert "title" in problem["allowed"]
    assert (await ada.get("/collab/tasks")).json()["total"] == 0


async def test_an_unknown_query_field_is_refused(ada: Client) -> None:
    refused = await ada.get("/collab/tasks?limits=3")
    assert (refused.json()["code"], refused.json()["nearest"]) == ("unknown_field", "limit")
    assert (await ada.get("/collab/tasks?limit=3&limit=4")).status_code == 422
    assert (await ada.post("/collab/tasks?x=1", json={"title": "a"})).status_code == 422


async def test_a_field_of_the_path_is_unknown_in_the_body(ada: Client) -> None:
    refused = await ada.post("/collab/tasks/T-1/transition", json={"to": "done", "task_id": "T-2"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_field")


async def test_faults_name_their_fields_and_never_repeat_the_input(ada: Client) -> None:
    body = {"title": 7, "priority": "hunter2", "depends_on": ["ok", "hunter2 hunter2"]}
    refused = await ada.post("/collab/tasks", json=body)
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, "invalid_field")
    fields = {fault["field"] for fault in problem["errors"]}
    assert fields == {"title", "priority", "depends_on.1"}
    assert "hunter2" not in refused.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"{'title': 1}",
        b'{"title": "a",}',
        b'{"title": NaN}',
        b'{"title": "\xff"}',
        b'{"title": "\\ud800"}',
        b'{"title": "a", "title": "b"}',
        b'{"title": "a\\u0000b"}',
        b'{"title": "a", "labels": ["\\u0000"]}',
        b'{"title": "a\\u202eb"}',
        b'{"title": "' + b"x" * 1_000_000 + b'"}',
        b'{"title": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"title": "a", "priority": ' + b"9" * 5_000 + b"}",
        b'{"title": "a", "limit": 1e400}',
        b"[]",
        b"null",
        b'"title"',
        b"\xef\xbb\xbf{}",
        b'{"tasks": []}',
        b'{"tasks": [{"title": "a"}], "title": "b"}',
        b'{"title": "a", "depends_on": ["T-404"]}',
        b'{"tasks": [{"id": "A", "title": "a", "depends_on": ["A"]}]}',
        b'{"title": "a", "id": "../x"}',
    ],
)
async def test_a_hostile_body_changes_nothing(ada: Client, content: bytes) -> None:
    refused = await posted(ada, content)
    assert 400 <= refused.status_code < 500, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"]
    assert (await ada.get("/collab/tasks")).json()["total"] == 0


@pytest.mark.parametrize(
    "details",
    [
        b'{"n": 1e400}',
        b'{"n": 99999999999999999999}',
        b'{"\\u0000": 1}',
        b'{"a": ' * 150 + b"1" + b"}" * 150,
    ],
)
async def test_hostile_details_of_an_event_are_refused_or_kept_whole(
    ada: Client, details: bytes
) -> None:
    body = b'{"event": "note", "details": ' + details + b"}"
    answer = await ada.post("/collab/events", content=body, headers=JSON)
    assert answer.status_code in {200, 400, 422}, answer.text


async def test_a_body_beyond_its_bound_is_too_large(ada: Client, board: Board) -> None:
    refused = await posted(ada, b" " * (board.settings.body_limit_bytes + 1))
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")

    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 100_000

    refused = await ada.post("/collab/tasks", content=chunks(), headers=JSON)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""],
)
async def test_a_body_that_does_not_say_it_is_json_is_not_read(ada: Client, media: str) -> None:
    refused = await ada.post(
        "/collab/tasks", content=b'{"title": "a"}', headers={"content-type": media}
    )
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")


async def test_json_with_its_charset_is_json(ada: Client) -> None:
    headers = {"content-type": "Application/JSON; charset=UTF-8"}
    made = await ada.post("/collab/tasks", content=b'{"title": "a"}', headers=headers)
    assert made.status_code == 201


async def test_a_wrong_method_is_told_all_the_right_ones(ada: Client) -> None:
    refused = await ada.put("/collab/tasks", json={})
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("path", ["/nowhere", "/collab/tasks/", "/collab", "/docs/../etc"])
async def test_an_unknown_path_is_a_problem_too(ada: Client, path: str) -> None:
    refused = await ada.get(path)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("idempotency-key", "x" * 256),
        ("idempotency-key", "\u00e9"),
        ("idempotency-key", ""),
        ("x-kyros-agent", "../ada"),
        ("x-kyros-agent", "a" * 65),
        ("x-kyros-fencing-token", "-1"),
        ("x-kyros-fencing-token", "9" * 17),
    ],
)
async def test_a_header_that_breaks_its_rule_is_refused(ada: Client, name: str, value: str) -> None:
    headers = [(name.encode(), value.encode("latin-1"))]
    refused = await ada.post("/collab/tasks/T-1/transition", json={"to": "done"}, headers=headers)
    assert refused.status_code in {404, 422}, refused.text
    if not name.startswith("x-kyros-agent"):
        assert refused.status_code == 422


@pytest.mark.parametrize("workspace", ["nowhere", "Not A Name", "x" * 300])
async def test_an_unknown_workspace_is_not_found(board: Board, workspace: str) -> None:
    async with board.client(workspace=workspace) as client:
        refused = await client.get("/collab/tasks")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


async def test_a_workspace_of_others_looks_like_none(board: Board, admin: Client) -> None:
    await admin.post("/workspaces", json={"id": "other"})
    key = {"name": "eve", "role": "agent", "workspaces": ["default"]}
    token = (await admin.post("/api-keys", json=key)).json()["key"]
    seen = []
    for name in ("other", "nowhere"):
        async with board.client(token, workspace=name) as eve:
            problem = (await eve.get("/collab/tasks")).json()
        problem.pop("request_id")
        seen.append(problem)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("ttl", [-1, 0, 4, 3601, 10**12, 1.5, "60", None, True])
async def test_an_absurd_ttl_is_refused(ada: Client, ttl: object) -> None:
    body = {"resource": "a", "ttl_seconds": ttl}
    refused = await ada.post("/collab/leases/acquire", json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, "ttl_seconds")


async def test_reserved_event_names_are_the_servers(ada: Client) -> None:
    refused = await ada.post("/collab/events", json={"event": "task_created"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_field")
