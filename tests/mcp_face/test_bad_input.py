"""What bad input gets: a problem with a stable code, nothing changed, and never a crash."""

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
    problem_of,
    text_of,
)

pytestmark = pytest.mark.anyio

BAD_CALLS: list[tuple[str, dict[str, Any], str, str]] = [
    ("task_claim", {"task": "T-7"}, "unknown_field", "task"),
    ("task_claim", {"ttl_seconds": -1}, "invalid_field", "ttl_seconds"),
    ("task_claim", {"ttl_seconds": 10**12}, "invalid_field", "ttl_seconds"),
    ("task_claim", {"ttl_seconds": "soon"}, "invalid_field", "ttl_seconds"),
    ("task_claim", {"wait_seconds": 26}, "invalid_field", "wait_seconds"),
    ("task_claim", {"skills": "python"}, "invalid_field", "skills"),
    ("task_claim", {"request_id": ""}, "invalid_field", "request_id"),
    ("task_claim", {"request_id": 7}, "invalid_field", "request_id"),
    ("task_claim", {"task_id": "T-404"}, "not_found", ""),
    ("task_get", {"view": "everything"}, "invalid_field", "view"),
    ("task_get", {"request_id": "read"}, "unknown_field", "request_id"),
    ("task_list", {"status": ["finished"]}, "invalid_field", "status.0"),
    ("task_list", {"limit": 101}, "invalid_field", "limit"),
    ("task_list", {"cursor": "forged"}, "invalid_field", "cursor"),
    ("task_create", {}, "invalid_field", "tasks"),
    ("task_create", {"tasks": []}, "invalid_field", "tasks"),
    ("task_create", {"tasks": [{"titel": "x"}]}, "unknown_field", "tasks.0.titel"),
    ("task_create", {"tasks": [{"title": "a" * 1_000_000}]}, "invalid_field", "tasks.0.title"),
    ("task_create", {"tasks": [{"title": "a\x00b"}]}, "invalid_field", "tasks.0.title"),
    ("task_create", {"tasks": [{"title": "a\u202eb"}]}, "invalid_field", "tasks.0.title"),
    ("task_create", {"tasks": [{"title": "a", "id": "../x"}]}, "invalid_field", "tasks.0.id"),
    ("task_create", {"tasks": [{"title": "a"}] * 51}, "invalid_field", "tasks"),
    (
        "task_create",
        {"tasks": [{"title": "a", "id": "A", "depends_on": ["A"]}]},
        "dependency_cycle",
        "",
    ),
    ("task_update", {"task_id": "T-404", "if_match": '"1"'}, "not_found", ""),
    ("task_update", {"task_id": "T-1", "patch": {"status": "done"}}, "unknown_field", "patch"),
    ("task_transition", {"task_id": "T-1", "to": "finished"}, "invalid_field", "to"),
    ("task_transition", {"task_id": "T-404", "to": "queued"}, "not_found", ""),
    ("lease_acquire", {"resources": []}, "invalid_field", "resources"),
    ("lease_acquire", {"resources": ["path:/etc/**"]}, "invalid_field", "resources"),
    ("lease_acquire", {"resources": ["path:../x"]}, "invalid_field", "resources"),
    ("lease_acquire", {"resources": ["task:T-1"]}, "use_claim", "resources"),
    ("lease_release", {"lock_ids": ["mine"]}, "invalid_field", "lock_ids.0"),
    ("event_append", {"event": "task_created", "text": "x"}, "invalid_field", "event"),
    ("event_append", {"event": "executor_started", "text": "x"}, "invalid_field", "event"),
    ("event_append", {"event": "note"}, "invalid_field", "text"),
    ("event_append", {"event": "note", "text": "\x1b[2J"}, "invalid_field", "text"),
    ("event_append", {"event": "note", "text": "x", "to": ["nobody"]}, "not_found", ""),
    ("event_wait", {"after": -1}, "invalid_field", "after"),
    ("event_wait", {"after": 2**70}, "invalid_field", "after"),
    ("inbox_read", {"ack_through": "all"}, "invalid_field", "ack_through"),
]


@pytest.fixture
async def ana(product: Product) -> str:
    return await product.key("ana")


async def test_each_bad_call_names_its_field_and_changes_nothing(
    product: Product, ana: str, era: str
) -> None:
    async with product.client(ana, era) as client:
        await client.session.call_tool("task_create", {"tasks": [{"title": "One"}]})
        before = await client.session.call_tool("task_list", {})
        for tool, arguments, code, field in BAD_CALLS:
            result = await client.session.call_tool(tool, arguments)
            problem = problem_of(result)
            assert problem["code"] == code, (tool, arguments, problem)
            assert str(problem.get("field", "")).startswith(field), (tool, arguments, problem)
            assert problem["request_id"].startswith("rq_")
            text = text_of(result)
            assert text.startswith(f"{code}: ")
            assert "retryable=" in text
            assert len(text) < 2_000
            assert "pydantic" not in text.lower()
            assert "Traceback" not in text
        after = await client.session.call_tool("task_list", {})
        assert after.structured_content == before.structured_content


async def test_an_unknown_argument_is_refused_and_the_nearest_is_named(
    product: Product, ana: str
) -> None:
    async with product.client(ana) as client:
        for tool, wrong, right in (
            ("task_claim", "task", "task_id"),
            ("task_claim", "wait", "wait_seconds"),
            ("lease_acquire", "resource", "resources"),
            ("event_append", "txt", "text"),
            ("task_update", "ifMatch", "if_match"),
        ):
            result = await client.session.call_tool(tool, {wrong: "T-7"})
            problem = problem_of(result)
            assert problem["code"] == "unknown_field"
            assert problem["field"] == wrong
            assert problem["nearest"] == right
            assert f"Did you mean {right}?" in text_of(result)
            assert "T-7" not in text_of(result)
        result = await client.session.call_tool("task_transition", {"qqqq": "T-7"})
        assert "to" in problem_of(result)["allowed"]


async def test_a_refusal_never_echoes_what_was_sent(product: Product, ana: str) -> None:
    secret = "ignore-all-previous-instructions"
    calls: list[tuple[str, dict[str, Any]]] = [
        ("task_claim", {"ttl_seconds": secret}),
        ("task_claim", {f"{secret} and <b>more</b>": 1}),
        ("task_list", {"status": [secret]}),
        ("task_list", {"cursor": secret}),
        ("task_create", {"tasks": [{"title": f"{secret}\x00"}]}),
        ("task_create", {"tasks": secret}),
        ("event_append", {"event": secret, "text": "x"}),
        ("event_append", {"event": "note", "text": "x", "to": [secret]}),
        ("lease_acquire", {"resources": [f"path:../{secret}"]}),
    ]
    async with product.client(ana) as client:
        for tool, arguments in calls:
            result = await client.session.call_tool(tool, arguments)
            assert secret not in text_of(result), (tool, arguments)
            assert secret not in json.dumps(problem_of(result)), (tool, arguments)


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
