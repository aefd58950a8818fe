"""`kyros stdio` with `KYROS_URL`: stdin and stdout joined to a running server.

Whatever the host speaks here, the server is spoken to on the 2026-07-28 wire, with the token of
this process and its agent name.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import BaseModel

from kyros_collab_server.kernel.errors import Unauthenticated
from kyros_collab_server.mcp_face.bridge_forwards import Forwards
from kyros_collab_server.mcp_face.caller import client_name
from kyros_collab_server.mcp_face.keeper import LeaseKeeper
from kyros_collab_server.mcp_face.pipes import serve_pipes
from kyros_collab_server.mcp_face.sdk_gaps import no_root_log_lines
from kyros_collab_server.mcp_face.server import PATH
from kyros_collab_server.mcp_face.steady import Steady, unreachable
from kyros_collab_server.mcp_face.tool_errors import PROBLEM, spoken
from kyros_collab_server.settings import Settings

log = logging.getLogger(__name__)

R = TypeVar("R", bound=BaseModel)
CONNECT_SECONDS = 10.0
LONGEST_ANSWER_SECONDS = 60.0


async def run_bridge(settings: Settings, *, version: str) -> None:
    """Serve one MCP client on stdin and stdout, each call forwarded to the server.

    Raises:
        ServerUnreachable: nobody answers at `KYROS_URL`, or not as a Kyros server.
        Unauthenticated: the server does not accept `KYROS_TOKEN`.
    """
    timeout = httpx2.Timeout(CONNECT_SECONDS, read=LONGEST_ANSWER_SECONDS)
    async with httpx2.AsyncClient(
        headers=headers_of(settings), timeout=timeout, transport=Steady(settings.url)
    ) as http:
        bridge = Bridge(endpoint_of(settings.url), http)
        await bridge.discover()
        server = bridge.server(version)
        keeper = LeaseKeeper(RemoteHoldings(bridge))
        server.middleware.append(keeper)
        async with anyio.create_task_group() as group:
            bridge.group = group
            await serve_pipes(server, keeper.run)
            group.cancel_scope.cancel()


def headers_of(settings: Settings) -> dict[str, str]:
    """What tells the server who calls."""
    headers = {}
    if settings.token:
        headers["Authorization"] = f"Bearer {settings.token}"
    if settings.agent:
        headers["X-Kyros-Agent"] = settings.agent
    if settings.workspace:
        headers["X-Kyros-Workspace"] = settings.workspace
    if settings.toolsets != "core":
        headers["X-MCP-Toolsets"] = settings.toolsets
    if settings.read_only:
        headers["X-MCP-Readonly"] = "true"
    return headers


def endpoint_of(url: str) -> str:
    """The MCP endpoint of a server's URL, whether or not it is named already."""
    base = url.rstrip("/")
    return base if base.endswith(PATH) or f"{PATH}/" in base else base + PATH


class Bridge:
    """One connection to the server for each name that the host's client gives itself."""

    group: anyio.abc.TaskGroup

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self._url = url
        self._http = http
        self._discovered: types.DiscoverResult | None = None
        self._clients: dict[str, Client] = {}
        self._connecting = anyio.Lock()

    async def discover(self) -> None:
        """Learn what the server says of itself, and that it lets this process in.

        Raises:
            ServerUnreachable: nobody answers, or not as a Kyros server.
            Unauthenticated: the server does not accept the token.
        """
        envelope = {
            types.PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION,
            types.CLIENT_CAPABILITIES_META_KEY: {},
        }
        method = "server/discover"
        response = await self._http.post(
            self._url,
            json={"jsonrpc": "2.0", "id": 0, "method": method, "params": {"_meta": envelope}},
            headers={
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": LATEST_MODERN_VERSION,
                "Mcp-Method": method,
            },
        )
        try:
            answer = response.json()
            if response.status_code in (401, 403):
                message = str(answer["error"]["message"])
                raise Unauthenticated(message, fix="Set KYROS_TOKEN to a valid key.")
            self._discovered = types.DiscoverResult.model_validate(answer["result"])
        except (ValueError, KeyError, TypeError):
            raise unreachable(self._url, f"HTTP {response.status_code}") from None

    def server(self, version: str) -> Server[Any]:
        """The server that the host sees: it forwards, and knows nothing itself."""
        with no_root_log_lines():
            server = Server[Any](
                "kyros",
                version=version,
                title="Kyros",
                instructions=self._discovered.instructions if self._discovered else None,
                on_list_tools=self._list(types.ListToolsRequest, types.ListToolsResult),
                on_list_resources=self._list(types.ListResourcesRequest, types.ListResourcesResult),
                on_list_resource_templates=self._list(
                    types.ListResourceTemplatesRequest, types.ListResourceTemplatesResult
                ),
                on_list_prompts=self._list(types.ListPromptsRequest, types.ListPromptsResult),
                on_call_tool=self._call_tool,
                on_read_resource=self._read_resource,
            )
        Forwards(server, self._client_of, lambda: self.group)
        if self._discovered and self._discovered.capabilities.extensions:
            server.extensions.update(self._discovered.capabilities.extensions)
        return server

    def _list(
        self, request: Callable[..., Any], result: type[R]
    ) -> Callable[[ServerRequestContext[Any, Any], Any], Awaitable[R]]:
        async def forward(
            message: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams | None
        ) -> R:
            cursor = params.cursor if params is not None else None
            asked = request(params=types.PaginatedRequestParams(cursor=cursor))
            return await self._forwarded(message, asked, result)

        return forward

    async def _call_tool(
        self, message: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        asked = types.CallToolRequest(
            params=types.CallToolRequestParams(name=params.name, arguments=params.arguments)
        )
        try:
            return await self._forwarded(message, asked, types.CallToolResult)
        except MCPError as error:
            # What the server's gate refuses is for the model, too: it can wait, or say why.
            problem = error.data.get(PROBLEM) if isinstance(error.data, dict) else None
            if problem is None:
                raise
            return spoken(problem)

    async def _read_resource(
        self, message: ServerRequestContext[Any, Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        asked = types.ReadResourceRequest(params=types.ReadResourceRequestParams(uri=params.uri))
        return await self._forwarded(message, asked, types.ReadResourceResult)

    async def _forwarded(
        self, message: ServerRequestContext[Any, Any], asked: Any, result: type[R]
    ) -> R:
        client = await self._client_of(message)
        return await client.session.send_request(asked, result)

    async def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """The structured answer of a tool, asked for by this process itself; None when refused."""
        if not self._clients:
            return None
        asked = types.CallToolRequest(
            params=types.CallToolRequestParams(name=name, arguments=arguments)
        )
        client = next(iter(self._clients.values()))
        try:
            answer = await client.session.send_request(asked, types.CallToolResult)
        except MCPError as error:
            log.warning("server_not_asked", extra={"tool": name, "code": error.code})
            return None
        return None if answer.is_error else answer.structured_content

    async def _client_of(self, message: ServerRequestContext[Any, Any]) -> Client:
        """The connection under the name of the host's client."""
        return await self._client_for(client_name(message) or "kyros-stdio")

    async def _client_for(self, name: str) -> Client:
        async with self._connecting:
            if name not in self._clients:
                self._clients[name] = await self.group.start(self._hold, name)
            return self._clients[name]

    async def _hold(
        self, name: str, *, task_status: anyio.abc.TaskStatus[Client] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        async with self._client(name, self._discovered) as client:
            task_status.started(client)
            await anyio.sleep_forever()

    def _client(self, name: str, discovered: types.DiscoverResult | None) -> Client:
        return Client(
            streamable_http_client(self._url, http_client=self._http),
            mode=LATEST_MODERN_VERSION,
            prior_discover=discovered,
            client_info=types.Implementation(name=name, version="0"),
            cache=None,
        )


class RemoteHoldings:
    """What the caller of this process holds on the server."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def shortest_ttl(self) -> float | None:
        """The shortest TTL in seconds of what is held; None when nothing is."""
        me = await self._bridge.call("whoami", {})
        if me is None or not me.get("holding") or "agent" not in me:
            return None
        held = await self._bridge.call("lease_list", {"holder": f"agent:{me['agent']}"})
        return min((lease["ttl_seconds"] for lease in (held or {}).get("leases", [])), default=None)

    async def renew(self) -> None:
        """Everything that is held lives a full TTL longer; what is lost is logged."""
        renewed = await self._bridge.call("lease_renew", {})
        for lost in (renewed or {}).get("lost", []):
            log.warning("lease_lost", extra={"lock_id": lost.get("lock_id")})
