"""Many agents drain one backlog through every door, and no task is ever two agents'."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from kyros_collab_server.settings import Settings
from tests.proof.agents import over_mcp, over_rest, over_stdio
from tests.proof.drains import TASKS, Drain, check_drained, entered, fill
from tests.proof.ledger import Ledger, tables
from tests.proof.servers import agent_key, serving
from tests.proof.summary import Summary

pytestmark = pytest.mark.anyio


def read_back(settings: Settings) -> Ledger:
    ledger = Ledger()
    with tables(settings.data_dir, settings.database_url) as store:
        ledger.follow(store)
    return ledger


async def test_eight_clients_over_mcp_and_rest_drain_sixty_tasks(
    store_settings: Settings, summary: Summary
) -> None:
    async with serving(store_settings) as server, AsyncExitStack() as stack:
        key = await agent_key(server, "fleet")
        async with server.client("planner") as planner:
            await fill(planner)
        agents = await entered(
            stack,
            *(over_mcp(server.mcp_url, key, f"mcp-{number}") for number in range(4)),
            *(over_rest(server.url, key, f"rest-{number}") for number in range(4)),
        )
        drain = Drain(agents)
        await drain.run()
    check_drained(read_back(store_settings))
    workers = sorted(set(drain.claimed.values()))
    assert len(workers) == 8, "every client did a part"
    engine = "postgres" if store_settings.database_url else "sqlite"
    summary.say(f"{engine}: 4 MCP and 4 REST clients drained {TASKS} tasks, each claimed once")


async def test_six_stdio_processes_and_a_server_drain_sixty_tasks_of_one_store(
    tmp_path: Path, summary: Summary
) -> None:
    settings = Settings(data_dir=tmp_path / "store")
    async with serving(settings) as server, AsyncExitStack() as stack:
        async with server.client("planner") as planner:
            await fill(planner)
        agents = await entered(
            stack,
            *(over_stdio(settings, f"stdio-{number}", tmp_path) for number in range(6)),
            over_rest(server.url, await agent_key(server, "beside"), "beside"),
        )
        drain = Drain(agents)
        await drain.run()
    check_drained(read_back(settings))
    assert len(set(drain.claimed.values())) == 7, "every process did a part"
    summary.say(f"sqlite: 6 stdio processes and a server drained {TASKS} tasks of one store")
