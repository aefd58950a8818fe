"""What identity needs of the world."""

from typing import Protocol

from kyros_collab_server.features.events.ports import EventLog
from kyros_collab_server.features.identity.model import Workspace, WorkspaceSettings
from kyros_collab_server.features.identity.rules import KeyRecord
from kyros_collab_server.kernel.work import Work


class KeyStore(Protocol):
    """All keys of the deployment."""

    def get(self, key_id: str) -> KeyRecord | None: ...
    def insert(self, record: KeyRecord) -> None: ...
    def save(self, record: KeyRecord) -> None: ...
    def all(self) -> list[KeyRecord]: ...
    def principal_lives(self, principal: str, wall_ms: int) -> bool:
        """True when some key of this principal still admits calls."""
        ...


class WorkspaceStore(Protocol):
    """All workspaces of the deployment."""

    def get(self, workspace: str) -> Workspace | None: ...
    def settings(self, workspace: str) -> WorkspaceSettings:
        """The settings of a workspace; the defaults where it does not exist."""
        ...

    def insert(self, workspace: Workspace) -> None: ...
    def save(self, workspace: Workspace) -> None: ...
    def all(self) -> list[Workspace]: ...


class IdentityWork(Work, Protocol):
    """A work that knows keys and workspaces."""

    @property
    def events(self) -> EventLog: ...
    @property
    def keys(self) -> KeyStore: ...
    @property
    def workspaces(self) -> WorkspaceStore: ...
