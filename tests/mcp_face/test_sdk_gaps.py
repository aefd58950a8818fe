"""One test for each row of the gap table that is due; it fails with the row's number."""

import logging
from typing import Any

import pytest
from mcp.server._otel import OpenTelemetryMiddleware
from mcp.shared.exceptions import MCPError

import kyros_collab_server.mcp_face.sdk_gaps as gaps
from kyros_collab_server.mcp_face.server import instructions
from kyros_collab_server.settings import Settings
from tests.mcp_face.conftest import (
    ERAS,
    MODERN,
    Product,
    modern_body,
    modern_call,
    modern_headers,
    problem_of,
    serving,
    text_of,
)

pytestmark = pytest.mark.anyio


def bare_server() -> Any:
    return gaps.new_server(version="1", instructions=instructions(), tools=[], middleware=[])


async def test_row_1_a_handshake_client_may_set_any_logging_level(product: Product) -> None:
    async with product.client(product.token, "legacy") as client:
        with pytest.warns(match="deprecated"):
            await client.set_logging_level("debug")


async def test_row_2_what_changes_is_advertised_where_it_is_told(
    settings: Settings, era: str
) -> None:
    mode = "auto" if era == MODERN else era
    for handshake in ("sessions", "stateless"):
        async with (
            serving(settings.model_copy(update={"mcp_handshake": handshake})) as product,
            product.client(product.token, mode) as client,
        ):
            said = client.server_capabilities
            told = era == MODERN or handshake == "sessions"
            assert said.tools is not None
            assert said.tools.list_changed is told
            assert said.resources is not None
            assert said.resources.list_changed is told
            assert said.resources.subscribe is told


async def test_row_3_an_unknown_tool_or_prompt_is_invalid_params(
    product: Product, era: str
) -> None:
    async with product.client(product.token, era) as client:
        with pytest.raises(MCPError) as tool:
            await client.session.call_tool("task_delete", {})
        assert tool.value.code == -32602
        with pytest.raises(MCPError) as prompt:
            await client.session.get_prompt("nothing")
        assert prompt.value.code == -32602


async def test_row_4_a_challenge_names_its_scope(product: Product) -> None:
    async with product.raw("ky_none_none") as http:
        answer = await modern_call(http, "board_show", {})
    assert 'scope="tasks:read"' in answer.headers["www-authenticate"]


async def test_row_5_the_audience_of_a_token_is_looked_at(product: Product) -> None:
    from tests.mcp_face.test_gate import jwt

    async with product.raw(jwt(aud="https://elsewhere.example")) as http:
        answer = await modern_call(http, "board_show", {})
    assert answer.status_code == 401
    assert "another resource" in answer.json()["error"]["message"]


async def test_row_6_texts_are_compact_and_refusals_have_no_prefix(
    product: Product, era: str
) -> None:
    async with product.client(product.token, era) as client:
        board = await client.session.call_tool("board_show", {})
        assert not text_of(board).startswith("{")
        assert "None" not in str(board.structured_content)
        refused = await client.session.call_tool("task_get", {"task_id": "T-9"})
        assert text_of(refused).startswith("not_found: ")
        assert problem_of(refused)["status"] == 404


@pytest.mark.parametrize(
    "method", ["tools/list", "resources/list", "resources/templates/list", "prompts/list"]
)
async def test_row_7_a_cursor_of_a_list_is_refused(product: Product, method: str) -> None:
    async with product.raw(product.token) as http:
        answer = await http.post(
            "/mcp", json=modern_body(method, cursor="next"), headers=modern_headers(method)
        )
        assert answer.json()["error"]["code"] == -32602
        one_page = await http.post("/mcp", json=modern_body(method), headers=modern_headers(method))
        assert "nextCursor" not in one_page.json()["result"]


async def test_rows_8_and_14_the_listening_of_the_sdk_is_not_served(product: Product) -> None:
    assert gaps.lowlevel(bare_server()).get_request_handler("subscriptions/listen") is None
    async with product.client(product.token) as client:
        with pytest.raises(MCPError) as refused:
            async with client.listen(resource_subscriptions=["kyros://nothing"]):
                pass
    assert refused.value.code == -32602


async def test_row_11_results_carry_name_title_and_version_only(product: Product) -> None:
    async with product.raw(product.token) as http:
        answer = await modern_call(http, "board_show", {})
    stamp = answer.json()["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]
    assert set(stamp) == {"name", "title", "version"}
    assert stamp["name"] == "kyros"


async def test_row_15_the_health_route_is_kyros_own(product: Product) -> None:
    async with product.raw(None) as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/mcp/health")).status_code == 404


def test_row_16_only_one_file_reaches_below_the_public_surface() -> None:
    from pathlib import Path

    face = Path(gaps.__file__).parent
    reaching = {
        path.name
        for path in face.rglob("*.py")
        if any(word in path.read_text() for word in ("_lowlevel_server", "mcp.server._"))
    }
    assert reaching == {"sdk_gaps.py"}


@pytest.mark.parametrize("mode", ERAS)
async def test_row_17_an_unknown_argument_claims_nothing(product: Product, mode: str) -> None:
    async with product.client(product.token, mode) as client:
        await client.session.call_tool("task_create", {"tasks": [{"title": "One"}]})
        refused = await client.session.call_tool("task_claim", {"task": "T-1"})
        assert problem_of(refused)["code"] == "unknown_field"
        got = await client.session.call_tool("task_get", {"task_id": "T-1"})
        assert got.structured_content["task"]["status"] == "queued"


def test_row_18_the_root_logger_is_left_as_it_was() -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        root.handlers[:] = []
        bare_server()
        assert root.handlers == []
        assert root.level == level
    finally:
        root.handlers[:] = handlers


async def test_row_19_the_metadata_lists_the_least_scope_only(product: Product) -> None:
    async with product.raw(None) as http:
        answer = await http.get("/.well-known/oauth-protected-resource/mcp")
    assert answer.json()["scopes_supported"] == ["tasks:read"]


async def test_row_20_schemas_carry_no_titles_and_no_null_choices(product: Product) -> None:
    async with product.client(product.token, path="/mcp/x/all") as client:
        for tool in (await client.list_tools()).tools:
            words = str(tool.input_schema)
            assert "anyOf" not in words
            assert "'title': '" not in words


def test_row_21_spans_that_nobody_exports_are_not_made() -> None:
    kinds = [type(one) for one in gaps.lowlevel(bare_server()).middleware]
    assert OpenTelemetryMiddleware not in kinds


# Rows 10 and 22, the stateless GET and the sessions of a principal: test_gate.py.
# Row 12, the bus across processes: test_subscriptions.py.
