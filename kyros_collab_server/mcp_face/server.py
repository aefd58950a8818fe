"""Assembles the MCP face: the server, and its routes for the HTTP application."""

import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import urlsplit

from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.transport_security import RequestBodyLimitMiddleware, TransportSecuritySettings
from mcp_types import (
    CompleteRequestParams,
    GetPromptRequestParams,
    ReadResourceRequestParams,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kyros_collab_server.application import Kyros
from kyros_collab_server.kernel.principal import Scope as Right
from kyros_collab_server.mcp_face import sdk_gaps
from kyros_collab_server.mcp_face.caller import Callers, http_caller
from kyros_collab_server.mcp_face.catalog import agents, board, events, leases, messages, tasks
from kyros_collab_server.mcp_face.catalog.resources import RESOURCES
from kyros_collab_server.mcp_face.completion import Completions
from kyros_collab_server.mcp_face.conformance.fixtures import Fixtures
from kyros_collab_server.mcp_face.conformance.shim import KeyAdding
from kyros_collab_server.mcp_face.endpoint import Endpoint
from kyros_collab_server.mcp_face.extensions.skills.serving import Skills
from kyros_collab_server.mcp_face.front_desk import FrontDesk
from kyros_collab_server.mcp_face.gate import LEAST_SCOPE, Gate, OriginGuard, ScopesNeeded
from kyros_collab_server.mcp_face.listening import Listening
from kyros_collab_server.mcp_face.listing import Listing
from kyros_collab_server.mcp_face.prompts import PROMPTS, Prompts
from kyros_collab_server.mcp_face.reading import Reading
from kyros_collab_server.mcp_face.reserved import ReservedTool
from kyros_collab_server.mcp_face.subscriptions import Subscriptions
from kyros_collab_server.mcp_face.toolbox import KyrosTool, ToolSpec
from kyros_collab_server.settings import Settings

PATH = "/mcp"
FixturesOn = Callable[[Subscriptions], Fixtures]
WELL_KNOWN = "/.well-known/oauth-protected-resource"
CATALOG: tuple[ToolSpec, ...] = (
    *tasks.TOOLS,
    *leases.TOOLS,
    *events.TOOLS,
    *messages.TOOLS,
    *board.TOOLS,
    *agents.TOOLS,
)
"""Every tool, in the order in which they are listed."""


@dataclass(frozen=True)
class McpMount:
    """What the host application takes in: routes, and a lifespan that it enters."""

    routes: list[BaseRoute]
    lifespan: Callable[[], AbstractAsyncContextManager[None]]
    close: Callable[[], None]
    """Ends the open streams gracefully; called when the server is about to go."""


def instructions() -> str:
    """How to work with the board, as every client is told at its start."""
    return files("kyros_collab_server.mcp_face").joinpath("instructions.md").read_text().strip()


@dataclass(frozen=True)
class Face:
    """A fresh server and what the transports need of it."""

    server: MCPServer
    reading: Reading
    listing: Listing
    subscriptions: Subscriptions
    fixtures: Fixtures


def new_face(
    kyros: Kyros,
    settings: Settings,
    callers: Callers,
    *,
    sessions: bool,
    fixtures_on: FixturesOn | None = None,
) -> Face:
    """A fresh server: the catalogue, the resources, and the front desk before them.

    With `sessions` handshake clients can subscribe to resources; without, they have nowhere to be
    told of a change.
    """
    subscriptions = Subscriptions(kyros)
    fixtures = fixtures_on(subscriptions) if fixtures_on is not None else Fixtures()
    skills = Skills()
    listing = Listing(CATALOG, settings, [tool.listed for tool in fixtures.tools])
    reading = Reading(kyros, (*RESOURCES, *skills.specs, *fixtures.resources))
    prompts = Prompts((*PROMPTS, *fixtures.prompts))
    listening = Listening(subscriptions, reading)
    server = sdk_gaps.new_server(
        version=kyros.version,
        instructions=instructions(),
        tools=[
            *(KyrosTool.of(spec, kyros) for spec in listing.offered.values()),
            *(ReservedTool.of(name) for name in listing.reserved),
            *fixtures.tools,
        ],
        middleware=[FrontDesk(listing, callers)],
        extensions=[skills],
        state_keys=state_keys(settings.secret),
    )
    if fixtures.tools:
        sdk_gaps.mirror_arguments_of(server, fixtures.schema_of)
    sdk_gaps.answer_lists_with(
        server,
        {
            "tools/list": listing,
            "resources/list": reading.resources,
            "resources/templates/list": reading.templates,
            "prompts/list": prompts.list,
        },
    )
    answers: dict[str, tuple[type[BaseModel], sdk_gaps.Answer]] = {
        "resources/read": (ReadResourceRequestParams, reading.read),
        "prompts/get": (GetPromptRequestParams, prompts.get),
        "completion/complete": (
            CompleteRequestParams,
            Completions(kyros, prompts, reading).complete,
        ),
        "subscriptions/listen": (SubscriptionsListenRequestParams, listening.listen),
    }
    if sessions:
        answers["resources/subscribe"] = (SubscribeRequestParams, listening.subscribe)
        answers["resources/unsubscribe"] = (UnsubscribeRequestParams, listening.unsubscribe)
        sdk_gaps.tell_of_changes(sdk_gaps.lowlevel(server))
    for method, (params, answer) in answers.items():
        sdk_gaps.answer_with(server, method, params, answer)
    return Face(server, reading, listing, subscriptions, fixtures)


def state_keys(secret: str) -> list[bytes]:
    """The key that seals request state on every replica, derived by HKDF (RFC 5869).

    None without a secret: then the key is this process's own.
    """
    if not secret:
        return []
    extracted = hmac.digest(b"kyros", secret.encode(), "sha256")
    return [hmac.digest(extracted, b"mcp request state\x01", "sha256")]


def build_mcp(
    kyros: Kyros,
    settings: Settings,
    *,
    public_url: str,
    allowed_hosts: list[str],
    allowed_origins: list[str],
    fixtures_on: FixturesOn | None = None,
    keys: Sequence[str] = (),
) -> McpMount:
    """The MCP endpoint at `/mcp` and its protected-resource metadata, ready to be mounted.

    Under `--conformance` there are fixtures, and `keys` for requests that carry none.
    """
    stateless = settings.mcp_handshake == "stateless" or (
        settings.mcp_handshake == "auto" and bool(settings.database_url)
    )
    face = new_face(kyros, settings, http_caller, sessions=not stateless, fixtures_on=fixtures_on)
    sessions = sdk_gaps.Sessions(
        sdk_gaps.lowlevel(face.server),
        TransportSecuritySettings(allowed_hosts=allowed_hosts, allowed_origins=allowed_origins),
        stateless=stateless,
        body=settings.body_limit_bytes,
    )
    resource = public_url.rstrip("/") + PATH
    metadata_path = WELL_KNOWN + urlsplit(resource).path
    gate = Gate(
        AuthContextMiddleware(
            Endpoint(sessions, face.subscriptions.closing, face.fixtures.streaming)
        ),
        kyros,
        resource=resource,
        metadata_url=public_url.rstrip("/") + metadata_path,
        calls_per_second=settings.calls_per_second,
        scopes_needed=_scopes_needed(face.listing, face.reading),
    )
    endpoint = _bounded(gate, settings, allowed_hosts, allowed_origins)
    if keys:
        endpoint = KeyAdding(endpoint, list(keys))
    metadata = _bounded(Metadata(resource), settings, allowed_hosts, allowed_origins)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with sessions.run(), face.subscriptions.running():
            yield

    return McpMount(
        routes=[
            Route(PATH, endpoint),
            Route(f"{PATH}/readonly", ReadOnly(endpoint)),
            Route(f"{PATH}/x/{{toolsets}}", endpoint),
            Route(f"{PATH}/x/{{toolsets}}/readonly", ReadOnly(endpoint)),
            Route(metadata_path, metadata),
        ],
        lifespan=lifespan,
        close=face.subscriptions.close,
    )


class ReadOnly:
    """The same endpoint without tools that change anything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path_params"] = {**scope.get("path_params", {}), "readonly": True}
        await self._app(scope, receive, send)


class Metadata:
    """RFC 9728: which resource this is and how to authenticate; the same for every caller."""

    def __init__(self, resource: str) -> None:
        self._answer = JSONResponse(
            {
                "resource": resource,
                "resource_name": "Kyros",
                "scopes_supported": [LEAST_SCOPE],
                "bearer_methods_supported": ["header"],
            },
            headers={"cache-control": "public, max-age=3600"},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            await self._answer(scope, receive, send)
        else:
            await Response(status_code=405, headers={"Allow": "GET"})(scope, receive, send)


def _bounded(
    app: ASGIApp, settings: Settings, allowed_hosts: list[str], allowed_origins: list[str]
) -> ASGIApp:
    guarded = OriginGuard(app, allowed_hosts, allowed_origins)
    return RequestBodyLimitMiddleware(guarded, settings.body_limit_bytes)


def _scopes_needed(listing: Listing, reading: Reading) -> ScopesNeeded:
    nothing: frozenset[Right] = frozenset()

    def needed(method: str, name: str) -> frozenset[Right]:
        if method == "tools/call":
            spec = listing.offered.get(name)
            return nothing if spec is None else spec.scopes
        if method == "resources/read" and (found := reading.find(name)) is not None:
            return found[0].scopes
        return nothing

    return needed
