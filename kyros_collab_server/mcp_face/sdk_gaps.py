"""What SDK 2.3 leaves open, closed in one place. The numbers are the rows of the gap table.

Everything here touches the SDK below its public surface, hence the tight pin on it; each row has
a test in `tests/mcp_face/test_sdk_gaps.py` that fails with its number.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from mcp.server import MCPServer
from mcp.server._otel import OpenTelemetryMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.connection import Connection
from mcp.server.context import ServerMiddleware, ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.mcpserver.tools import Tool
from mcp.server.request_state import RequestStateSecurity
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import EmptyResult, PaginatedRequestParams, SetLevelRequestParams
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from opentelemetry import trace
from pydantic import BaseModel

MAX_SESSIONS = 2_000
SESSIONS_PER_PRINCIPAL = 32
HANDSHAKE_VERSIONS = frozenset(version.encode() for version in HANDSHAKE_PROTOCOL_VERSIONS)

JSON_MODE: ContextVar[bool] = ContextVar("kyros_mcp_json_mode", default=False)
"""Whether this request is answered as one JSON body, or as a stream that notices a departure."""

Answer = Callable[[ServerRequestContext[Any, Any], Any], Awaitable[Any]]


@contextmanager
def no_root_log_lines() -> Iterator[None]:
    """Row 18: the SDK's constructor gives the root logger a handler when it has none."""
    root = logging.getLogger()
    if root.handlers:
        yield
        return
    guard = logging.NullHandler()
    level = root.level
    root.addHandler(guard)
    try:
        yield
    finally:
        root.removeHandler(guard)
        root.setLevel(level)


def new_server(
    *,
    version: str,
    instructions: str,
    tools: Sequence[Tool],
    middleware: Sequence[ServerMiddleware[Any]],
    extensions: Sequence[Extension] = (),
    state_keys: Sequence[bytes] = (),
) -> MCPServer[Any]:
    """A server with our tools and nothing of the SDK's own that we do not want.

    Rows 8 and 14: the SDK's `subscriptions/listen` is not served, ours is. Row 11: only name, title
    and version ride in every result.
    """
    with no_root_log_lines():
        server: MCPServer[Any] = MCPServer(
            "kyros",
            title="Kyros",
            version=version,
            instructions=instructions,
            tools=list(tools),
            middleware=list(middleware),
            extensions=list(extensions),
            request_state_security=(
                RequestStateSecurity(keys=list(state_keys)) if state_keys else None
            ),
            subscriptions=False,
        )
    low = lowlevel(server)
    _drop_idle_spans(low)
    # None of our tools mirrors arguments into headers: spare a walk over the schema at each call.
    mirror_arguments_of(server, lambda name: None)
    low.add_request_handler("logging/setLevel", SetLevelRequestParams, _level_is_noted)
    return server


def lowlevel(server: MCPServer[Any]) -> Server[Any]:
    """Row 16: the one place that reaches for the server below."""
    return server._lowlevel_server  # noqa: SLF001


def answer_with(
    server: MCPServer[Any], method: str, params: type[BaseModel], answer: Answer
) -> None:
    """This method is answered by ours instead of the SDK's."""
    lowlevel(server).add_request_handler(method, params, answer)


def mirror_arguments_of(
    server: MCPServer[Any], schema_of: Callable[[str], dict[str, Any] | None]
) -> None:
    """Arguments that these schemas mirror into headers are held against them."""
    lowlevel(server).get_tool_input_schema = schema_of


def connection_of(message: ServerRequestContext[Any, Any]) -> Connection:
    """Row 1: the connection behind a message, where subscriptions of a session live."""
    return message.session._connection  # noqa: SLF001


def tell_of_changes(low: Server[Any]) -> None:
    """Row 2: handshake clients are told that lists and resources have notices of their changes."""
    changes = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
    plain = low.create_initialization_options
    low.create_initialization_options = partial(plain, changes)  # type: ignore[method-assign]


def answer_lists_with(server: MCPServer[Any], lists: dict[str, Answer]) -> None:
    """Row 7: the lists are one page each, and ours."""
    for method, answer in lists.items():
        answer_with(server, method, PaginatedRequestParams, answer)


def _drop_idle_spans(low: Server[Any]) -> None:
    """Row 21: spans that nobody exports cost a tenth of every call."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        low.middleware[:] = [
            one for one in low.middleware if not isinstance(one, OpenTelemetryMiddleware)
        ]


async def _level_is_noted(
    message: ServerRequestContext[Any, Any],  # noqa: ARG001
    params: SetLevelRequestParams,  # noqa: ARG001
) -> EmptyResult:
    """Row 1, the part of logging: any level is fine, since no log line is ever sent."""
    return EmptyResult()


class Sessions(StreamableHTTPSessionManager):
    """The SDK's sessions with two changes.

    JSON or stream is decided for each request (`JSON_MODE`), and row 22: a principal holds at
    most `SESSIONS_PER_PRINCIPAL` handshake sessions, within `MAX_SESSIONS` for all.
    """

    def __init__(
        self, low: Server[Any], security: TransportSecuritySettings, *, stateless: bool, body: int
    ) -> None:
        super().__init__(
            low,
            stateless=stateless,
            security_settings=security,
            max_request_body_size=body,
            max_sessions=MAX_SESSIONS,
        )

    @property
    def json_response(self) -> bool:
        """What was decided for the request at hand."""
        return JSON_MODE.get()

    @json_response.setter
    def json_response(self, value: bool) -> None:
        """The SDK's constructor sets it; what it sets is not used."""

    def _admit_session(
        self, requestor: AuthorizationContext | None
    ) -> StreamableHTTPServerTransport | None:
        if requestor is not None:
            held = Counter(owner["client_id"] for owner in self._session_owners.values())
            if held[requestor["client_id"]] >= SESSIONS_PER_PRINCIPAL:
                return None
        return super()._admit_session(requestor)
