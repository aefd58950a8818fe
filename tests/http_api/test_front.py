"""What every request passes: Host, Origin, credentials, bounds, ids."""

import pytest

from http_api.app import build_app
from http_api.middleware import Names
from kyros_collab_server.settings import Settings
from tests.http_api.conftest import Board, Client, agent

pytestmark = pytest.mark.anyio


async def test_every_answer_has_an_id_of_the_server(board: Board) -> None:
    async with board.client() as client:
        answers = [
            await client.get("/collab/tasks", headers={"x-request-id": "mine"}),
            await client.get("/nowhere"),
            await client.get("/healthz"),
        ]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 3
    assert all(one.startswith("rq_") for one in ids)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1@evil"])
async def test_a_host_that_is_not_ours_is_misdirected(admin: Client, host: str) -> None:
    refused = await admin.get("/healthz", headers={"host": host})
    assert (refused.status_code, refused.json()["code"]) == (421, "host_refused")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:8000", "[::1]:8000"])
async def test_loopback_names_are_ours(admin: Client, host: str) -> None:
    assert (await admin.get("/healthz", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost.evil.example", "file://", "localhost"],
)
async def test_a_page_of_another_origin_may_not_call(admin: Client, origin: str) -> None:
    refused = await admin.post("/collab/tasks", json={"title": "a"}, headers={"origin": origin})
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_refused")


async def test_a_page_of_this_machine_may_call(admin: Client) -> None:
    for origin in ("http://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:1"):
        assert (await admin.get("/auth/me", headers={"origin": origin})).status_code == 200


def test_the_public_url_and_the_listed_names_are_ours() -> None:
    names = Names(
        Settings(
            public_url="https://kyros.example:8443",
            allowed_hosts="one.example, two.example:99",
            allowed_origins="https://console.example/",
        )
    )
    assert names.answers_to("kyros.example:8443")
    assert not names.answers_to("kyros.example:1")
    assert names.answers_to("one.example:7")
    assert names.answers_to("two.example:99")
    assert not names.answers_to("two.example:98")
    assert names.may_come_from("https://kyros.example:8443")
    assert names.may_come_from("https://console.example")
    assert not names.may_come_from("http://console.example")


async def test_a_header_that_means_one_thing_may_not_come_twice(admin: Client) -> None:
    headers = [("x-kyros-agent", "one"), ("x-kyros-agent", "two")]
    refused = await admin.get("/auth/me", headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (422, "x-kyros-agent")


async def test_a_head_beyond_its_bound_is_refused(admin: Client) -> None:
    refused = await admin.get("/healthz", headers={"x-long": "x" * 20_000})
    assert (refused.status_code, refused.json()["code"]) == (431, "too_large")
    refused = await admin.get("/healthz?" + "x" * 9_000)
    assert refused.status_code == 431


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer nonsense",
        "Bearer ky_a_b",
        "Bearer " + "x" * 600,
    ],
)
async def test_a_call_without_valid_credentials_is_told_how(board: Board, header: str) -> None:
    async with board.client() as client:
        refused = await client.get("/collab/tasks", headers={"authorization": header})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_in_the_query_is_no_credential(board: Board) -> None:
    async with board.client() as client:
        del client.headers["authorization"]
        refused = await client.get(f"/collab/tasks?token={board.token}&access_token={board.token}")
    assert refused.status_code == 401
    assert board.token not in refused.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs", "/docs/docs.js"])
async def test_what_is_open_answers_without_credentials(board: Board, path: str) -> None:
    async with board.client() as client:
        del client.headers["authorization"]
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/metrics", "/auth/me", "/collab/inbox", "/api-keys"])
async def test_the_rest_asks_who_calls(board: Board, path: str) -> None:
    async with board.client() as client:
        del client.headers["authorization"]
        assert (await client.get(path)).status_code == 401


async def test_a_missing_scope_is_named(board: Board) -> None:
    async with agent(board, "eve", role="viewer") as viewer:
        refused = await viewer.post("/collab/tasks", json={"title": "a"})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert refused.json()["scopes_needed"] == ["tasks:write"]
    assert 'scope="tasks:write"' in refused.headers["www-authenticate"]


async def test_a_principal_that_calls_too_often_is_slowed_down(board: Board) -> None:
    settings = board.settings.model_copy(update={"calls_per_second": 3})
    board.app = build_app(board.kyros, settings, mcp=None)
    async with board.client() as client:
        answers = [await client.get("/auth/me") for _ in range(8)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:3] == [200, 200, 200]
    assert 429 in statuses
    slowed = answers[statuses.index(429)]
    assert slowed.json()["code"] == "rate_limited"
    assert slowed.headers["retry-after"] == "1"


async def test_an_address_that_guesses_tokens_is_slowed_down(board: Board) -> None:
    settings = board.settings.model_copy(update={"calls_per_second": 3})
    board.app = build_app(board.kyros, settings, mcp=None)
    async with board.client("ky_0_0") as client:
        statuses = [(await client.get("/auth/me")).status_code for _ in range(8)]
    assert statuses[0] == 401
    assert 429 in statuses


async def test_a_failure_of_ours_says_an_incident_id_and_nothing_else(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(board.kyros, "perform", broken)
    async with board.client() as client:
        failed = await client.get("/auth/me")
    assert (failed.status_code, failed.json()["code"]) == (500, "incident")
    assert failed.json()["incident_id"].startswith("in_")
    assert "hunter2" not in failed.text
