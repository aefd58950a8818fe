"""Agents over REST."""

from pydantic import BaseModel, ConfigDict

from http_api.endpoint import Endpoint
from kyros_collab_server.features.agents import service
from kyros_collab_server.features.agents.errors import AgentNameTaken
from kyros_collab_server.features.agents.model import Agent, AgentList
from kyros_collab_server.kernel.errors import EtagMismatch, InsufficientScope, NotFound

THINGS = {"name": "agent"}


class KnownAgents(BaseModel):
    """The agents of a workspace, and the tag of the whole kind."""

    model_config = ConfigDict(frozen=True)

    data: list[Agent]
    next_cursor: str | None = None
    etag: str


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
