"""What the agents feature needs of the world."""

from typing import Protocol

from kyros_collab_server.features.agents.rules import AgentRecord
from kyros_collab_server.features.identity.ports import IdentityWork


class AgentStore(Protocol):
    """The agents of the work's workspace."""

    def get(self, name: str) -> AgentRecord | None: ...
    def insert(self, record: AgentRecord) -> None: ...
    def save(self, record: AgentRecord) -> None: ...
    def all(self) -> list[AgentRecord]: ...
    def kind_etag(self) -> str: ...


class AgentWork(IdentityWork, Protocol):
    """A work that knows agents."""

    @property
    def agents(self) -> AgentStore: ...
