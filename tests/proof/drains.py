"""A backlog drained by several agents, each task reviewed by another than the one who did it."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.proof.agents import Agent
from tests.proof.ledger import Ledger

TASKS = 60
DRAIN_SECONDS = 90.0


def backlog() -> list[dict[str, Any]]:
    """Sixty tasks with checklists; the second half waits for the first, one for one."""
    half = TASKS // 2
    return [
        {
            "id": f"T-{number}",
            "title": f"Card {number}",
            "priority": f"P{number % 4}",
            "definition_of_done": ["tests pass", "docs say so"],
            "resources": [f"path:src/{number}/**"],
            "depends_on": [f"T-{number - half}"] if number > half else [],
        }
        for number in range(1, TASKS + 1)
    ]


async def fill(client: httpx2.AsyncClient) -> None:
    """The backlog stands on the board."""
    tasks = backlog()
    for first in range(0, TASKS, 50):
        made = await client.post("/collab/tasks", json={"tasks": tasks[first : first + 50]})
        assert made.status_code == 201, made.text


@dataclass
class Drain:
    """Who reviews what, and how far the board is."""

    agents: list[Agent]
    done: int = 0
    claimed: dict[str, str] = field(default_factory=dict)
    reviews: dict[str, list[str]] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    moves: int = 0

    async def run(self) -> None:
        """Every task is done; a refusal of any call ends it."""
        self.reviews = {agent.name: [] for agent in self.agents}
        async with asyncio.timeout(DRAIN_SECONDS), asyncio.TaskGroup() as group:
            for place, agent in enumerate(self.agents):
                reviewer = self.agents[(place + 1) % len(self.agents)]
                group.create_task(self._work(agent, self.reviews[reviewer.name]))

    async def _work(self, agent: Agent, handed_over: list[str]) -> None:
        mine = self.reviews[agent.name]
        while self.done < TASKS:
            seen = self.moves
            if mine:
                await self._review(agent, mine.pop())
            elif (claim := await agent.claim())["claimed"]:
                await self._do(agent, claim)
                handed_over.append(claim["task"]["id"])
            else:
                async with self.news:
                    await self.news.wait_for(lambda: self.moves != seen)  # noqa: B023
                continue
            async with self.news:
                self.moves += 1
                self.news.notify_all()

    async def _do(self, agent: Agent, claim: dict[str, Any]) -> None:
        task = claim["task"]
        task_id = task["id"]
        assert task_id not in self.claimed, f"{task_id} is {self.claimed[task_id]}'s"
        self.claimed[task_id] = agent.name
        resources = {lease["resource"]: lease["fencing_token"] for lease in claim["leases"]}
        assert len(resources) == 2
        token = resources[f"task:{task_id}"]
        etag = (await agent.move(task_id, "in_progress", token))["etag"]
        for item in task["definition_of_done"]:
            etag = await agent.change(task_id, etag, token, tick=[item["id"]])
        await agent.move(task_id, "review", token)

    async def _review(self, agent: Agent, task_id: str) -> None:
        assert self.claimed[task_id] != agent.name
        for column in ("approved", "merging", "done"):
            moved = await agent.move(task_id, column)
            assert moved["new_status"] == column
        self.done += 1


async def entered(stack: AsyncExitStack, *agents: Any) -> list[Agent]:
    """The agents, connected until the stack ends."""
    return [await stack.enter_async_context(agent) for agent in agents]


def check_drained(ledger: Ledger) -> None:
    """Every task was claimed once and is done, and nothing is held any more.

    That no two claims of a task were live at once the ledger has checked while it was read.
    """
    assert len(ledger.tasks) == TASKS
    assert {task["status"] for task in ledger.tasks.values()} == {"done"}
    assert all(item["done"] for t in ledger.tasks.values() for item in t["definition_of_done"])
    assert dict(ledger.claims) == dict.fromkeys(ledger.tasks, 1)
    assert ledger.leases == {}
