"""`kyros stdio` as a client starts it: a subprocess, its pipes, and the store it opens."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation

from kyros_collab_server.mcp_face.caller import made_up_name
from kyros_collab_server.mcp_face.keeper import LeaseKeeper
from tests.mcp_face.conftest import (
    MODERN,
    WAIT,
    Product,
    answer_of,
    problem_of,
    text_of,
)

pytestmark = pytest.mark.anyio

Environment = dict[str, str]


@asynccontextmanager
async def started(
    environment: Environment,
    mode: str = MODERN,
    *arguments: str,
    message: Any = None,
    **settings: str,
) -> AsyncIterator[Client]:
    """A client that has started `kyros stdio` for itself."""
    env = {**environment, **{f"KYROS_{name.upper()}": value for name, value in settings.items()}}
    process = StdioServerParameters(
        command=sys.executable, args=["-m", "kyros_collab_server", "stdio", *arguments], env=env
    )
    info = Implementation(name="tester", version="1")
    with anyio.fail_after(60):
        async with Client(
            stdio_client(process), mode=mode, client_info=info, message_handler=message
        ) as client:
            yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return answer_of(await client.session.call_tool(tool, arguments, read_timeout_seconds=WAIT))


async def test_a_process_without_token_and_name_makes_one_up_and_says_so(
    environment: Environment, era: str
) -> None:
    async with started(environment, era) as client:
        assert len((await client.list_tools()).tools) == 12
        board = await client.session.call_tool("board_show", {})
        me = answer_of(board)["me"]
        assert re.fullmatch(r"agent:tester-[0-9a-f]{6}", me["actor"])
        assert "KYROS_AGENT" in me["note"]
        assert "KYROS_AGENT" in text_of(board)
        again = await call(client, "whoami")
        assert f"agent:{again['agent']}" == me["actor"]


async def test_the_loop_works_over_stdio_as_it_does_over_http(
    environment: Environment, era: str
) -> None:
    async with started(environment, era, "--agent", "ana") as client:
        await call(client, "task_create", tasks=[{"title": "One"}])
        claim = await call(client, "task_claim")
        fence = claim["leases"][0]["fencing_token"]
        for column in ("in_progress", "review"):
            await call(client, "task_transition", task_id="T-1", to=column, fencing_token=fence)
        refused = await client.session.call_tool("task_claim", {"task": "T-1"})
        assert problem_of(refused)["code"] == "unknown_field"
        with pytest.raises(MCPError) as unknown:
            await client.session.call_tool("task_delete", {})
        assert unknown.value.code == -32602
        (content,) = (await client.session.read_resource("kyros://tasks/T-1")).contents
        assert json.loads(content.text)["assignee"] == "agent:ana"  # type: ignore[union-attr]
        assert answer_of(await client.session.call_tool("board_show", {}))["me"].get("note") is None


async def test_a_key_names_the_agent_and_its_scopes_hold_over_stdio(
    product: Product, environment: Environment
) -> None:
    from kyros_collab_server.kernel.principal import Role

    token = await product.key("eye", Role.VIEWER)
    async with started(environment, MODERN, token=token) as client:
        assert (await call(client, "whoami"))["agent"] == "eye"
        assert "task_claim" not in {tool.name for tool in (await client.list_tools()).tools}
        refused = await client.session.call_tool("task_claim", {})
        assert problem_of(refused)["code"] == "insufficient_scope"


@pytest.mark.parametrize("way", ["store", "bridge"])
async def test_a_wrong_token_ends_the_process_with_the_reason_on_stderr(
    product: Product, environment: Environment, way: str
) -> None:
    env = {**environment, "KYROS_TOKEN": "ky_000000000000_no"}
    if way == "bridge":
        env["KYROS_URL"] = product.url
    ended = await anyio.run_process(
        [sys.executable, "-m", "kyros_collab_server", "stdio"], env=env, check=False, input=b""
    )
    assert ended.returncode == 4
    assert ended.stdout == b""
    assert b"unauthenticated" in ended.stderr
    assert b"ky_000000000000_no" not in ended.stderr


async def test_stdout_carries_the_protocol_and_nothing_else(environment: Environment) -> None:
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "raw", "version": "1"}}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
         "params": {"name": "board_show", "arguments": {}}},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call",
         "params": {"name": "task_create", "arguments": {"tasks": [{"title": "x\ud800"}]}}},
    ]  # fmt: skip
    sent = "not json\n" + "\n".join(json.dumps(line) for line in lines) + "\n"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kyros_collab_server", "stdio",
        env={**environment, "KYROS_LOG_LEVEL": "debug"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(sent.encode())
    answers: dict[int | None, Any] = {}
    async with asyncio.timeout(WAIT):
        while len(answers) < 4:
            message = json.loads(await process.stdout.readline())
            assert message["jsonrpc"] == "2.0"
            answers[message["id"]] = message
    process.stdin.close()
    rest, errors = await process.communicate()
    assert answers[1]["result"]["protocolVersion"] == "2025-06-18"
    assert answers[2]["result"]["isError"] is False
    assert answers[3]["error"]["code"] == -32700
    assert answers[None]["error"]["code"] == -32700
    assert rest == b""
    assert b"Traceback" not in errors
    assert process.returncode == 0


@pytest.mark.parametrize("way", ["store", "bridge"])
async def test_a_lease_outlives_its_ttl_while_the_host_lives_and_no_longer(
    product: Product, environment: Environment, way: str
) -> None:
    """The least TTL is 5 s, so this takes a while: past it once, and for the store once more."""
    token = await product.key("ana")
    admin = await product.caller(product.token)
    extra = {"url": product.url} if way == "bridge" else {}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kyros_collab_server", "stdio",
        env={**environment, "KYROS_TOKEN": token,
             **{f"KYROS_{name.upper()}": value for name, value in extra.items()}},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "lease_acquire", "arguments": {"resources": ["path:a"], "ttl_seconds": 5},
        "_meta": meta}}  # fmt: skip
    process.stdin.write(json.dumps(request).encode() + b"\n")
    async with asyncio.timeout(WAIT):
        granted = json.loads(await process.stdout.readline())
    lock_id = granted["result"]["structuredContent"]["leases"][0]["lock_id"]
    # Silence for longer than the TTL: the beats on the feed are the renewals.
    async with asyncio.timeout(WAIT):
        await _silent_beats(product, admin, lock_id)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    if way == "store":
        async with asyncio.timeout(WAIT):
            assert await _reclaimed(product, admin, lock_id)


async def _silent_beats(product: Product, admin: Any, lock_id: str) -> None:
    """Return when the lease lives past its first TTL."""
    from kyros_collab_server.features.leases import service as leases
    from kyros_collab_server.features.leases.model import ReadLease

    first = await product.kyros.perform(leases.read_lease, ReadLease(lock_id=lock_id), actor=admin)
    while True:
        lease = await product.kyros.perform(
            leases.read_lease, ReadLease(lock_id=lock_id), actor=admin
        )
        assert lease.state.value == "active"
        if lease.heartbeat_at > first.expires_at:
            return
        await asyncio.sleep(0.05)


async def _reclaimed(product: Product, admin: Any, lock_id: str) -> bool:
    from kyros_collab_server.features.events import service as events
    from kyros_collab_server.features.events.model import ReadEvents

    batch = await product.kyros.perform(
        events.read,
        ReadEvents(after=0, types=["lease_reclaimed"], wait_seconds=15),
        actor=admin,
    )
    return any(event.target == f"lease:{lock_id}" for event in batch.items)


async def test_a_keeper_stops_when_its_host_is_gone() -> None:
    parents = [7, 7, 1]
    renewed: list[int] = []

    class Held:
        async def shortest_ttl(self) -> float | None:
            return 0.003

        async def renew(self) -> None:
            renewed.append(1)

    keeper = LeaseKeeper(Held(), parent=lambda: parents.pop(0) if len(parents) > 1 else parents[0])
    with anyio.fail_after(WAIT):
        await keeper.run()
    assert renewed == []


@pytest.mark.parametrize(
    ("client", "stem"),
    [
        ("Claude Code", "Claude-Code"),
        (None, "agent"),
        ("", "agent"),
        ("../../etc", "etc"),
        ("\u202e<b>", "b"),
        ("x" * 200, "x" * 48),
    ],
)
def test_a_made_up_name_is_a_valid_agent_name(client: str | None, stem: str) -> None:
    name = made_up_name(client)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name)
    assert name[:-7] == stem
