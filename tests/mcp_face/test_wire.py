"""The wire itself: bodies, nesting, text that is none, and headers that lie."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from tests.mcp_face.conftest import (
    MODERN,
    WAIT,
    Product,
    bearer,
    modern_body,
    modern_call,
    modern_headers,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ana(product: Product) -> str:
    return await product.key("ana")


@pytest.mark.parametrize("leg", [MODERN, "handshake"])
async def test_deep_nesting_is_refused_on_both_legs(product: Product, ana: str, leg: str) -> None:
    async with product.raw(ana) as http:
        for depth in (30, 100, 150, 300, 900, 5_000):
            post, body = await _posting(http, leg, "[" * depth + "]" * depth)
            answer = await post(body)
            assert answer.status_code in (200, 400), answer.text
            message = _message(answer)
            assert "result" not in message or message["result"]["isError"] is True
            assert "Traceback" not in answer.text
        alive = await modern_call(http, "board_show", {})
        assert alive.json()["result"]["isError"] is False


@pytest.mark.parametrize("leg", [MODERN, "handshake"])
async def test_lone_surrogates_and_nul_are_refused_on_both_legs(
    product: Product, ana: str, leg: str
) -> None:
    async with product.raw(ana) as http:
        for text in ("\\ud800", "\\udfff\\ud800", "a\\u0000b"):
            post, body = await _posting(http, leg, f'"{text}"')
            answer = await post(body)
            assert answer.status_code in (200, 400), answer.text
            message = _message(answer)
            assert "result" not in message or message["result"]["isError"] is True
            named = body.replace('"event_append"', f'"{text}"')
            answer = await post(named)
            assert answer.status_code in (200, 400)
            assert "error" in _message(answer)
        alive = await modern_call(http, "event_wait", {})
        assert alive.json()["result"]["structuredContent"]["items"][-1]["event"] != "note"


async def test_a_body_of_ten_megabytes_is_refused_before_it_is_read(
    product: Product, ana: str
) -> None:
    async with product.raw(ana) as http:
        for headers in (modern_headers("tools/call", "task_create"), _handshake_headers()):
            answer = await http.post("/mcp", content=b"x" * 10_000_000, headers=headers)
            assert answer.status_code == 413

            async def in_pieces() -> Any:
                for _ in range(20):
                    yield b"x" * 100_000

            answer = await http.post("/mcp", content=in_pieces(), headers=headers)
            assert answer.status_code == 413
    async with product.raw(None) as http:
        assert (await http.post("/mcp", content=b"x" * 10_000_000)).status_code == 413


async def test_what_is_not_one_request_is_refused_on_both_legs(product: Product, ana: str) -> None:
    bodies = [b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"9" * 5_000, b'{"id": 1}']
    async with product.raw(ana) as http:
        for body in bodies:
            for headers in (modern_headers("tools/list"), _handshake_headers()):
                answer = await http.post("/mcp", content=body, headers=headers)
                assert answer.status_code == 400, (body, answer.text)


async def test_routing_headers_that_differ_from_the_body_are_refused(
    product: Product, ana: str
) -> None:
    body = modern_body("tools/call", name="task_create", arguments={"tasks": [{"title": "x"}]})
    async with product.raw(ana) as http:
        for method, name in (
            ("tools/call", "board_show"),
            ("tools/call", "=?base64?dGFza19jbGFpbQ?="),
            ("tools/call", ""),
            ("tools/list", "task_create"),
            ("resources/read", "task_create"),
        ):
            answer = await http.post("/mcp", json=body, headers=modern_headers(method, name))
            assert answer.status_code == 400, (method, name)
            assert answer.json()["error"]["code"] == -32020
        listed = await modern_call(http, "task_list", {})
        assert listed.json()["result"]["structuredContent"]["total"] == 0


async def test_a_duplicated_routing_header_is_refused(product: Product, ana: str) -> None:
    body = modern_body("tools/call", name="board_show", arguments={})
    for doubled in ("Mcp-Name", "Mcp-Method", "MCP-Protocol-Version"):
        headers = list({**modern_headers("tools/call", "board_show"), **bearer(ana)}.items())
        headers.append((doubled, dict(headers)[doubled]))
        async with httpx2.AsyncClient(base_url=product.url) as http:
            answer = await http.post("/mcp", json=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == -32020


async def test_white_space_around_a_routing_header_is_no_part_of_it(
    product: Product, ana: str
) -> None:
    body = json.dumps(modern_body("tools/call", name="board_show", arguments={})).encode()
    headers = {**modern_headers("tools/call", "  board_show \t"), **bearer(ana)}
    host, _, port = product.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = [f"{name}: {value}" for name, value in headers.items()]
    head += [f"Host: {host}:{port}", f"Content-Length: {len(body)}", "Connection: close"]
    writer.write("\r\n".join(["POST /mcp HTTP/1.1", *head, "", ""]).encode() + body)
    answer = await asyncio.wait_for(reader.read(), WAIT)
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200"), answer


async def test_an_unknown_tool_and_an_unknown_method_are_protocol_errors(
    product: Product, ana: str
) -> None:
    async with product.raw(ana) as http:
        unknown = await modern_call(http, "task_delete", {})
        assert unknown.status_code == 400
        assert unknown.json()["error"]["code"] == -32602
        for method in ("tools/delete", "tasks/list", "ping", "initialize"):
            answer = await http.post(
                "/mcp", json=modern_body(method), headers=modern_headers(method)
            )
            assert answer.status_code == 404, method
            assert answer.json()["error"]["code"] == -32601


def _handshake_headers(session: str | None = None) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-11-25",
    }
    return headers if session is None else {**headers, "Mcp-Session-Id": session}


async def _posting(http: httpx2.AsyncClient, leg: str, value: str) -> tuple[Any, str]:
    """How to post on this leg, and a call that would append an event with this in its details."""
    headers = modern_headers("tools/call", "event_append")
    request = modern_body(
        "tools/call",
        name="event_append",
        arguments={"event": "note", "text": "x", "details": {"v": "HERE"}},
    )
    if leg == "handshake":
        opened = await http.post(
            "/mcp",
            json={
                "jsonrpc": "2.0",
                "id": 0,
                "method": "initialize",
                "params": {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {},
                    "clientInfo": {"name": "raw", "version": "1"},
                },
            },
            headers=_handshake_headers(),
        )
        headers = _handshake_headers(opened.headers["mcp-session-id"])
        del request["params"]["_meta"]

    async def post(content: str) -> httpx2.Response:
        return await http.post("/mcp", content=content, headers=headers)

    return post, json.dumps(request).replace('"HERE"', value)


def _message(answer: httpx2.Response) -> dict[str, Any]:
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        text = next(line[5:] for line in text.splitlines() if line.startswith("data:"))
    message: dict[str, Any] = json.loads(text)
    return message
