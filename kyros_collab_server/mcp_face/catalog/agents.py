"""Tools of the agents feature, all in `team`: whoami, register, list."""

import time
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import (
    Agent,
    ListAgents,
    RegisterAgent,
    RoleName,
    Skills,
)
from kyros_collab_server.features.identity.model import WhoAmI
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import (
    DEFAULT_TTL_SECONDS,
    MAX_LEASES_PER_HOLDER,
    MAX_TTL_SECONDS,
    MIN_TTL_SECONDS,
    Lease,
    ListLeases,
)
from kyros_collab_server.features.messages import service as messages
from kyros_collab_server.features.messages.model import ReadInbox
from kyros_collab_server.kernel.ids import AgentName
from kyros_collab_server.kernel.time import rfc3339
from kyros_collab_server.mcp_face.catalog.board import HoldingAnswer
from kyros_collab_server.mcp_face.catalog.task_views import lease_words
from kyros_collab_server.mcp_face.toolbox import MAX_WAIT_SECONDS, Call, Reply, ToolSpec
from kyros_collab_server.mcp_face.wording import fields, listed


class RegisterCall(BaseModel):
    """What an agent says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: AgentName | None = None
    role: RoleName | None = None
    skills: Skills | None = None
    status: (
        Annotated[Literal["available", "paused"], Field(description="paused: gets no work.")] | None
    ) = None


class LimitsAnswer(TypedDict):
    """Bounds that the caller may rely on."""

    wait_seconds: int
    ttl_seconds: list[int]
    default_ttl_seconds: int
    leases: int


class WhoAnswer(TypedDict):
    """The caller as the server sees it."""

    principal: str
    agent: NotRequired[str]
    workspace: str
    scopes: list[str]
    holding: list[HoldingAnswer]
    unread: int
    server_time: str
    limits: LimitsAnswer


class AgentAnswer(TypedDict):
    """An agent as everybody sees it."""

    name: str
    status: str
    last_seen: str
    registered_at: str
    role: NotRequired[str]
    skills: NotRequired[list[str]]
    client: NotRequired[str]
    etag: str


class OneAgentAnswer(TypedDict):
    """The agent as it is now."""

    agent: AgentAnswer
    replayed: NotRequired[bool]


class AgentsAnswer(TypedDict):
    """Agents by name."""

    agents: list[AgentAnswer]


LIMITS: dict[str, Any] = {
    "wait_seconds": MAX_WAIT_SECONDS,
    "ttl_seconds": [MIN_TTL_SECONDS, MAX_TTL_SECONDS],
    "default_ttl_seconds": DEFAULT_TTL_SECONDS,
    "leases": MAX_LEASES_PER_HOLDER,
}
SHOWN = "name status last_seen registered_at role skills client etag".split()


def agent_words(agent: Agent) -> str:
    """`ana busy · role reviewer · skills python, sql`."""
    words = f"{agent.name} {agent.status.value}"
    if agent.role:
        words += f" · role {agent.role}"
    if agent.skills:
        words += f" · skills {', '.join(agent.skills)}"
    return words


def holding_answer(lease: Lease) -> dict[str, Any]:
    """A lease of the caller's by its handles."""
    held = {
        "lock_id": lease.lock_id,
        "resource": lease.resource,
        "fencing_token": lease.fencing_token,
        "expires_in_ms": lease.expires_in_ms,
    }
    return held if lease.task_id is None else {**held, "task_id": lease.task_id}


async def whoami(call: Call, command: WhoAmI) -> Reply:  # noqa: ARG001 it has no arguments
    """Who the server takes the caller for, what it holds, and what it may do."""
    actor = call.actor
    held = (await call.perform(leases.list_leases, ListLeases(holder=actor.actor))).data
    unread = (await call.perform(messages.inbox, ReadInbox(limit=1))).unread
    structured: dict[str, Any] = {
        "principal": actor.id,
        "workspace": actor.workspace,
        "scopes": sorted(scope.value for scope in actor.scopes),
        "holding": [holding_answer(lease) for lease in held],
        "unread": unread,
        "server_time": rfc3339(time.time_ns() // 1_000_000),
        "limits": LIMITS,
    }
    if actor.agent is not None:
        structured["agent"] = actor.agent
    lines = [
        f"you are {actor.actor} in {actor.workspace}, principal {actor.id}",
        f"scopes {' '.join(structured['scopes'])}",
        *(f"holding {lease_words(lease)}" for lease in held),
        f"{unread} unread · server time {structured['server_time']}",
    ]
    return Reply(listed(lines, "", narrow="lease_list"), structured)


async def register(call: Call, command: RegisterCall) -> Reply:
    """The agent is known with this role, these skills, switched on or off."""
    given = command.model_dump(exclude_unset=True, exclude={"status"})
    if command.status is not None:
        given["paused"] = command.status == "paused"
    agent = await call.perform(agents.register, RegisterAgent(**given))
    return Reply(f"registered {agent_words(agent)}", {"agent": fields(agent, only=SHOWN)})


async def list_agents(call: Call, command: ListAgents) -> Reply:
    """The agents of the workspace."""
    known = (await call.perform(agents.list_agents, command)).data
    text = listed([agent_words(agent) for agent in known], "no agent fits", narrow="skill, status")
    return Reply(text, {"agents": [fields(agent, only=SHOWN) for agent in known]})


TOOLS = (
    ToolSpec(
        name="whoami",
        description="Show who you are here: names, scopes, leases you hold, unread messages, "
        "limits and the server's time.",
        takes=WhoAmI,
        arguments=(),
        answer=WhoAnswer,
        run=whoami,
        operations=(leases.list_leases, messages.inbox),
        hints="RI",
        toolset="team",
    ),
    ToolSpec(
        name="agent_register",
        description="Say which role and skills you have, so that claims fit you; pause or resume.",
        takes=RegisterCall,
        arguments=("name", "role", "skills", "status"),
        answer=OneAgentAnswer,
        run=register,
        operations=(agents.register,),
        hints="I",
        toolset="team",
        notes={"name": "Absent: you.", "role": "", "skills": ""},
    ),
    ToolSpec(
        name="agent_list",
        description="List the agents of the board with role, skills and status.",
        takes=ListAgents,
        arguments=("skill", "status"),
        answer=AgentsAnswer,
        run=list_agents,
        operations=(agents.list_agents,),
        hints="RI",
        toolset="team",
    ),
)
