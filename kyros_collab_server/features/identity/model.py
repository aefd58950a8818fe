"""Identity: workspaces, their settings, and the keys that principals call with."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kyros_collab_server.kernel.ids import AgentName, WorkspaceName
from kyros_collab_server.kernel.principal import Role, Scope

DEFAULT_WORKSPACE = "default"
KEY_PREFIX = "ky"
"""A key reads `ky_<key id>_<secret>`; only the SHA-256 of the whole is stored."""


class WorkspaceSettings(BaseModel):
    """What an admin may tune in a workspace."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    independent_review: bool = True
    """`approved` needs a reviewer other than the assignee."""
    max_attempts: Annotated[int, Field(ge=1, le=100, strict=True)] = 3
    """Reclaims of a task's lease before the task needs a person's attention."""
    ageing_seconds: Annotated[int, Field(ge=1, le=86_400, strict=True)] = 600
    """Waiting time after which a ready task counts as one priority class higher."""
    max_quiet_seconds: Annotated[int, Field(ge=60, le=86_400, strict=True)] = 1_800
    """Time without progress after which a renewed lease is flagged; past twice it is reclaimed."""


class Workspace(BaseModel):
    """An isolated board."""

    model_config = ConfigDict(frozen=True)

    id: str
    settings: WorkspaceSettings
    created_at: str
    version: int
    etag: str


class CreateWorkspace(BaseModel):
    """Open a new, empty board."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: WorkspaceName
    settings: WorkspaceSettings = WorkspaceSettings()


class SettingsPatch(BaseModel):
    """The settings to change; absent ones stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    independent_review: bool | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100, strict=True)] | None = None
    ageing_seconds: Annotated[int, Field(ge=1, le=86_400, strict=True)] | None = None
    max_quiet_seconds: Annotated[int, Field(ge=60, le=86_400, strict=True)] | None = None


class UpdateWorkspace(BaseModel):
    """Change a workspace's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: WorkspaceName
    settings: SettingsPatch
    if_match: str | None = None


class ListWorkspaces(BaseModel):
    """Ask for the workspaces that the caller may enter."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkspaceList(BaseModel):
    """Workspaces in order of their names."""

    model_config = ConfigDict(frozen=True)

    data: list[Workspace]
    next_cursor: str | None = None


class Key(BaseModel):
    """An API key, without its secret."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    agent: str | None = None
    scopes: list[Scope]
    workspaces: list[str]
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    last_used_at: str | None = None


class CreateKey(BaseModel):
    """Make a key. Its scopes and workspaces may not exceed the maker's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: AgentName
    agent: AgentName | None = None
    role: Role | None = None
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=16)] | None = None
    workspaces: Annotated[list[WorkspaceName], Field(min_length=1, max_length=64)] | None = None
    expires_in_seconds: Annotated[int, Field(ge=60, le=315_360_000, strict=True)] | None = None


class KeyCreated(Key):
    """A key with its secret, shown this once."""

    key: str


class RevokeKey(BaseModel):
    """End a key; its calls fail within five seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9]+$")]


class ListKeys(BaseModel):
    """Ask for the keys of the caller's workspaces."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KeyList(BaseModel):
    """Keys, newest first."""

    model_config = ConfigDict(frozen=True)

    data: list[Key]
    next_cursor: str | None = None


class WhoAmI(BaseModel):
    """Ask who the server takes the caller for."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Me(BaseModel):
    """The caller as the server sees it."""

    model_config = ConfigDict(frozen=True)

    principal: str
    agent: str | None = None
    user: str | None = None
    actor: str
    workspace: str
    workspaces: list[str]
    scopes: list[Scope]
