"""Many agents and one backlog: every task is claimed once, worked, and handed over."""

from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from mcp import Client

from tests.mcp_face.conftest import ERAS, WAIT, Product, answer_of
from tests.mcp_face.test_stdio import started

pytestmark = pytest.mark.anyio


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.session.call_tool(tool, arguments, read_timeout_seconds=60)
    return answer_of(result)


async def work(client: Client, claimed: list[str]) -> None:
    """Claim, work and hand over until nothing is left to claim."""
    while True:
        claim = await call(client, "task_claim")
        if not claim["claimed"]:
            return
        task, fence = claim["task"]["id"], claim["leases"][0]["fencing_token"]
        claimed.append(task)
        for column in ("in_progress", "review"):
            await call(client, "task_transition", task_id=task, to=column, fencing_token=fence)


async def drained(clients: list[Client], tasks: int) -> None:
    """The backlog of so many tasks is drained by these clients, each task once."""
    claimed: list[list[str]] = [[] for _ in clients]
    with anyio.fail_after(WAIT * 6):
        async with anyio.create_task_group() as group:
            for client, mine in zip(clients, claimed, strict=True):
                group.start_soon(work, client, mine)
    everything = [task for mine in claimed for task in mine]
    assert len(everything) == tasks
    assert len(set(everything)) == tasks
    board = await call(clients[0], "board_show")
    counts = {column["status"]: column["count"] for column in board["columns"]}
    assert counts["review"] == tasks
    assert sum(counts.values()) == tasks


async def backlog(client: Client, tasks: int) -> None:
    for first in range(0, tasks, 30):
        drafts = [{"title": f"Task {n}"} for n in range(first, first + 30)]
        await call(client, "task_create", tasks=drafts)


async def test_eight_clients_of_both_eras_drain_a_backlog_without_a_double_claim(
    product: Product,
) -> None:
    async with AsyncExitStack() as stack:
        clients = []
        for number in range(8):
            token = await product.key(f"agent-{number}")
            opened = product.client(token, ERAS[number % 2])
            clients.append(await stack.enter_async_context(opened))
        await backlog(clients[0], 60)
        await drained(clients, 60)


async def test_six_stdio_processes_drain_a_backlog_of_one_store(
    environment: dict[str, str],
) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                started(environment, ERAS[number % 2], agent=f"agent-{number}")
            )
            for number in range(6)
        ]
        await backlog(clients[0], 60)
        await drained(clients, 60)
