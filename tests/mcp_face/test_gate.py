"""The gate: hosts, origins, credentials, challenges, audience, scopes."""

import base64
import json
from typing import Any

import httpx2
import pytest

from kyros_collab_server.kernel.principal import ROLE_SCOPES, Role
from kyros_collab_server.mcp_face.gate import audience_of
from kyros_collab_server.mcp_face.server import CATALOG
from tests.mcp_face.conftest import (
    HANDSHAKE,
    INITIALIZE,
    Product,
    modern_body,
    modern_call,
    modern_headers,
    problem_of,
)

pytestmark = pytest.mark.anyio

ROUTES = (
    "/mcp",
    "/mcp/readonly",
    "/mcp/x/core,team",
    "/mcp/x/core/readonly",
    "/.well-known/oauth-protected-resource/mcp",
)


def jwt(**claims: Any) -> str:
    parts = [{"alg": "EdDSA", "typ": "JWT"}, claims]
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    ]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


async def test_a_bad_origin_is_403_and_a_bad_host_421_on_every_route(product: Product) -> None:
    async with product.raw(product.token) as http:
        for route in ROUTES:
            for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
                answer = await http.get(route, headers={"Origin": origin})
                assert answer.status_code == 403, (route, origin)
            for host in ("evil.example", "127.0.0.1.evil.example:80", "127.0.0.1:80@evil.example"):
                answer = await http.get(route, headers={"Host": host})
                assert answer.status_code == 421, (route, host)
            good = await http.get(route, headers={"Origin": "http://localhost:3000"})
            assert good.status_code not in (403, 421)


async def test_the_guard_of_this_face_stands_without_the_host_application() -> None:
    from starlette.responses import PlainTextResponse

    from kyros_collab_server.mcp_face.gate import OriginGuard

    app = OriginGuard(PlainTextResponse("in"), ["board.example", "localhost:*"], ["https://a.b"])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as http:
        url = "http://board.example/mcp"
        assert (await http.get(url)).status_code == 200
        assert (await http.get("http://board.example:81/mcp")).status_code == 421
        assert (await http.get("http://localhost:1/mcp")).status_code == 200
        assert (await http.get(url, headers={"Origin": "https://a.b"})).status_code == 200
        assert (await http.get(url, headers={"Origin": "https://a.b.c"})).status_code == 403
        assert (await http.get(url, headers={"Host": "localhost:x"})).status_code == 421


CREDENTIALS = (
    "",
    "Bearer",
    "Basic YTpi",
    "Bearer ky_000000000000_no",
    "Bearer " + "a" * 5_000,
    "Bearer \u00e9",
    "bearer null",
)


@pytest.mark.parametrize("wire", ["modern", "handshake"])
async def test_no_call_passes_without_valid_credentials(product: Product, wire: str) -> None:
    headers = modern_headers("tools/list") if wire == "modern" else HANDSHAKE
    body = modern_body("tools/list") if wire == "modern" else INITIALIZE
    metadata = f"{product.url}/.well-known/oauth-protected-resource/mcp"
    async with product.raw(None) as http:
        for credentials in CREDENTIALS:
            sent: dict[str, Any] = dict(headers)
            if credentials:
                sent["Authorization"] = credentials.encode("latin-1")
            url = f"/mcp?access_token={product.token}"
            answer = await http.post(url, json=body, headers=sent)
            assert answer.status_code == 401, credentials
            assert answer.headers["www-authenticate"] == (
                f'Bearer error="invalid_token", scope="tasks:read", resource_metadata="{metadata}"'
            )
            assert answer.json()["error"]["data"]["kyros/problem"]["code"] == "unauthenticated"


async def test_the_metadata_is_minimal_and_needs_no_credentials(product: Product) -> None:
    async with product.raw(None) as http:
        answer = await http.get("/.well-known/oauth-protected-resource/mcp")
        assert answer.json() == {
            "resource": f"{product.url}/mcp",
            "resource_name": "Kyros",
            "scopes_supported": ["tasks:read"],
            "bearer_methods_supported": ["header"],
        }
        assert "access-control-allow-origin" not in answer.headers
        assert (await http.post("/.well-known/oauth-protected-resource/mcp")).status_code == 405


async def test_a_token_for_another_resource_is_401(product: Product) -> None:
    for token in (
        jwt(aud="https://elsewhere.example/mcp", sub="ana"),
        jwt(aud=["https://a.example", "https://b.example"], sub="ana"),
        jwt(sub="ana"),
        jwt(aud=f"{product.url}/mcp", sub="ana"),
    ):
        async with product.raw(token) as http:
            answer = await modern_call(http, "board_show", {})
        assert answer.status_code == 401


def test_the_audience_of_a_key_is_nobody_and_of_a_token_what_it_says() -> None:
    assert audience_of("ky_a_b") is None
    assert audience_of(jwt(aud="x")) == ["x"]
    assert audience_of(jwt(aud=["x", 7])) == ["x"]
    assert audience_of(jwt(sub="y")) == []
    assert audience_of("a.!!!.c") is None
    assert audience_of("a.bm90anNvbg.c") == []


async def test_a_403_names_all_the_scopes_that_are_needed_at_once(product: Product) -> None:
    token = await product.key("eye", Role.VIEWER)
    async with product.raw(token) as http:
        for name, scopes in (
            ("task_claim", "leases:write tasks:write"),
            ("event_append", "events:write"),
            ("agent_register", "agents:write"),
            ("=?base64?dGFza19jbGFpbQ==?=", "leases:write tasks:write"),
        ):
            answer = await http.post(
                "/mcp",
                json=modern_body("tools/call", name="task_claim", arguments={}),
                headers=modern_headers("tools/call", name),
            )
            assert answer.status_code == 403
            challenge = answer.headers["www-authenticate"]
            assert f'error="insufficient_scope", scope="{scopes}"' in challenge
            assert "resource_metadata=" in challenge


async def test_a_key_without_reading_may_not_read_resources(product: Product) -> None:
    token = await product.key("pen", role=None, scopes=["events:write"])
    async with product.raw(token) as http:
        answer = await http.post(
            "/mcp",
            json=modern_body("resources/read", uri="kyros://board"),
            headers=modern_headers("resources/read", "kyros://board"),
        )
        assert answer.status_code == 403
        written = await modern_call(http, "event_append", {"event": "note", "text": "x"})
        assert written.json()["result"]["isError"] is False


async def test_the_gate_and_the_door_agree_for_every_tool_and_role(product: Product) -> None:
    for role in Role:
        token = await product.key(f"role-{role.value}", role)
        async with product.raw(token) as http, product.client(token, "legacy") as client:
            for spec in CATALOG:
                allowed = spec.scopes <= ROLE_SCOPES[role]
                modern = await modern_call(http, spec.name, {"no-such-argument": 1})
                assert (modern.status_code == 403) is not allowed, (role, spec.name)
                result = await client.session.call_tool(spec.name, {"no-such-argument": 1})
                code = problem_of(result)["code"]
                assert code == ("unknown_field" if allowed else "insufficient_scope")


async def test_a_bad_agent_name_is_refused_before_anything_runs(product: Product) -> None:
    async with product.raw(product.token) as http:
        for name in ("../x", "a b", "x" * 65, "\u00e9".encode().decode("latin-1")):
            headers = {"X-Kyros-Agent": name.encode("latin-1")}
            answer = await modern_call(http, "board_show", {}, **headers)  # type: ignore[arg-type]
            assert answer.status_code == 422, name
            assert answer.json()["error"]["data"]["kyros/problem"]["field"] == "agent"


async def test_what_a_call_changes_can_be_traced_to_its_request(product: Product) -> None:
    token = await product.key("ana")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with product.raw(token) as http:
        traceparent = f"00-{trace}-00f067aa0ba902b7-01"
        answer = await modern_call(
            http, "event_append", {"event": "note", "text": "x"}, traceparent=traceparent
        )
        seq = answer.json()["result"]["structuredContent"]["seq"]
        page = await http.get("/collab/events", params={"after": seq - 1, "limit": 1})
        event = page.json()["data"][0]
    assert event["actor"] == "agent:ana"
    assert event["request_id"] == answer.headers["x-request-id"]
    assert event["trace_id"] == trace


async def test_a_token_is_never_given_back(product: Product, capfd: Any) -> None:
    token = await product.key("ana")
    secret = token.rpartition("_")[2]
    async with product.client(token, "legacy", path="/mcp/x/all") as client:
        for tool in ("whoami", "board_show", "event_wait", "agent_list", "task_claim"):
            result = await client.session.call_tool(tool, {})
            assert secret not in result.model_dump_json()
        read = await client.session.read_resource("kyros://events?after=0&limit=100")
        assert secret not in read.model_dump_json()
    assert secret not in "".join(capfd.readouterr())
