"""`kyros stdio` with `KYROS_URL`: what it forwards, and what happens when the server goes away."""

import json
import sys
from contextlib import AsyncExitStack

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from kyros_collab_server.settings import Settings
from tests.mcp_face.conftest import MODERN, WAIT, Product, problem_of, serving, text_of
from tests.mcp_face.test_stdio import Environment, call, started

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
        assert len((await client.list_resources()).resources) == 7
        assert (await client.list_resource_templates()).resource_templates
        (content,) = (await client.session.read_resource("kyros://tasks/T-1")).contents
        assert json.loads(content.text)["title"] == "One"  # type: ignore[union-attr]
        with pytest.raises(MCPError) as absent:
            await client.session.read_resource("kyros://nope")
        assert absent.value.code == -32602
        agents = (await call(client, "agent_list"))["agents"]
        (mine,) = (agent for agent in agents if agent["name"] == "ana-2")
        assert mine["client"] == "tester"


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
