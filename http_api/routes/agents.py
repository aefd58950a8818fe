"""Agents over REST."""

from pydantic import BaseModel, ConfigDict

from http_api.endpoint import Endpoint
from http_api.problems import shown
from http_api.recent import SeenClient, ToolCall
from http_api.reply import NO_STORE, Answering, Reply
from http_api.request import Call
from kyros_collab_server.features.agents import service
from kyros_collab_server.features.agents.errors import AgentNameTaken
from kyros_collab_server.features.agents.model import Agent, AgentList
from kyros_collab_server.kernel.errors import (
    EtagMismatch,
    InsufficientScope,
    NotFound,
    UnknownField,
)
from kyros_collab_server.kernel.principal import Scope

THINGS = {"name": "agent"}


class KnownAgents(BaseModel):
    """The agents of a workspace, and the tag of the whole kind."""

    model_config = ConfigDict(frozen=True)

    data: list[Agent]
    next_cursor: str | None = None
    etag: str


class ToolCalls(BaseModel):
    """The latest tool calls of an agent that this server heard, newest first; none is logged."""

    model_config = ConfigDict(frozen=True)

    data: list[ToolCall]


class SeenClients(BaseModel):
    """MCP clients that called tools here since this server started, the latest first."""

    model_config = ConfigDict(frozen=True)

    data: list[SeenClient]


class _Calls(Endpoint):
    """What the agent called lately; the operation only says whether there is such an agent."""

    async def answer_to(self, call: Call) -> Answering:
        agent: Agent = await self.perform(call, self.operation, await self.command_of(call))
        calls = call.face.recent.calls_of(call.principal.workspace, agent.name)
        return self.reply(ToolCalls(data=calls), call)


async def _clients(call: Call) -> Answering:
    call.principal.require(frozenset({Scope.TASKS_READ}))
    for name in call.query():
        raise UnknownField(shown(name), [])
    seen = SeenClients(data=call.face.recent.clients_of(call.principal.workspace))
    return Reply(200, seen.model_dump_json().encode(), headers=[NO_STORE])


def _known(agents: AgentList) -> KnownAgents:
    return KnownAgents(data=agents.data, etag=agents.etag)


ENDPOINTS = [
    Endpoint(
        "GET",
        "/collab/agents",
        service.list_agents,
        "List the agents of the workspace.",
        answer=KnownAgents,
        shape=_known,
        tagged=True,
    ),
    Endpoint(
        "POST",
        "/collab/agents",
        service.register,
        "Register an agent, or change what it says of itself; idempotent by name.",
        errors=(AgentNameTaken,),
        tagged=True,
    ),
    Endpoint(
        "GET",
        "/collab/agents/{name}",
        service.read_agent,
        "Read an agent.",
        errors=(NotFound,),
        tagged=True,
        things=THINGS,
    ),
    _Calls(
        "GET",
        "/collab/agents/{name}/calls",
        service.read_agent,
        "Read an agent's latest tool calls.",
        answer=ToolCalls,
        errors=(NotFound,),
        things=THINGS,
    ),
    Endpoint(
        "GET",
        "/collab/clients",
        summary="List the MCP clients that called tools here.",
        respond=_clients,
        answer=SeenClients,
    ),
    Endpoint(
        "PATCH",
        "/collab/agents/{name}",
        service.update,
        "Change an agent's role and skills, or switch it off and on.",
        errors=(NotFound, EtagMismatch, InsufficientScope),
        takes_if_match=True,
        tagged=True,
        things=THINGS,
    ),
]
