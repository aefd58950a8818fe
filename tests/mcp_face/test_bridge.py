"""`kyros stdio` with `KYROS_URL`: what it forwards, and what happens when the server goes away."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from mcp.client.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference, Request, ResourceUpdatedNotification

from kyros_collab_server.mcp_face.bridge_forwards import AnyResult
from kyros_collab_server.mcp_face.extensions.skills.serving import ROOT
from kyros_collab_server.settings import Settings
from tests.mcp_face.conftest import MODERN, WAIT, Product, problem_of, serving, text_of
from tests.mcp_face.test_stdio import Environment, call, started
from tests.mcp_face.test_subscriptions import listened

pytestmark = pytest.mark.anyio


async def test_the_bridge_forwards_calls_reads_and_refusals(
    product: Product, environment: Environment, era: str
) -> None:
    token = await product.key("ana")
    async with started(environment, era, url=product.url, token=token, agent="ana-2") as client:
        assert len((await client.list_tools()).tools) == 12
        await call(client, "task_create", tasks=[{"title": "One"}])
        claim = await call(client, "task_claim")
        assert claim["task"]["assignee"] == "agent:ana-2"
        refused = await client.session.call_tool("task_claim", {"task": "T-1"})
        assert problem_of(refused)["nearest"] == "task_id"
        assert len((await client.list_resources()).resources) == 9
        assert (await client.list_resource_templates()).resource_templates
        (content,) = (await client.session.read_resource("kyros://tasks/T-1")).contents
        assert json.loads(content.text)["title"] == "One"  # type: ignore[union-attr]
        with pytest.raises(MCPError) as absent:
            await client.session.read_resource("kyros://nope")
        assert absent.value.code == -32602
        agents = (await call(client, "agent_list"))["agents"]
        (mine,) = (agent for agent in agents if agent["name"] == "ana-2")
        assert mine["client"] == "tester"


async def test_the_bridge_forwards_prompts_completion_and_the_skill(
    product: Product, environment: Environment, era: str
) -> None:
    token = await product.key("ana")
    async with started(environment, era, url=product.url, token=token) as client:
        assert len((await client.list_prompts()).prompts) == 5
        prompt = await client.get_prompt("hand_off", {"task_id": "T-1"})
        assert "T-1" in prompt.messages[0].content.text  # type: ignore[union-attr]
        await call(client, "task_create", tasks=[{"title": "One"}])
        reference = PromptReference(name="hand_off")
        found = await client.complete(reference, {"name": "task_id", "value": "t"})
        assert found.completion.values == ["T-1"]
        (content,) = (await client.session.read_resource(f"{ROOT}/SKILL.md")).contents
        assert content.text.startswith("---")  # type: ignore[union-attr]
        asked = Request[dict[str, Any], str](method="skills/list", params={})
        listed = await client.session.send_request(asked, AnyResult)
        assert listed.model_dump()["skills"][0]["uri"] == f"{ROOT}/SKILL.md"


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("way", ["bridge", "store"])
async def test_a_stdio_host_is_told_of_changes(
    product: Product, environment: Environment, era: str, way: str
) -> None:
    token, bob = await product.key("ana"), await product.key("bob")
    settings = {"url": product.url} if way == "bridge" else {}
    updates: asyncio.Queue[str] = asyncio.Queue()

    async def message(one: Any) -> None:
        if isinstance(one, ResourceUpdatedNotification):
            updates.put_nowait(str(one.params.uri))

    async with (
        product.client(bob) as other,
        started(environment, era, message=message, token=token, **settings) as client,
    ):
        if era == MODERN:
            async with client.listen(resource_subscriptions=["kyros://tasks"]) as stream:
                await call(other, "task_create", tasks=[{"title": "One"}])
                with anyio.fail_after(WAIT):
                    assert await anext(stream) == ResourceUpdated("kyros://tasks")
            with pytest.raises(MCPError) as refused:
                await listened(client, era, "kyros://tasks/T-404")
        else:
            await client.subscribe_resource("kyros://leases")
            await client.subscribe_resource("kyros://tasks")
            await client.unsubscribe_resource("kyros://leases")
            await call(other, "task_create", tasks=[{"title": "One"}])
            assert await asyncio.wait_for(updates.get(), WAIT) == "kyros://tasks"
            with pytest.raises(MCPError) as refused:
                await client.subscribe_resource("kyros://tasks/T-404")
        assert refused.value.code == -32602


async def test_a_bridge_outlives_its_server_and_tells_the_model_so(
    settings: Settings, environment: Environment
) -> None:
    async with AsyncExitStack() as stack:
        async with serving(settings) as product:
            token = await product.key("ana")
            opened = started(environment, MODERN, url=product.url, token=token)
            client = await stack.enter_async_context(opened)
            assert (await call(client, "board_show"))["me"]["actor"] == "agent:ana"
        gone = await client.session.call_tool("board_show", {}, read_timeout_seconds=WAIT)
        assert problem_of(gone)["code"] == "server_unreachable"
        assert "retryable=true" in text_of(gone)
        with pytest.raises(MCPError) as unread:
            await client.session.read_resource("kyros://board")
        assert unread.value.data["kyros/problem"]["code"] == "server_unreachable"


async def test_a_bridge_to_nowhere_ends_with_the_reason(environment: Environment) -> None:
    env = {**environment, "KYROS_TOKEN": "x", "KYROS_URL": "http://127.0.0.1:9"}
    ended = await anyio.run_process(
        [sys.executable, "-m", "kyros_collab_server", "stdio"], env=env, check=False, input=b""
    )
    assert ended.returncode == 7
    assert ended.stdout == b""
    assert b"No server answers" in ended.stderr
