"""Admission: from what a caller sends to the principal that it is. Tokens are cached briefly."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import DEFAULT_WORKSPACE
from kyros_collab_server.kernel.errors import Invalid, NotFound, Unauthenticated
from kyros_collab_server.kernel.etag import sha256_hex
from kyros_collab_server.kernel.ids import AgentName, new_request_id
from kyros_collab_server.kernel.principal import ROLE_SCOPES, Principal, Role, Scope

CACHED_SECONDS = 3.0
"""A key revoked by another process fails here after at most this long; by this one, at once."""
CACHED_TOKENS = 10_000
SYSTEM = Principal(id="system", scopes=frozenset())
"""The deployment itself: duties and look-ups, never a caller."""
_AGENT_NAME: TypeAdapter[str] = TypeAdapter(AgentName)
Run = Callable[..., Awaitable[Any]]


class Admission:
    """Turns tokens into principals. `read` and `write` are the store's."""

    def __init__(self, read: Run, write: Run) -> None:
        self._read = read
        self._write = write
        self._records: dict[str, tuple[float, Any, frozenset[Scope]]] = {}
        self._names: tuple[float, frozenset[str]] | None = None

    def forget(self) -> None:
        """The next call of every token is looked up anew."""
        self._records.clear()
        self._names = None

    async def caller(
        self,
        token: str,
        *,
        agent: str | None = None,
        workspace: str | None = None,
        face: str,
        request_id: str = "",
        trace_id: str | None = None,
        client: str | None = None,
    ) -> Principal:
        """The principal that a token stands for, acting under an agent name in a workspace.

        Raises:
            Unauthenticated: unknown, expired or revoked; which of them is not said.
            NotFound: the workspace is unknown, or not one of the key's.
            Invalid: the agent name breaks its rule.
        """
        record, scopes = await self._record_of(token)
        workspaces: tuple[str, ...] = record.workspaces
        first = workspaces[0] if workspaces[0] != "*" else DEFAULT_WORKSPACE
        chosen = workspace or first
        if not ("*" in workspaces or chosen in workspaces):
            raise NotFound("workspace")
        if not self._knows(chosen) and chosen not in await self.workspaces():
            self._names = None
            if chosen not in await self.workspaces():
                raise NotFound("workspace")
        return Principal(
            id=record.principal,
            scopes=scopes,
            workspace=chosen,
            workspaces=workspaces,
            agent=_agent_name(agent) if agent else record.agent or record.name,
            face=face,
            request_id=request_id or new_request_id(),
            trace_id=trace_id,
            client=client,
        )

    def local_caller(
        self,
        *,
        agent: str,
        workspace: str | None = None,
        face: str = "stdio",
        client: str | None = None,
    ) -> Principal:
        """The principal of the local store's own trust: the machine's user, as an agent.

        Raises:
            Invalid: the agent name breaks its rule.
        """
        return Principal(
            id=identity.LOCAL_PRINCIPAL,
            scopes=ROLE_SCOPES[Role.AGENT],
            workspace=workspace or DEFAULT_WORKSPACE,
            agent=_agent_name(agent),
            face=face,
            request_id=new_request_id(),
            client=client,
        )

    def _knows(self, workspace: str) -> bool:
        now = asyncio.get_running_loop().time()
        names = self._names
        return names is not None and now - names[0] < CACHED_SECONDS and workspace in names[1]

    async def workspaces(self) -> frozenset[str]:
        """The names of all workspaces, as of a few seconds ago at most."""
        now = asyncio.get_running_loop().time()
        if self._names is None or now - self._names[0] >= CACHED_SECONDS:
            names = await self._read(SYSTEM, identity.workspace_names)
            self._names = (now, frozenset(names))
        return self._names[1]

    async def _record_of(self, token: str) -> tuple[Any, frozenset[Scope]]:
        if not token.isascii():
            raise _not_valid()
        digest = sha256_hex(token)
        now = asyncio.get_running_loop().time()
        cached = self._records.get(digest)
        if cached is not None and now - cached[0] < CACHED_SECONDS:
            return cached[1], cached[2]
        record = await self._read(SYSTEM, lambda work: identity.admitted(work, token))
        if record is None:
            self._records.pop(digest, None)
            raise _not_valid()
        if len(self._records) >= CACHED_TOKENS:
            self._records.clear()
        scopes = frozenset(Scope(scope) for scope in record.scopes)
        self._records[digest] = (now, record, scopes)
        if await self._read(SYSTEM, lambda work: identity.use_is_due(work, record)):
            await self._write(SYSTEM, lambda work: identity.used(work, record.id))
        return record, scopes


def _not_valid() -> Unauthenticated:
    return Unauthenticated("The credentials are not valid.", fix="Ask an admin for a key.")


def _agent_name(name: str) -> str:
    try:
        return _AGENT_NAME.validate_python(name)
    except ValidationError:
        raise Invalid("agent", "is not an agent name", allowed="A-Z a-z 0-9 . _ -") from None
