"""Handshake sessions and rates: whose they are, how many there may be, how they end."""

from pathlib import Path

import pytest

from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import RevokeKey
from kyros_collab_server.mcp_face.gate import CallRate
from kyros_collab_server.mcp_face.sdk_gaps import SESSIONS_PER_PRINCIPAL
from kyros_collab_server.settings import Settings
from tests.mcp_face.conftest import (
    ERAS,
    HANDSHAKE,
    INITIALIZE,
    Product,
    answer_of,
    modern_call,
    serving,
)

pytestmark = pytest.mark.anyio


async def test_a_revoked_key_fails_at_once_and_ends_its_session(product: Product) -> None:
    token = await product.key("ana")
    admin = await product.caller(product.token)
    async with product.raw(token) as http:
        opened = await http.post("/mcp", json=INITIALIZE, headers=HANDSHAKE)
        assert opened.status_code == 200
        key_id = token.split("_")[1]
        await product.kyros.perform(identity.revoke_key, RevokeKey(id=key_id), actor=admin)
        session = {**HANDSHAKE, "Mcp-Session-Id": opened.headers["mcp-session-id"]}
        again = await http.post(
            "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=session
        )
        assert again.status_code == 401
        assert (await modern_call(http, "board_show", {})).status_code == 401


async def test_another_principal_on_a_known_session_finds_nothing(product: Product) -> None:
    ana, bob = await product.key("ana"), await product.key("bob")
    async with product.raw(ana) as http:
        opened = await http.post("/mcp", json=INITIALIZE, headers=HANDSHAKE)
    session = {**HANDSHAKE, "Mcp-Session-Id": opened.headers["mcp-session-id"]}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    async with product.raw(bob) as http:
        assert (await http.post("/mcp", json=ping, headers=session)).status_code == 404
        assert (await http.delete("/mcp", headers=session)).status_code == 404
    async with product.raw(ana) as http:
        assert (await http.post("/mcp", json=ping, headers=session)).status_code == 200


async def test_a_principal_may_hold_so_many_sessions_and_others_still_come_in(
    product: Product,
) -> None:
    ana, bob = await product.key("ana"), await product.key("bob")
    async with product.raw(ana) as http:
        for _ in range(SESSIONS_PER_PRINCIPAL):
            opened = await http.post("/mcp", json=INITIALIZE, headers=HANDSHAKE)
            assert opened.status_code == 200
        full = await http.post("/mcp", json=INITIALIZE, headers=HANDSHAKE)
        assert full.status_code == 503
        assert int(full.headers["retry-after"]) > 0
        session = {**HANDSHAKE, "Mcp-Session-Id": opened.headers["mcp-session-id"]}
        assert (await http.delete("/mcp", headers=session)).status_code == 200
        again = await http.post("/mcp", json=INITIALIZE, headers=HANDSHAKE)
        assert again.status_code == 200
    async with product.raw(bob) as http:
        assert (await http.post("/mcp", json=INITIALIZE, headers=HANDSHAKE)).status_code == 200


async def test_a_principal_that_calls_too_often_is_told_when_to_come_back(
    settings: Settings,
) -> None:
    async with serving(settings.model_copy(update={"calls_per_second": 5})) as product:
        async with product.raw(product.token) as http:
            answers = [await modern_call(http, "event_wait", {}) for _ in range(30)]
        limited = [answer for answer in answers if answer.status_code == 429]
        assert limited
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in limited)
        assert limited[0].json()["error"]["data"]["kyros/problem"]["code"] == "rate_limited"


def test_calls_are_counted_for_each_principal_by_itself() -> None:
    rate = CallRate(2)
    made = [rate.excess("a") for _ in range(2_000)]
    assert made[:2] == [None, None]
    assert 1 in made
    assert rate.excess("b") is None
    assert not rate.is_spent("b")


async def test_an_address_that_keeps_failing_is_slowed_down_too(settings: Settings) -> None:
    async with (
        serving(settings.model_copy(update={"calls_per_second": 5})) as product,
        product.raw("ky_nobody_nothing") as http,
    ):
        statuses = [(await modern_call(http, "board_show", {})).status_code for _ in range(30)]
    assert set(statuses) == {401, 429}


async def test_the_stateless_handshake_needs_no_session_and_holds_no_stream(
    settings: Settings,
) -> None:
    async with serving(settings.model_copy(update={"mcp_handshake": "stateless"})) as product:
        async with product.raw(product.token) as http:
            opened = await http.post("/mcp", json=INITIALIZE, headers=HANDSHAKE)
            assert opened.status_code == 200
            assert "mcp-session-id" not in opened.headers
            stream = await http.get("/mcp", headers={"Accept": "text/event-stream"})
            assert stream.status_code == 405
            assert stream.headers["allow"] == "POST"
        async with product.client(product.token, "legacy") as client:
            listed = await client.list_tools()
            assert len(listed.tools) == 12
            board = await client.call_tool("board_show", {})
            assert not board.is_error


async def test_on_postgres_the_handshake_is_stateless_and_the_loop_the_same(
    tmp_path: Path, postgres_url: str
) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url=postgres_url)
    async with serving(settings) as product:
        token = await product.key("ana")
        async with product.raw(token) as http:
            opened = await http.post("/mcp", json=INITIALIZE, headers=HANDSHAKE)
            assert "mcp-session-id" not in opened.headers
        for era in ERAS:
            async with product.client(token, era) as client:
                await client.session.call_tool("task_create", {"tasks": [{"title": "One"}]})
                claim = answer_of(await client.session.call_tool("task_claim", {}))
                assert claim["task"]["assignee"] == "agent:ana"
