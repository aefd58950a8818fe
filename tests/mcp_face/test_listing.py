"""`tools/list`: what is shown to whom, and what it costs to read."""

import hashlib
import json
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import ListToolsResult

from kyros_collab_server.kernel.principal import ROLE_SCOPES, Role
from kyros_collab_server.mcp_face.listing import TOOLSETS, Listing, Shape
from kyros_collab_server.mcp_face.reserved import RESERVED
from kyros_collab_server.mcp_face.server import CATALOG, instructions
from kyros_collab_server.settings import Settings
from tests.mcp_face.conftest import (
    MODERN,
    Product,
    answer_of,
    modern_body,
    modern_headers,
    problem_of,
    serving,
)

pytestmark = pytest.mark.anyio

CORE = {
    "task_claim": "task_id role skills resources ttl_seconds wait_seconds request_id",
    "task_get": "task_id view",
    "task_list": "status mine label query limit cursor",
    "task_create": "tasks request_id",
    "task_update": "task_id if_match patch tick fencing_token request_id",
    "task_transition": "task_id to fencing_token handoff if_match request_id",
    "lease_acquire": "resources mode ttl_seconds wait_seconds request_id",
    "lease_release": "lock_ids request_id",
    "event_append": "event text target to details request_id",
    "event_wait": "after types actor target wait_seconds limit",
    "inbox_read": "ack_through limit request_id",
    "board_show": "if_none_match",
}
TEAM = {
    "lease_renew": "lock_ids ttl_seconds request_id",
    "lease_list": "resource holder stale",
    "lease_reclaim": "lock_ids request_id",
    "whoami": "",
    "agent_register": "name role skills status request_id",
    "agent_list": "skill status",
}
HINTS = {
    "task_claim": "",
    "task_get": "RI",
    "task_list": "RI",
    "task_create": "",
    "task_update": "I",
    "task_transition": "I",
    "lease_acquire": "I",
    "lease_release": "I",
    "event_append": "",
    "event_wait": "RI",
    "inbox_read": "I",
    "board_show": "RI",
    "whoami": "RI",
    "agent_register": "I",
    "agent_list": "RI",
    "lease_renew": "I",
    "lease_list": "RI",
    "lease_reclaim": "DI",
}
ALWAYS = {"task_claim", "task_get", "task_update", "task_transition", "event_wait"}


PINNED = {"core": "8fdad75c743a7c23", "team": "cb0d6c755139047c"}
"""SHA-256 of the listed tools: a change of a word here is a change of the product."""


def compact(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def shown(*toolsets: str, role: Role = Role.AGENT, closed: bool = False) -> list[dict[str, Any]]:
    listing = Listing(CATALOG, Settings())
    shape = Shape(frozenset(toolsets), closed, with_output=False)
    page: ListToolsResult = listing._page(shape, ROLE_SCOPES[role])
    tools: list[dict[str, Any]] = page.model_dump(by_alias=True, mode="json", exclude_none=True)[
        "tools"
    ]
    return tools


async def test_the_default_list_is_twelve_tools_in_at_most_8192_bytes(
    product: Product,
) -> None:
    token = await product.key("ana")
    async with product.raw(token) as http:
        answer = await http.post(
            "/mcp", json=modern_body("tools/list"), headers=modern_headers("tools/list")
        )
    result = answer.json()["result"]
    assert [tool["name"] for tool in result["tools"]] == list(CORE)
    assert len(answer.content) <= 8_192
    assert compact(result) <= 8_192
    assert result["cacheScope"] == "private"


def test_the_five_tools_that_are_always_shown_take_at_most_3_kb() -> None:
    starred = [tool for tool in shown("core") if "_meta" in tool]
    assert {tool["name"] for tool in starred} == ALWAYS
    assert all(tool["_meta"] == {"anthropic/alwaysLoad": True} for tool in starred)
    words = [{key: tool[key] for key in ("name", "description", "inputSchema")} for tool in starred]
    assert compact(words) <= 3_072


def test_every_tool_takes_exactly_the_arguments_of_the_specification() -> None:
    tools = {tool["name"]: tool for tool in shown(*TOOLSETS)}
    assert {name: " ".join(tool["inputSchema"]["properties"]) for name, tool in tools.items()} == {
        **CORE,
        **TEAM,
    }


def test_every_tool_says_all_four_hints_as_the_specification_has_them() -> None:
    letters = {
        "readOnlyHint": "R",
        "destructiveHint": "D",
        "idempotentHint": "I",
        "openWorldHint": "O",
    }
    said = {tool["name"]: tool["annotations"] for tool in shown(*TOOLSETS)}
    assert all(set(hints) == set(letters) for hints in said.values())
    assert {
        name: "".join(letter for hint, letter in letters.items() if hints[hint])
        for name, hints in said.items()
    } == HINTS


def test_descriptions_are_short_and_schemas_are_free_of_noise() -> None:
    for tool in shown(*TOOLSETS):
        assert len(tool["description"]) <= 240
        assert "outputSchema" not in tool
        words = json.dumps(tool["inputSchema"])
        for noise in ('"title": "', '"default"', '"null"', "$ref", "$defs"):
            assert noise not in words, (tool["name"], noise)


def test_the_instructions_fit_and_begin_with_the_loop() -> None:
    text = instructions()
    assert len(text) <= 2_048
    loop = text[:300]
    for step in ("task_claim", "in_progress", "review", "handoff", "fencing_token", "event_wait"):
        assert step in loop
    assert "view=brief" in loop


def test_every_tool_that_the_instructions_name_exists() -> None:
    words = set(instructions().replace("`", " ").replace(",", " ").replace(".", " ").split())
    named = {word for word in words if word.startswith(("task_", "lease_", "event_", "inbox_"))}
    assert named - {"lease_lost", "event_append"} <= set(CORE)


@pytest.mark.parametrize("toolset", list(PINNED))
def test_the_catalogue_changes_only_on_purpose(toolset: str) -> None:
    words = json.dumps(shown(toolset), separators=(",", ":"), sort_keys=True)
    assert hashlib.sha256(words.encode()).hexdigest()[:16] == PINNED[toolset]


@pytest.mark.parametrize("role", list(Role))
def test_the_list_holds_only_what_the_scopes_allow(role: Role) -> None:
    allowed = {spec.name for spec in CATALOG if spec.scopes <= ROLE_SCOPES[role]}
    assert {tool["name"] for tool in shown(*TOOLSETS, role=role)} == allowed
    if role is Role.VIEWER:
        assert allowed == {
            "task_get",
            "task_list",
            "event_wait",
            "inbox_read",
            "board_show",
            "whoami",
            "agent_list",
            "lease_list",
        }


async def test_headers_and_paths_shape_the_list_and_refuse_no_call(
    product: Product, era: str
) -> None:
    token = await product.key("ana")
    async with product.client(token, era, X_MCP_Toolsets="team") as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == set(TEAM)
        assert "columns" in answer_of(await client.session.call_tool("board_show", {}))
    async with product.client(token, era, path="/mcp/x/core,team") as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {*CORE, *TEAM}
    async with product.client(token, era, path="/mcp/x/all") as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {*CORE, *TEAM}
    async with product.client(token, era) as client:
        assert answer_of(await client.call_tool("whoami", {}))["agent"] == "ana"


async def test_an_unknown_toolset_is_refused_and_the_known_ones_are_named(
    product: Product,
) -> None:
    token = await product.key("ana")
    async with product.client(token, path="/mcp/x/cores") as client:
        with pytest.raises(MCPError) as refused:
            await client.list_tools()
    assert refused.value.code == -32602
    assert "core" in refused.value.data["kyros/problem"]["allowed"]


async def test_a_read_only_client_has_no_tool_that_changes_anything(
    product: Product, era: str
) -> None:
    token = await product.key("ana")
    for way in ({"path": "/mcp/readonly"}, {"X_MCP_Readonly": "true"}):
        async with product.client(token, era, **way) as client:
            listed = (await client.list_tools()).tools
            assert listed
            assert all(tool.annotations and tool.annotations.read_only_hint for tool in listed)
            with pytest.raises(MCPError) as unknown:
                await client.call_tool("task_claim", {})
            assert unknown.value.code == -32602


async def test_what_the_operator_takes_away_no_client_gets_back(settings: Settings) -> None:
    closed = settings.model_copy(update={"exclude_tools": "task_create", "read_only": True})
    async with (
        serving(closed) as product,
        product.client(product.token, path="/mcp/x/all", X_MCP_Readonly="no") as client,
    ):
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {name for name, hints in HINTS.items() if "R" in hints}
        with pytest.raises(MCPError):
            await client.call_tool("task_create", {"tasks": [{"title": "x"}]})


async def test_the_names_of_jobs_are_reserved(product: Product, era: str) -> None:
    token = await product.key("ana")
    async with product.client(token, era, path="/mcp/x/jobs") as client:
        assert (await client.list_tools()).tools == []
        for name in RESERVED:
            refused = await client.session.call_tool(name, {"title": "x"})
            problem = problem_of(refused)
            assert (problem["code"], problem["status"]) == ("not_available", 501)
            assert problem["feature"] == name
    async with product.client(token, era, path="/mcp/readonly") as client:
        assert problem_of(await client.session.call_tool("job_get", {}))["code"] == "not_available"
        with pytest.raises(MCPError) as unknown:
            await client.session.call_tool("job_submit", {})
        assert unknown.value.code == -32602


def test_all_tools_of_the_default_roles_fit_their_budget() -> None:
    assert compact({"tools": shown(*TOOLSETS)}) <= 16_384
    assert len(shown(*TOOLSETS)) + len(RESERVED) <= 25


async def test_output_schemas_are_shown_to_those_who_ask(product: Product) -> None:
    token = await product.key("ana")
    async with product.client(token, X_MCP_Output_Schemas="true") as client:
        tools = (await client.list_tools()).tools
        assert all(tool.output_schema and tool.output_schema["type"] == "object" for tool in tools)
        # The client checks each answer against the schema that it was shown.
        await client.call_tool("board_show", {})
        await client.call_tool("task_claim", {})
        created = await client.call_tool("task_create", {"tasks": [{"title": "One"}]})
        assert not created.is_error
        claimed = answer_of(await client.call_tool("task_claim", {}))
        assert claimed["claimed"]
        await client.call_tool("task_get", {"view": "full"})
        await client.call_tool("task_list", {})
        await client.call_tool("event_wait", {})
        await client.call_tool("inbox_read", {})


async def test_a_missing_scope_refuses_on_both_wires_and_names_all_that_are_needed(
    product: Product,
) -> None:
    token = await product.key("eye", Role.VIEWER)
    async with product.client(token, "legacy") as client:
        refused = await client.session.call_tool("task_claim", {})
        assert problem_of(refused)["scopes_needed"] == ["leases:write", "tasks:write"]
    async with product.client(token, MODERN) as client:
        with pytest.raises(MCPError) as forbidden:
            await client.session.call_tool("task_claim", {})
        assert forbidden.value.data["kyros/problem"]["code"] == "insufficient_scope"
