"""How streams end: with the key that opened them, and with the server."""

import asyncio
from contextlib import AsyncExitStack

import anyio
import pytest
from mcp.client.subscriptions import SubscriptionLost

import kyros_collab_server.mcp_face.endpoint as endpoint
import kyros_collab_server.mcp_face.listening as listening
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import ListKeys, RevokeKey
from kyros_collab_server.settings import Settings
from tests.mcp_face.conftest import HANDSHAKE, INITIALIZE, WAIT, Product, serving

pytestmark = pytest.mark.anyio


async def revoked(product: Product, name: str) -> None:
    admin = await product.caller(product.token)
    keys = await product.kyros.perform(identity.list_keys, ListKeys(), actor=admin)
    (key,) = (key for key in keys.data if key.name == name)
    await product.kyros.perform(identity.revoke_key, RevokeKey(id=key.id), actor=admin)


async def test_the_streams_of_a_revoked_key_end(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "RECHECK_SECONDS", 0.05)
    ana = await product.key("ana")
    async with (
        product.client(ana) as client,
        client.listen(resource_subscriptions=["kyros://board"]) as stream,
    ):
        await revoked(product, "ana")
        with anyio.fail_after(WAIT):
            assert [change async for change in stream] == []


async def test_the_standing_stream_of_a_revoked_key_ends(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "RECHECK_SECONDS", 0.05)
    ana = await product.key("ana")
    async with product.raw(ana, **HANDSHAKE) as http:
        opened = await http.post("/mcp", json=INITIALIZE)
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        async with http.stream("GET", "/mcp", headers=session) as standing:
            assert standing.status_code == 200
            await revoked(product, "ana")
            with anyio.fail_after(WAIT):
                assert [piece async for piece in standing.aiter_bytes()] == []


async def test_a_server_that_goes_ends_its_streams_gracefully(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        async with serving(settings) as product:
            ana = await product.key("ana")
            client = await stack.enter_async_context(product.client(ana))
            stream = await stack.enter_async_context(
                client.listen(resource_subscriptions=["kyros://board"])
            )
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - started < 1
        try:
            with anyio.fail_after(WAIT):
                assert [change async for change in stream] == []
        except SubscriptionLost:
            pytest.fail("the stream ended without its last frame")
