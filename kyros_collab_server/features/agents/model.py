"""Agents: the workers that a board knows."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kyros_collab_server.kernel.ids import AgentName

SEEN_EVERY_MS = 5_000
"""`last_seen` is written at most this often for one agent."""
OFFLINE_AFTER_MS = 120_000
"""An idle agent that was not seen for this long is offline."""

RoleName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="A role.")
]
Skill = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+#/_-]{0,63}$")]
Skills = Annotated[list[Skill], Field(max_length=64, description="Skills.")]


class AgentStatus(StrEnum):
    """Derived, never set: what an agent is doing as far as the board can tell."""

    AVAILABLE = "available"
    """Seen within two minutes, holds nothing."""
    BUSY = "busy"
    """Holds at least one live lease."""
    PAUSED = "paused"
    """Switched off: gets no work until switched on."""
    STALLED = "stalled"
    """Holds a lease past two thirds of its TTL without a heartbeat."""
    OFFLINE = "offline"
    """Not seen for two minutes, holds nothing."""


class Agent(BaseModel):
    """An agent as everybody in the workspace sees it."""

    model_config = ConfigDict(frozen=True)

    name: str
    role: str | None = None
    skills: list[str] = []
    status: AgentStatus = AgentStatus.AVAILABLE
    paused: bool = False
    client: str | None = None
    registered_at: str
    last_seen: str
    version: int = 1
    etag: str = ""


class RegisterAgent(BaseModel):
    """Make an agent known, or change what it says of itself; idempotent by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: AgentName | None = None
    role: RoleName | None = None
    skills: Skills | None = None
    paused: bool | None = None


class UpdateAgent(BaseModel):
    """Change an agent: role and skills, or switch it off and on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: AgentName
    role: RoleName | None = None
    skills: Skills | None = None
    paused: bool | None = None
    if_match: str | None = None


class ReadAgent(BaseModel):
    """Ask for one agent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: AgentName


class ListAgents(BaseModel):
    """Ask for the agents of the workspace."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    skill: Skill | None = None
    status: AgentStatus | None = None


class AgentList(BaseModel):
    """The agents of a workspace, and the tag of the whole kind."""

    model_config = ConfigDict(frozen=True)

    data: list[Agent]
    etag: str
