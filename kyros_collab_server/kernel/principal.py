"""Who calls: a principal, the scopes it carries, and the name it acts under."""

from dataclasses import dataclass, field
from enum import StrEnum

from kyros_collab_server.kernel.errors import InsufficientScope


class Scope(StrEnum):
    """What an operation may need. Roles are bundles of these."""

    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    LEASES_WRITE = "leases:write"
    EVENTS_WRITE = "events:write"
    AGENTS_WRITE = "agents:write"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    JOBS_RUN = "jobs:run"
    USAGE_READ = "usage:read"
    REVIEW = "review"
    OPERATE = "operate"
    ADMIN = "admin"


class Role(StrEnum):
    """A named bundle of scopes."""

    VIEWER = "viewer"
    AGENT = "agent"
    OPERATOR = "operator"
    ADMIN = "admin"


_VIEWER = frozenset({Scope.TASKS_READ, Scope.JOBS_READ, Scope.USAGE_READ})
_AGENT = _VIEWER | {
    Scope.TASKS_WRITE,
    Scope.LEASES_WRITE,
    Scope.EVENTS_WRITE,
    Scope.AGENTS_WRITE,
    Scope.JOBS_WRITE,
    Scope.REVIEW,
}
ROLE_SCOPES: dict[Role, frozenset[Scope]] = {
    Role.VIEWER: _VIEWER,
    Role.AGENT: _AGENT,
    Role.OPERATOR: _AGENT | {Scope.OPERATE},
    Role.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """One authenticated caller, for one call.

    `id` is stable over key rotation and is what idempotency and self-review compare, together
    with `agent`. `workspace` is the one this call works in; it is always one of `workspaces`
    (`"*"` stands for all). `actor` is how the log names the caller.
    """

    id: str
    scopes: frozenset[Scope]
    workspace: str = "default"
    workspaces: tuple[str, ...] = ("*",)
    agent: str | None = None
    user: str | None = None
    face: str = "internal"
    request_id: str = ""
    trace_id: str | None = None
    client: str | None = field(default=None, compare=False)

    @property
    def actor(self) -> str:
        """`agent:<name>`, `user:<id>` or `system`."""
        if self.agent is not None:
            return f"agent:{self.agent}"
        return f"user:{self.user}" if self.user is not None else "system"

    @property
    def is_operator(self) -> bool:
        """True when the caller may act on what others hold."""
        return Scope.OPERATE in self.scopes

    def may_enter(self, workspace: str) -> bool:
        """True when the credentials are bound to this workspace, or to all."""
        return "*" in self.workspaces or workspace in self.workspaces

    def require(self, scopes: frozenset[Scope]) -> None:
        """Pass when every scope is carried.

        Raises:
            InsufficientScope: names all that the operation needs.
        """
        if not scopes <= self.scopes:
            raise InsufficientScope(sorted(scope.value for scope in scopes))
