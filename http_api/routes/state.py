"""The board's state as a whole: tasks, locks, agents, and the human log."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from http_api.endpoint import Endpoint
from http_api.reply import Answering, Reply, json_bytes, none_match, not_modified
from http_api.request import Call
from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import Agent, AgentList, ListAgents
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import HumanLog, Moment, ReadAt, ReadHumanLog
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import (
    Lease,
    LeaseList,
    ListLeases,
    PastLease,
    PastLeases,
)
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import (
    ListAllTasks,
    Priority,
    Task,
    TaskList,
    TaskStatus,
)
from kyros_collab_server.kernel.operation import Operation

Kind = Literal["tasks", "locks", "agents", "logs"]
READS: dict[str, tuple[Operation[Any, Any], BaseModel]] = {
    "tasks": (tasks.list_all, ListAllTasks()),
    "locks": (leases.list_leases, ListLeases()),
    "agents": (agents.list_agents, ListAgents()),
}
PAST: dict[str, Operation[Any, Any]] = {
    "tasks": tasks.tasks_at,
    "locks": leases.leases_at,
    "agents": agents.agents_at,
}
MAX_BODIES = 64
"""Encoded boards kept, one for each workspace and view."""


class StateQuery(BaseModel):
    """How much of it, and as of when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    view: Literal["full", "summary"] = "full"
    at: Moment | None = None


class TaskCard(BaseModel):
    """What a card on a board shows of its task."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    status: TaskStatus
    priority: Priority
    labels: list[str]
    assignee: str | None
    lock_id: str | None
    depends_on: list[str]
    needs_attention: bool
    updated_at: str
    version: int
    etag: str
    done_items: int
    items: int


CARD = frozenset(TaskCard.model_fields) - {"done_items", "items"}


class State(BaseModel):
    """Everything of one kind, and the tag of the whole."""

    model_config = ConfigDict(frozen=True)

    data: list[Task] | list[TaskCard] | list[Lease] | list[PastLease] | list[Agent]
    etag: str


class _WholeState(Endpoint):
    """A conditional read is answered from the kind's tag alone, whatever the board's size."""

    async def answer_to(self, call: Call) -> Answering:
        face, principal = call.face, call.principal
        query = self.validated(StateQuery, {**call.query(), **call.path})
        if query.kind == "logs":
            return await self._log(call, query.at)
        if query.at is not None:
            return await self._past(call, query, ReadAt(at=query.at))
        op, command = READS[query.kind]
        principal.require(op.scopes)
        etag = _viewed(await face.kyros.kind_etag(query.kind, actor=principal), query.view)
        if none_match(call.headers.get("if-none-match"), etag):
            return not_modified(etag)
        kept = (principal.workspace, query.view)
        if query.kind == "tasks" and (found := face.bodies.get(kept)) and found[0] == etag:
            return Reply(200, found[1]).tag(etag)
        state: TaskList | LeaseList | AgentList = await self.perform(call, op, command)
        etag = _viewed(state.etag, query.view)
        body = _encoded(state, etag, query.view)
        if query.kind == "tasks":
            if len(face.bodies) >= MAX_BODIES:
                face.bodies.clear()
            face.bodies[kept] = (etag, body)
        return Reply(200, body).tag(etag)

    async def _past(self, call: Call, query: StateQuery, moment: ReadAt) -> Answering:
        state: TaskList | PastLeases | AgentList
        state = await self.perform(call, PAST[query.kind], moment)
        etag = _viewed(state.etag, query.view)
        if none_match(call.headers.get("if-none-match"), etag):
            return not_modified(etag)
        return Reply(200, _encoded(state, etag, query.view)).tag(etag)

    async def _log(self, call: Call, at: str | None) -> Answering:
        log: HumanLog = await self.perform(call, events.human_log, ReadHumanLog(at=at))
        if none_match(call.headers.get("if-none-match"), log.etag):
            return not_modified(log.etag)
        return Reply(200, log.model_dump_json().encode()).tag(log.etag)


def _viewed(etag: str, view: str) -> str:
    return etag if view == "full" else f'{etag[:-1]}-summary"'


def _encoded(state: BaseModel, etag: str, view: str) -> bytes:
    if view == "full" or not isinstance(state, TaskList):
        return state.model_copy(update={"etag": etag}).model_dump_json().encode()
    cards: list[Mapping[str, Any]] = [
        {
            **task.model_dump(mode="json", include=set(CARD)),
            "done_items": sum(item.done for item in task.definition_of_done),
            "items": len(task.definition_of_done),
        }
        for task in state.data
    ]
    return json_bytes({"data": cards, "etag": etag})


ENDPOINTS = [
    _WholeState(
        "GET",
        "/collab/state/{kind}",
        tasks.list_all,
        "Read everything of one kind, as it is or as it was at a moment, conditionally.",
        query=StateQuery,
        answer=State | HumanLog,
        tagged=True,
    ),
]
