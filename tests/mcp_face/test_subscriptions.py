"""Subscriptions on both eras: what is told to whom, how often, and what is refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceUpdatedNotification

from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import CreateWorkspace
from kyros_collab_server.kernel.principal import Role
from kyros_collab_server.mcp_face.subscriptions import MAX_URIS, STREAMS_PER_PRINCIPAL
from kyros_collab_server.settings import Settings
from tests.mcp_face.conftest import (
    MODERN,
    WAIT,
    Product,
    bearer,
    serving,
)
from tests.mcp_face.test_work import call

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]

Heard = Callable[[], Awaitable[str]]


@asynccontextmanager
async def listening_to(
    product: Product, token: str, era: str, *uris: str, **headers: str
) -> AsyncIterator[tuple[Client, Heard]]:
    """A client that listens to these, and what gives the next URI that it is told of."""
    import httpx2

    updates: asyncio.Queue[str] = asyncio.Queue()

    async def message(one: Any) -> None:
        if era != MODERN and isinstance(one, ResourceUpdatedNotification):
            updates.put_nowait(str(one.params.uri))

    async def heard() -> str:
        return await asyncio.wait_for(updates.get(), WAIT)

    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx2.AsyncClient(headers=bearer(token, **headers), timeout=WAIT)
        )
        transport = streamable_http_client(product.mcp_url, http_client=http)
        client = await stack.enter_async_context(
            Client(transport, mode=era, message_handler=message)
        )
        if era == MODERN:
            stream = await stack.enter_async_context(client.listen(resource_subscriptions=uris))
            assert sorted(stream.honored.resource_subscriptions or []) == sorted(uris)

            async def follow() -> None:
                async for change in stream:
                    assert isinstance(change, ResourceUpdated)
                    updates.put_nowait(change.uri)

            group = await stack.enter_async_context(anyio.create_task_group())
            group.start_soon(follow)
            stack.callback(group.cancel_scope.cancel)
        else:
            for uri in uris:
                await client.subscribe_resource(uri)
        yield client, heard


async def all_of(heard: Heard, *uris: str) -> None:
    """Each of these is told, in any order."""
    missing = set(uris)
    while missing:
        missing.discard(await heard())


async def test_a_change_of_a_task_touches_its_task_the_list_the_board_and_its_brief(
    product: Product, era: str
) -> None:
    ana, bob = await product.key("ana"), await product.key("bob")
    async with product.client(bob) as other:
        await call(other, "task_create", tasks=[{"title": "One"}, {"title": "Two"}])
        touched = (
            "kyros://tasks/T-1",
            "kyros://tasks/T-1/history",
            "kyros://tasks",
            "kyros://tasks?status=queued",
            "kyros://board",
            "kyros://briefs/T-1",
            "kyros://leases",
            "kyros://events",
        )
        async with listening_to(product, ana, era, *touched, "kyros://tasks/T-2") as (_, heard):
            await call(other, "task_claim", task_id="T-1")
            await all_of(heard, *touched)
            await call(other, "task_claim", task_id="T-2")
            await all_of(heard, "kyros://tasks/T-2")


async def appeared(product: Product, token: str, name: str) -> None:
    """A new agent is on the board."""
    async with product.client(token, X_Kyros_Agent=name) as client:
        await call(client, "board_show")


async def test_an_inbox_is_told_to_its_agent_only(product: Product, era: str) -> None:
    ana, bob = await product.key("ana"), await product.key("bob")
    async with product.client(ana) as one, product.client(bob) as other:
        await call(one, "agent_register", role="critic")
        await call(other, "board_show")
        for to in (["ana"], ["role:critic"], ["all"]):
            async with (
                listening_to(product, ana, era, "kyros://inbox") as (_, ana_heard),
                listening_to(product, bob, era, "kyros://inbox", "kyros://agents") as (
                    _,
                    bob_heard,
                ),
            ):
                await call(other, "event_append", event="question", text="how?", to=to)
                assert await ana_heard() == "kyros://inbox"
                if to != ["all"]:
                    await appeared(product, ana, f"new-{to[0][:2]}")
                    assert await bob_heard() == "kyros://agents"


async def refusal_of(client: Client, era: str, *uris: str) -> MCPError:
    """The refusal to listen to these."""
    with pytest.raises(MCPError) as refused:
        await listened(client, era, *uris)
    return refused.value


async def listened(client: Client, era: str, *uris: str) -> None:
    if era == MODERN:
        async with client.listen(resource_subscriptions=uris):
            return
    for uri in uris:
        await client.subscribe_resource(uri)


async def test_what_one_may_not_read_cannot_be_listened_to(product: Product, era: str) -> None:
    ana = await product.key("ana")
    async with product.client(ana, era) as client:
        await call(client, "task_create", tasks=[{"title": "One"}])
        said = set()
        for uri in (
            "kyros://tasks/T-9",
            "kyros://briefs/T-9",
            "kyros://tasks/not a task",
            "kyros://nothing",
            "kyros://tasks?limti=1",
            "https://example.com/",
            "",
        ):
            refused = await refusal_of(client, era, "kyros://board", uri)
            said.add((refused.code, refused.message, str(refused.data)))
        assert len(said) == 1
        assert next(iter(said))[0] == -32602


async def test_another_workspace_is_never_heard(product: Product, era: str) -> None:
    admin = await product.caller(product.token)
    await product.kyros.perform(identity.create_workspace, CreateWorkspace(id="other"), actor=admin)
    both = await product.key("ana", workspaces=["default", "other"])
    async with (
        product.client(both, X_Kyros_Workspace="other") as there,
        product.client(both) as here,
        listening_to(product, both, era, "kyros://board", "kyros://tasks") as (client, heard),
    ):
        await call(there, "task_create", tasks=[{"title": "Theirs", "id": "X-1"}])
        refused = await client.session.call_tool("task_get", {"task_id": "X-1"})
        assert refused.is_error
        await call(here, "task_create", tasks=[{"title": "Ours"}])
        assert {await heard(), await heard()} == {"kyros://board", "kyros://tasks"}


async def test_many_changes_are_told_at_most_four_times_a_second_and_the_last_always(
    product: Product, era: str
) -> None:
    ana = await product.key("ana")
    async with listening_to(product, ana, era, "kyros://tasks") as (client, heard):
        loop = asyncio.get_running_loop()
        times: list[float] = []
        started = loop.time()
        while loop.time() - started < 1.2:
            await call(client, "task_create", tasks=[{"title": "More"}])
        ended = loop.time()
        with anyio.move_on_after(1):
            while True:
                await heard()
                times.append(loop.time())
        assert times[-1] >= ended - 0.3
        assert 4 <= len(times) <= 2 + (times[-1] - started) / 0.25


async def test_a_stream_takes_so_many_resources_and_a_principal_so_many_streams(
    product: Product,
) -> None:
    ana = await product.key("ana")
    many = [f"kyros://events?after={n}" for n in range(MAX_URIS + 1)]
    async with product.client(ana) as client:
        assert (await refusal_of(client, MODERN, *many)).code == -32602
        async with AsyncExitStack() as stack:
            for _ in range(STREAMS_PER_PRINCIPAL):
                opened = client.listen(resource_subscriptions=many[:MAX_URIS])
                await stack.enter_async_context(opened)
            problem = (await refusal_of(client, MODERN, many[0])).data["kyros/problem"]
            assert problem["code"] == "too_many_streams"
            assert problem["retry_after_seconds"] == 5
    async with product.client(ana, "legacy") as session:
        for uri in many[:MAX_URIS]:
            await session.subscribe_resource(uri)
        assert (await refusal_of(session, "legacy", many[-1])).code == -32602
        await session.unsubscribe_resource(many[0])
        await session.subscribe_resource(many[-1])


async def test_unsubscribing_ends_the_notices(product: Product) -> None:
    ana = await product.key("ana")
    async with listening_to(product, ana, "legacy", "kyros://tasks", "kyros://board") as (
        client,
        heard,
    ):
        await client.unsubscribe_resource("kyros://board")
        await client.unsubscribe_resource("kyros://never")
        await call(client, "task_create", tasks=[{"title": "One"}])
        assert await heard() == "kyros://tasks"
        await client.unsubscribe_resource("kyros://tasks")
        await client.subscribe_resource("kyros://agents")
        await appeared(product, ana, "eve")
        assert await heard() == "kyros://agents"


async def test_a_stateless_handshake_has_no_subscriptions(settings: Settings) -> None:
    async with (
        serving(settings.model_copy(update={"mcp_handshake": "stateless"})) as product,
        product.client(product.token, "legacy") as client,
    ):
        with pytest.raises(MCPError) as refused:
            await client.subscribe_resource("kyros://board")
        assert refused.value.code == -32601


async def test_a_change_made_by_another_process_is_told(settings: Settings, era: str) -> None:
    """Row 12: each process reads the log itself."""
    async with serving(settings) as here, serving(settings) as there:
        ana = await here.key("ana")
        async with (
            listening_to(here, ana, era, "kyros://tasks") as (_, heard),
            there.client(ana) as other,
        ):
            await call(other, "task_create", tasks=[{"title": "One"}])
            assert await heard() == "kyros://tasks"


async def test_a_viewer_listens_to_what_it_reads(product: Product, era: str) -> None:
    eye, ana = await product.key("eye", Role.VIEWER), await product.key("ana")
    async with (
        listening_to(product, eye, era, "kyros://leases") as (_, heard),
        product.client(ana) as other,
    ):
        await call(other, "lease_acquire", resources=["path:src/**"])
        assert await heard() == "kyros://leases"
