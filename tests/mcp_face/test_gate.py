"""The gate: hosts, origins, credentials, challenges, audience, rate, sessions."""

import base64
import json
from typing import Any

import httpx2
import pytest

from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import RevokeKey
from kyros_collab_server.kernel.principal import Role
from kyros_collab_server.mcp_face.gate import CallRate, audience_of
from kyros_collab_server.mcp_face.sdk_gaps import SESSIONS_PER_PRINCIPAL
from kyros_collab_server.settings import Settings
from tests.mcp_face.conftest import (
    Product,
    modern_body,
    modern_call,
    modern_headers,
    serving,
)

pytestmark = pytest.mark.anyio

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"},
    },
}
HANDSHAKE = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
}
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
    assert [rate.excess("a"), rate.excess("a")] == [None, None]
    assert rate.excess("b") is None
    assert rate.excess("a") in (1, None)  # a new second may have begun


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
