"""A caller that leaves while it waits: a moment later nothing is held for it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from mcp import Client

from kyros_collab_server.settings import Settings
from tests.mcp_face.conftest import (
    HANDSHAKE,
    INITIALIZE,
    WAIT,
    Product,
    answer_of,
    bearer,
    modern_body,
    modern_headers,
    serving,
)

pytestmark = pytest.mark.anyio

CLAIM: dict[str, Any] = {"wait_seconds": 20}


async def until(condition: Callable[[], Awaitable[bool]], why: str) -> None:
    """Return as soon as the condition holds."""
    with anyio.move_on_after(WAIT):
        while True:
            if await condition():
                return
    raise AssertionError(f"never came: {why}")


async def calls(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return answer_of(await client.session.call_tool(tool, arguments, read_timeout_seconds=WAIT))


async def ana_is_here(client: Client) -> bool:
    return any(agent["name"] == "ana" for agent in (await calls(client, "agent_list"))["agents"])


async def waiting_claim(product: Product, token: str, leg: str) -> asyncio.StreamWriter:
    """The connection of a claim that waits for work, sent on this leg."""
    request = modern_body("tools/call", name="task_claim", arguments=CLAIM)
    headers = modern_headers("tools/call", "task_claim")
    if leg != "modern":
        async with product.raw(token) as http:
            opened = await http.post("/mcp", json=INITIALIZE, headers=HANDSHAKE)
        headers = {**HANDSHAKE, "MCP-Protocol-Version": "2025-11-25"}
        if session := opened.headers.get("mcp-session-id"):
            headers["Mcp-Session-Id"] = session
        del request["params"]["_meta"]
    body = json.dumps(request).encode()
    host, _, port = product.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = [f"{name}: {value}" for name, value in {**headers, **bearer(token)}.items()]
    head += [f"Host: {host}:{port}", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join(["POST /mcp HTTP/1.1", *head, "", ""]).encode() + body)
    await writer.drain()
    return writer


@pytest.mark.parametrize("leg", ["modern", "sessions", "stateless"])
async def test_a_claim_of_a_client_that_died_takes_nothing(settings: Settings, leg: str) -> None:
    if leg != "modern":
        settings = settings.model_copy(update={"mcp_handshake": leg})
    async with serving(settings) as product:
        ana, bob = await product.key("ana"), await product.key("bob")
        async with product.client(bob) as client:
            waiting = await waiting_claim(product, ana, leg)
            await until(lambda: ana_is_here(client), "the waiting call arrived")
            waiting.transport.abort()
            await asyncio.wait_for(_ended(product, "ana"), WAIT)
            await calls(client, "task_create", tasks=[{"title": "One"}])
            claim = await calls(client, "task_claim", wait_seconds=5)
            assert claim["claimed"] is True
            assert claim["task"]["assignee"] == "agent:bob"
            held = (await calls(client, "lease_list"))["leases"]
            assert {lease["holder"] for lease in held} == {"agent:bob"}


async def _ended(product: Product, agent: str) -> None:
    """The `call` frame of this agent's claim was published: its handler has ended."""
    async with product.kyros.feed.frames("default") as frames:
        async for name, payload in frames:
            if name == "call" and payload["agent"] == agent and payload["tool"] == "task_claim":
                assert payload["ok"] is False
                return


async def test_a_claim_that_waits_gets_the_task_that_comes(product: Product, era: str) -> None:
    ana, bob = await product.key("ana"), await product.key("bob")
    async with product.client(ana, era) as one, product.client(bob, era) as other:
        got: list[dict[str, Any]] = []

        async def wait() -> None:
            got.append(await calls(one, "task_claim", **CLAIM))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await until(lambda: ana_is_here(other), "the waiting call arrived")
            await calls(other, "task_create", tasks=[{"title": "One"}])
        assert got[0]["claimed"] is True


async def test_a_client_that_cancels_its_claim_takes_nothing(product: Product, era: str) -> None:
    ana, bob = await product.key("ana"), await product.key("bob")
    async with product.client(ana, era) as one, product.client(bob) as other:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: calls(one, "task_claim", **CLAIM))
            await until(lambda: ana_is_here(other), "the waiting call arrived")
            async with anyio.create_task_group() as watching:
                watching.start_soon(_ended, product, "ana")
                await asyncio.sleep(0)
                group.cancel_scope.cancel()
        await calls(other, "task_create", tasks=[{"title": "One"}])
        claim = await calls(other, "task_claim", wait_seconds=5)
        assert claim["task"]["assignee"] == "agent:bob"
