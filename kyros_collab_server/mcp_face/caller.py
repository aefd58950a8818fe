"""Who is calling: one answer for every transport, kept for the length of one message."""

import re
import secrets
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from mcp.server.context import ServerRequestContext

from kyros_collab_server.application import Kyros
from kyros_collab_server.kernel.errors import Kind, KyrosError
from kyros_collab_server.kernel.ids import new_request_id
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.settings import Settings

PRINCIPAL = "kyros.principal"
"""Where the gate leaves the principal in an ASGI scope."""
RECHECK = "kyros.recheck"
"""Where the gate leaves what looks at the credentials again."""
Recheck = Callable[[], Awaitable[Principal]]
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal of this message, and whether its agent name was made up for the process.

    `version` is what the client program says of itself.
    """

    principal: Principal
    name_is_made_up: bool = False
    version: str | None = None
    recheck: Recheck | None = field(default=None, repr=False, compare=False)

    async def is_still_valid(self) -> bool:
        """True while the credentials that the message came with stand for the same principal."""
        if self.recheck is None:
            return True
        try:
            principal = await self.recheck()
        except KyrosError as refusal:
            # A store that does not answer takes nobody's credentials away.
            return refusal.kind is Kind.UNAVAILABLE
        mine = self.principal
        return principal.id == mine.id and principal.scopes >= mine.scopes


CALLER: ContextVar[Caller] = ContextVar("kyros_caller")
"""Set around every message by the front desk; resources without a context read it."""


class Callers(Protocol):
    """How a transport knows its caller."""

    async def __call__(self, message: ServerRequestContext[Any, Any]) -> Caller:
        """The caller of this message.

        Raises:
            KyrosError: the credentials are not, or no longer, valid.
        """
        ...


def client_name(message: ServerRequestContext[Any, Any]) -> str | None:
    """What the client program calls itself, bounded; None when it does not say."""
    params = message.session.client_params
    return params.client_info.name[:64] if params is not None else None


def client_version(message: ServerRequestContext[Any, Any]) -> str | None:
    """Which version the client program says it is, bounded; None when it does not say."""
    params = message.session.client_params
    return (params.client_info.version[:32] or None) if params is not None else None


async def http_caller(message: ServerRequestContext[Any, Any]) -> Caller:
    """The principal that the gate authenticated for this very request."""
    scope = message.request.scope  # type: ignore[union-attr]
    principal: Principal = scope[PRINCIPAL]
    name = client_name(message)
    named = principal if name is None else replace(principal, client=name)
    return Caller(named, version=client_version(message), recheck=scope[RECHECK])


class StdioCaller:
    """The one caller of a stdio process: by its token, or by the local store's own trust.

    With a token each message asks again (the door remembers for seconds), so a revoked key stops
    working here as it does everywhere. Without token and name the process takes the client's
    name and six random characters, once.
    """

    def __init__(self, kyros: Kyros, settings: Settings) -> None:
        self._kyros = kyros
        self._token = settings.token
        self._agent = settings.agent or None
        self._workspace = settings.workspace or None
        self._made_up = False
        self.last: Principal | None = None

    async def __call__(self, message: ServerRequestContext[Any, Any]) -> Caller:
        """The caller under a fresh request id."""
        client = client_name(message)
        principal = await self.resolved(client)
        again = partial(self.resolved, client)
        return Caller(principal, self._made_up, client_version(message), again)

    async def resolved(self, client: str | None) -> Principal:
        """The principal of this process, as of now.

        Raises:
            Unauthenticated: the token is not, or no longer, valid.
        """
        request_id = new_request_id()
        if self._token:
            principal = await self._kyros.caller(
                self._token,
                agent=self._agent,
                workspace=self._workspace,
                face="stdio",
                request_id=request_id,
                client=client,
            )
        else:
            if self._agent is None:
                self._agent, self._made_up = made_up_name(client), True
            local = self._kyros.local_caller(
                agent=self._agent, workspace=self._workspace, face="stdio", client=client
            )
            principal = replace(local, request_id=request_id)
        self.last = principal
        return principal


def made_up_name(client: str | None) -> str:
    """`<client name>-<6 random>`, a valid agent name."""
    stem = _NOT_IN_A_NAME.sub("-", client or "").strip("-._")[:48] or "agent"
    return f"{stem}-{secrets.token_hex(3)}"
