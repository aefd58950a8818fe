"""Mutations in process, through the one door, against a raw loop on the same engine."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from kyros_collab_server.application import Kyros
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import AppendEvent
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import AcquireLease, RenewLease
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import (
    ClaimTask,
    CreateTasks,
    TaskDraft,
    TaskPatch,
    TaskStatus,
    TransitionTask,
    UpdateTask,
)
from kyros_collab_server.kernel.principal import Principal
from tests.bench.raw_store import SECONDS, timed
from tests.bench.rounds import Sample

Turn = Callable[[], Awaitable[None]]
CREATE_AT_ONCE = 50
MOST_OF_ONE = 300
"""Operations that one caller makes in a sample at most; bounds the backlog that it needs."""


class Service:
    """An open store and its callers; every mutation carries an idempotency key of its own."""

    def __init__(self, runner: asyncio.Runner, kyros: Kyros) -> None:
        self._runner = runner
        self._kyros = kyros
        self._numbers = itertools.count(1)
        self._queued = 0

    def _key(self) -> str:
        return f"bench-{next(self._numbers):012d}"

    def _agent(self) -> Principal:
        return self._kyros.local_caller(agent=f"agent-{next(self._numbers)}")

    async def _do(self, op: Any, command: Any, actor: Principal) -> Any:
        return await self._kyros.perform(op, command, actor=actor, key=self._key())

    def sample(self, what: str, callers: int) -> Sample:
        """What so many callers do in a while, each waiting for its answer before the next call."""
        prepare, each = {
            "append": (self._appending, 1),
            "renew": (self._renewing, 1),
            "update": (self._updating, 1),
            "claim, start, hand over": (self._claiming, 3),
        }[what]
        ready = self._runner.run(prepare(callers))

        async def caller(turn: Turn, deadline: float) -> int:
            turns = 0
            while time.perf_counter() < deadline and turns * each < MOST_OF_ONE:
                await turn()
                turns += 1
            return turns

        async def all_callers() -> int:
            deadline = time.perf_counter() + SECONDS
            return sum(await asyncio.gather(*(caller(turn, deadline) for turn in ready)))

        return timed(lambda: each * self._runner.run(all_callers()))

    async def _appending(self, callers: int) -> list[Turn]:
        command = AppendEvent(event="note", text="x" * 300)

        def turn_of(actor: Principal) -> Turn:
            async def turn() -> None:
                await self._do(events.append, command, actor)

            return turn

        return [turn_of(self._agent()) for _ in range(callers)]

    async def _renewing(self, callers: int) -> list[Turn]:
        async def turn_of(actor: Principal) -> Turn:
            wanted = AcquireLease(resources=[f"res:{next(self._numbers)}"])
            held = await self._do(leases.acquire, wanted, actor)
            command = RenewLease(lock_id=held.leases[0].lock_id)

            async def turn() -> None:
                await self._do(leases.renew_one, command, actor)

            return turn

        return [await turn_of(self._agent()) for _ in range(callers)]

    async def _updating(self, callers: int) -> list[Turn]:
        """The mutation with everything on it: If-Match, fence, idempotency, chain, ETag."""
        ids = await self._create(callers)

        async def turn_of(actor: Principal, task_id: str) -> Turn:
            claim = await self._do(tasks.claim, ClaimTask(task_id=task_id), actor)
            token, task = claim.leases[0].fencing_token, claim.task

            async def turn() -> None:
                nonlocal task
                patch = TaskPatch(handoff=f"{next(self._numbers):0300d}")
                command = UpdateTask(
                    task_id=task_id, if_match=task.etag, patch=patch, fencing_token=token
                )
                task = await self._do(tasks.update, command, actor)

            return turn

        return [await turn_of(self._agent(), task_id) for task_id in ids]

    async def _claiming(self, callers: int) -> list[Turn]:
        missing = callers * MOST_OF_ONE // 3 - self._queued
        self._queued += len(await self._create(missing))

        def turn_of(actor: Principal) -> Turn:
            async def turn() -> None:
                claim = await self._do(tasks.claim, ClaimTask(), actor)
                self._queued -= 1
                for column in (TaskStatus.IN_PROGRESS, TaskStatus.REVIEW):
                    command = TransitionTask(
                        task_id=claim.task.id,
                        to=column,
                        fencing_token=claim.leases[0].fencing_token,
                    )
                    await self._do(tasks.transition, command, actor)

            return turn

        return [turn_of(self._agent()) for _ in range(callers)]

    async def _create(self, wanted: int) -> list[str]:
        planner = self._agent()
        ids: list[str] = []
        while len(ids) < wanted:
            drafts = [TaskDraft(title="Bench")] * min(CREATE_AT_ONCE, wanted - len(ids))
            created = await self._do(tasks.create, CreateTasks(tasks=drafts), planner)
            ids += [task.id for task in created.tasks]
        return ids
