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
    problem_of,
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


async def waiting_call(
    product: Product, token: str, leg: str, tool: str, arguments: dict[str, Any]
) -> asyncio.StreamWriter:
    """The connection of a call that waits, sent on this leg."""
    request = modern_body("tools/call", name=tool, arguments=arguments)
    headers = modern_headers("tools/call", tool)
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
            waiting = await waiting_call(product, ana, leg, "task_claim", CLAIM)
            await until(lambda: ana_is_here(client), "the waiting call arrived")
            waiting.transport.abort()
            await asyncio.wait_for(_ended(product, "ana"), WAIT)
            await calls(client, "task_create", tasks=[{"title": "One"}])
            claim = await calls(client, "task_claim", wait_seconds=5)
            assert claim["claimed"] is True
            assert claim["task"]["assignee"] == "agent:bob"
            held = (await calls(client, "lease_list"))["leases"]
            assert {lease["holder"] for lease in held} == {"agent:bob"}


@pytest.mark.parametrize("leg", ["modern", "sessions", "stateless"])
async def test_an_acquire_of_a_client_that_died_leaves_the_queue(
    settings: Settings, leg: str
) -> None:
    if leg != "modern":
        settings = settings.model_copy(update={"mcp_handshake": leg})
    wanted = {"resources": ["path:src/**"]}
    async with serving(settings) as product:
        ana, bob, eve = [await product.key(name) for name in ("ana", "bob", "eve")]
        async with product.client(bob) as holder, product.client(eve) as other:
            held = (await calls(holder, "lease_acquire", **wanted))["leases"][0]

            async def place() -> int:
                refused = await other.session.call_tool("lease_acquire", wanted)
                position: int = problem_of(refused)["queue_position"]
                return position

            async def one_waits() -> bool:
                return await place() == 2

            async def none_waits() -> bool:
                return await place() == 1

            waiting = await waiting_call(
                product, ana, leg, "lease_acquire", {**wanted, "wait_seconds": 20}
            )
            await until(one_waits, "the waiting call arrived")
            waiting.transport.abort()
            await asyncio.wait_for(_ended(product, "ana", "lease_acquire"), WAIT)
            await until(none_waits, "the queue was left")
            await calls(holder, "lease_release", lock_ids=[held["lock_id"]])
            await calls(other, "lease_acquire", **wanted)
            leases = (await calls(other, "lease_list"))["leases"]
            assert {lease["holder"] for lease in leases} == {"agent:eve"}


async def test_an_acquire_that_waits_gets_the_lease_that_is_given_back(
    product: Product, era: str
) -> None:
    wanted = {"resources": ["path:src/**"], "mode": "exclusive"}
    ana, bob = await product.key("ana"), await product.key("bob")
    async with product.client(ana, era) as one, product.client(bob, era) as other:
        held = await calls(other, "lease_acquire", resources=["path:src/a.py"], mode="shared")
        got: list[dict[str, Any]] = []

        async def wait() -> None:
            got.append(await calls(one, "lease_acquire", **wanted, wait_seconds=20))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await until(lambda: ana_is_here(other), "the waiting call arrived")
            await calls(other, "lease_release", lock_ids=[held["leases"][0]["lock_id"]])
        assert got[0]["leases"][0]["resource"] == "path:src/**"


async def test_waiting_in_a_circle_is_refused_with_the_circle(product: Product, era: str) -> None:
    ana, bob, eve = [await product.key(name) for name in ("ana", "bob", "eve")]
    async with (
        product.client(ana, era) as one,
        product.client(bob, era) as other,
        product.client(eve, era) as third,
    ):
        await calls(one, "lease_acquire", resources=["path:a"])
        await calls(other, "lease_acquire", resources=["path:b"])

        async def ana_waits() -> bool:
            seen = await third.session.call_tool("lease_acquire", {"resources": ["path:b"]})
            return bool(problem_of(seen)["queue_position"] == 2)

        async with anyio.create_task_group() as group:
            group.start_soon(
                lambda: calls(one, "lease_acquire", resources=["path:b"], wait_seconds=20)
            )
            await until(ana_waits, "the waiting call arrived")
            closing = {"resources": ["path:a"], "wait_seconds": 20}
            problem = problem_of(await other.session.call_tool("lease_acquire", closing))
            assert problem["code"] == "deadlock"
            assert {one["holder"] for one in problem["cycle"]} == {"agent:ana", "agent:bob"}
            group.cancel_scope.cancel()


async def _ended(product: Product, agent: str, tool: str = "task_claim") -> None:
    """The `call` frame of this agent's call was published: its handler has ended."""
    async with product.kyros.feed.frames("default") as frames:
        async for name, payload in frames:
            if name == "call" and payload["agent"] == agent and payload["tool"] == tool:
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
