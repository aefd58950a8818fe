"""Callers at the door: one line for each call that a test makes, and refusals by their code."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from kyros_collab_server.application import Kyros
from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import Agent, ReadAgent, RegisterAgent, UpdateAgent
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import AppendEvent, Event, ReadEvents
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import CreateKey, KeyCreated
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import (
    AcquireLease,
    Lease,
    ReadLease,
    Reclaimed,
    ReclaimLeases,
    Released,
    ReleaseLeases,
    RenewLease,
)
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import (
    Claim,
    ClaimTask,
    CreateTasks,
    ReadTask,
    Task,
    TaskDraft,
    TaskPatch,
    TaskStatus,
    Transitioned,
    TransitionTask,
    UpdateTask,
)
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.kernel.operation import Operation
from kyros_collab_server.kernel.principal import Principal, Role
from kyros_collab_server.units import Answer
from tests.conftest import Board


@dataclass
class Refusal:
    """What a refused call said."""

    error: KyrosError | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def refused(code: str, **facts: Any) -> Iterator[Refusal]:
    """The block is refused with this code, and with at least these facts."""
    seen = Refusal()
    with pytest.raises(KyrosError) as caught:
        yield seen
    seen.error, seen.facts = caught.value, caught.value.facts
    assert caught.value.code == code, caught.value.facts
    assert {name: seen.facts.get(name) for name in facts} == facts


@dataclass
class Caller:
    """One principal at the door."""

    kyros: Kyros
    principal: Principal

    @property
    def actor(self) -> str:
        return self.principal.actor

    async def call(self, op: Operation[Any, Any], command: Any, key: str | None = None) -> Any:
        return await self.kyros.perform(op, command, actor=self.principal, key=key)

    async def answer(self, op: Operation[Any, Any], command: Any, key: str) -> Answer[Any]:
        return await self.kyros.answer(op, command, actor=self.principal, key=key)

    async def create_all(self, *drafts: dict[str, Any], key: str | None = None) -> list[Task]:
        command = CreateTasks(tasks=[TaskDraft(**{"title": "work", **draft}) for draft in drafts])
        created: list[Task] = (await self.call(tasks.create, command, key)).tasks
        return created

    async def create(self, task_id: str | None = None, **fields: Any) -> Task:
        return (await self.create_all({"id": task_id, **fields}))[0]

    async def task(self, task_id: str) -> Task:
        found: Task = await self.call(tasks.read_task, ReadTask(task_id=task_id))
        return found

    async def update(
        self,
        task: Task,
        *,
        tick: tuple[str, ...] = (),
        token: int | None = None,
        etag: str | None = "",
        **patch: Any,
    ) -> Task:
        """Patch a task; by default with the etag it has now."""
        command = UpdateTask(
            task_id=task.id,
            if_match=(await self.task(task.id)).etag if etag == "" else etag,
            patch=TaskPatch(**patch),
            tick=list(tick),
            fencing_token=token,
        )
        changed: Task = await self.call(tasks.update, command)
        return changed

    async def move(
        self, task_id: str, to: str, token: int | None = None, **fields: Any
    ) -> Transitioned:
        command = TransitionTask(task_id=task_id, to=TaskStatus(to), fencing_token=token, **fields)
        moved: Transitioned = await self.call(tasks.transition, command)
        return moved

    async def claim(
        self, task_id: str | None = None, *, key: str | None = None, **fields: Any
    ) -> Claim:
        command = ClaimTask(task_id=task_id, **fields)
        claimed: Claim = await self.call(tasks.claim, command, key)
        return claimed

    async def hold(self, task_id: str, **fields: Any) -> int:
        """Claim a task; returns the fencing token of the task's lease."""
        claim = await self.claim(task_id, **fields)
        return token_of(claim)

    async def acquire(self, *resources: str, ttl: int = 300, **fields: Any) -> list[Lease]:
        command = AcquireLease(resources=list(resources), ttl_seconds=ttl, **fields)
        granted: list[Lease] = (await self.call(leases.acquire, command)).leases
        return granted

    async def lease(self, lock_id: str) -> Lease:
        found: Lease = await self.call(leases.read_lease, ReadLease(lock_id=lock_id))
        return found

    async def renew(self, lock_id: str, ttl: int | None = None) -> Lease:
        command = RenewLease(lock_id=lock_id, ttl_seconds=ttl)
        renewed: Lease = await self.call(leases.renew_one, command)
        return renewed

    async def release(self, *lock_ids: str) -> Released:
        command = ReleaseLeases(lock_ids=list(lock_ids))
        released: Released = await self.call(leases.release, command)
        return released

    async def reclaim(self, *lock_ids: str) -> Reclaimed:
        command = ReclaimLeases(lock_ids=list(lock_ids) or None)
        reclaimed: Reclaimed = await self.call(leases.reclaim, command)
        return reclaimed

    async def say(self, text: str, event: str = "note", **fields: Any) -> int:
        command = AppendEvent(event=event, text=text, **fields)
        seq: int = (await self.call(events.append, command)).seq
        return seq

    async def log(self, *names: str, after: int = 0, target: str | None = None) -> list[Event]:
        """The events of these names after a seq, all names when none is given."""
        command = ReadEvents(after=after, types=list(names) or None, target=target, limit=1000)
        found: list[Event] = (await self.call(events.read, command)).items
        return found

    async def head(self) -> int:
        seq: int = (await self.call(events.head, events.ReadHead())).seq
        return seq

    async def register(self, **fields: Any) -> Agent:
        agent: Agent = await self.call(agents.register, RegisterAgent(**fields))
        return agent

    async def set_agent(self, name: str, **fields: Any) -> Agent:
        agent: Agent = await self.call(agents.update, UpdateAgent(name=name, **fields))
        return agent

    async def agent(self, name: str) -> Agent:
        agent: Agent = await self.call(agents.read_agent, ReadAgent(name=name))
        return agent

    async def make_key(self, name: str, role: Role | None = None, **fields: Any) -> KeyCreated:
        command = CreateKey(name=name, role=role, **fields)
        made: KeyCreated = await self.call(identity.create_key, command)
        return made


def token_of(claim: Claim) -> int:
    """The fencing token of the claimed task's own lease."""
    assert claim.claimed, claim.why
    assert claim.task is not None
    assert claim.leases is not None
    resource = f"task:{claim.task.id}"
    return next(lease.fencing_token for lease in claim.leases if lease.resource == resource)


def id_of(claim: Claim) -> str | None:
    """The id of the claimed task, or None."""
    return claim.task.id if claim.task else None


async def agent_of(board: Board, name: str, workspace: str | None = None) -> Caller:
    """An agent of the local user."""
    return Caller(board.kyros, await board.agent(name, workspace=workspace))


async def admin_of(board: Board, name: str = "admin", workspace: str | None = None) -> Caller:
    """The local admin under an agent name."""
    return Caller(board.kyros, await board.admin(name, workspace=workspace))


async def caller_of(board: Board, token: str, **fields: Any) -> Caller:
    """Whoever a key stands for."""
    return Caller(board.kyros, await board.kyros.caller(token, face="test", **fields))


def later(board: Board, seconds: float) -> None:
    """Time passes, for the store and for what the door remembers of the last seconds."""
    board.clock.advance(seconds)
    board.kyros._touched.clear()
    board.kyros._admission.forget()
