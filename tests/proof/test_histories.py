"""Real processes against two real servers, one of which is killed: one board explains it all."""

import asyncio
import json
import signal
import sys
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kyros_collab_server.settings import Settings
from tests.proof.ledger import Ledger, tables
from tests.proof.linearizability import Call, FencedRegister, is_linearizable
from tests.proof.recorder import Plan
from tests.proof.servers import ROOT, Server, agent_key, environment, serving
from tests.proof.summary import Summary

pytestmark = pytest.mark.anyio
CLIENTS = 5
TASKS = ["T-1", "T-2"]
RECORD_SECONDS = 120.0


async def record(settings: Settings, directory: Path, calls: int, seed: int) -> list[Path]:
    """The records of five processes, on two servers of one store; the first server dies."""
    dies = {"KYROS_FAILPOINT": f"after_commit_before_reply:{calls // 2}"}
    async with AsyncExitStack() as stack:
        lasting = await stack.enter_async_context(serving(settings))
        mortal = await stack.enter_async_context(serving(settings, **dies))
        key = await agent_key(lasting, f"fleet-{seed}")
        async with lasting.client("planner") as planner:
            tasks = [{"id": task, "title": task} for task in TASKS]
            made = await planner.post("/collab/tasks", json={"tasks": tasks})
            assert made.status_code == 201, made.text
        plans = [
            _plan(number, [mortal, lasting], key, calls, seed, directory)
            for number in range(CLIENTS)
        ]
        async with asyncio.timeout(RECORD_SECONDS), asyncio.TaskGroup() as group:
            for plan in plans:
                group.create_task(_run(plan, settings))
        assert await mortal.ended() == -signal.SIGKILL
    return [Path(plan.record) for plan in plans]


def _plan(
    number: int, servers: list[Server], key: str, calls: int, seed: int, directory: Path
) -> Plan:
    urls = [server.url for server in servers]
    is_operator = number == 0
    return Plan(
        agent=f"client-{number}",
        urls=urls if number % 2 else urls[::-1],
        token=servers[1].token if is_operator else key,
        tasks=TASKS,
        calls=calls,
        seed=seed + number,
        record=str(directory / f"client-{number}.jsonl"),
        is_operator=is_operator,
    )


async def _run(plan: Plan, settings: Settings) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.proof.recorder",
        json.dumps(asdict(plan)),
        env=environment(settings),
        cwd=ROOT,
    )
    try:
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


def histories(records: list[Path]) -> dict[str, list[Call]]:
    """The calls on each task."""
    found: dict[str, list[Call]] = defaultdict(list)
    for path in records:
        for line in path.read_text(encoding="utf-8").splitlines():
            entry: dict[str, Any] = json.loads(line)
            task = entry.pop("task")
            for name in ("argument", "outcome"):
                if isinstance(entry[name], list):
                    entry[name] = tuple(entry[name])
            found[task].append(Call(**entry))
    return found


async def explained(settings: Settings, directory: Path, calls: int, seed: int) -> int:
    """The number of calls, all of which one sequential board explains."""
    found = histories(await record(settings, directory, calls, seed))
    for task, history in found.items():
        assert is_linearizable(FencedRegister(), history), f"{task}: see {directory}"
    total = sum(map(len, found.values()))
    assert total == CLIENTS * calls
    with tables(settings.data_dir, settings.database_url) as store:
        Ledger().follow(store)
    return total


async def test_one_sequential_board_explains_what_five_processes_saw(
    store_settings: Settings, tmp_path: Path, summary: Summary
) -> None:
    total = await explained(store_settings, tmp_path, 80, 7)
    engine = "postgres" if store_settings.database_url else "sqlite"
    summary.say(f"{engine}: {total} calls of {CLIENTS} processes on 2 servers are linearizable")


@pytest.mark.proof_long
async def test_one_sequential_board_explains_a_long_history(
    store_settings: Settings, tmp_path: Path, summary: Summary
) -> None:
    total = await explained(store_settings, tmp_path, 2_000, 11)
    engine = "postgres" if store_settings.database_url else "sqlite"
    summary.say(f"{engine}: {total} calls of {CLIENTS} processes on 2 servers are linearizable")
