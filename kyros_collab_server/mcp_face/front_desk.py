"""The first to see every message: who it is from, and whether what it asks for exists."""

import logging
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.streamable_http import REQUEST_CANCELLED
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS
from pydantic import ValidationError

from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.kernel.ids import new_request_id
from kyros_collab_server.mcp_face.caller import CALLER, Callers
from kyros_collab_server.mcp_face.listing import Listing
from kyros_collab_server.mcp_face.tool_errors import Incident, protocol_error

log = logging.getLogger(__name__)

DEPARTURE = "kyros.departure"
"""Where the endpoint leaves the departure of an HTTP caller in an ASGI scope."""
_OPEN_TO_ALL = {"initialize", "ping", "server/discover", "logging/setLevel"}
_LISTS = {"tools/list", "resources/list", "resources/templates/list", "prompts/list"}


class Departure:
    """Tells a running call that its caller has left, on the leg where the SDK does not."""

    def __init__(self) -> None:
        self._left = False
        self._calls: set[anyio.CancelScope] = set()

    def leave(self) -> None:
        """The caller has left: calls that run are cancelled, later ones at once."""
        self._left = True
        for scope in self._calls:
            scope.cancel()

    def enter(self, scope: anyio.CancelScope) -> None:
        """A call runs under this scope."""
        self._calls.add(scope)
        if self._left:
            scope.cancel()


class FrontDesk:
    """Middleware of the SDK: refuses unknown tools and cursors, names the caller, hides crashes."""

    def __init__(self, listing: Listing, callers: Callers) -> None:
        self._listing = listing
        self._callers = callers

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Let the message through to its place, with its caller known."""
        if ctx.request_id is None or ctx.method in _OPEN_TO_ALL:
            return await call_next(ctx)
        if ctx.method in _LISTS and (ctx.params or {}).get("cursor") is not None:
            raise MCPError(INVALID_PARAMS, "There is one page only", data={"field": "cursor"})
        try:
            caller = await self._callers(ctx)
        except KyrosError as refusal:
            raise protocol_error(refusal, new_request_id()) from None
        token = CALLER.set(caller)
        try:
            return await self._served(ctx, call_next)
        except (MCPError, ValidationError):
            raise
        except Exception:
            # The handshake leg would send the exception's own text.
            incident = Incident()
            extra = {"method": ctx.method, "incident": incident.incident_id}
            log.exception("message_crashed", extra=extra)
            raise protocol_error(incident, caller.principal.request_id) from None
        finally:
            CALLER.reset(token)

    async def _served(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        if ctx.method != "tools/call":
            return await call_next(ctx)
        self._refuse_unknown_tool(ctx)
        departure = ctx.request.scope.get(DEPARTURE) if ctx.request is not None else None
        if departure is None:
            return await call_next(ctx)
        with anyio.CancelScope() as scope:
            departure.enter(scope)
            return await call_next(ctx)
        raise MCPError(REQUEST_CANCELLED, "The caller has left")

    def _refuse_unknown_tool(self, ctx: ServerRequestContext[Any, Any]) -> None:
        """Row 3: the SDK answers an unknown tool as a tool's own error."""
        if not self._listing.knows((ctx.params or {}).get("name"), ctx):
            allowed = list(self._listing.offered)
            raise MCPError(INVALID_PARAMS, "Unknown tool", data={"allowed": allowed})
