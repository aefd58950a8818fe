"""The HTTP application: the route table, the middleware, and what they stand on."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from http_api.caller import Callers
from http_api.endpoint import Dispatch, Endpoint
from http_api.face import Face
from http_api.metrics import Metrics
from http_api.middleware import Front
from http_api.openapi import document
from http_api.recent import Recent
from http_api.reply import json_bytes
from http_api.ring import Rings
from http_api.routes import (
    agents,
    console,
    docs,
    events,
    health,
    identity,
    leases,
    messages,
    state,
    tail,
    tasks,
)
from http_api.sse import StreamSlots
from kyros_collab_server.application import Kyros
from kyros_collab_server.settings import Settings

ENDPOINTS: list[Endpoint] = [
    *state.ENDPOINTS,
    *leases.ENDPOINTS,
    *events.ENDPOINTS,
    *tail.ENDPOINTS,
    *tasks.ENDPOINTS,
    *agents.ENDPOINTS,
    *messages.ENDPOINTS,
    *identity.ENDPOINTS,
    *health.ENDPOINTS,
]
"""The route table, the busiest first: the router tries them in turn."""


class _Application(Starlette):
    """Starlette with `Front` as its whole stack: it answers what the usual two layers would."""

    front: ASGIApp

    def build_middleware_stack(self) -> ASGIApp:
        return self.front


class McpMount(Protocol):
    """The MCP face as this application mounts it."""

    @property
    def routes(self) -> Sequence[BaseRoute]: ...
    @property
    def lifespan(self) -> Callable[[], AbstractAsyncContextManager[None]]: ...


def build_app(kyros: Kyros, settings: Settings, *, mcp: McpMount | None = None) -> Starlette:
    """An application that serves REST, the tail, the docs and, when given, MCP.

    Its `state.face` holds what the endpoints stand on; `state.face.rings.close()` ends the open
    streams (`serving.py` does so before it waits for them).
    """
    metrics = Metrics()
    recent = Recent()
    kyros.feed.listen(recent.heard)
    face = Face(
        kyros=kyros,
        settings=settings,
        callers=Callers(kyros, settings.calls_per_second),
        rings=Rings(kyros),
        slots=StreamSlots(settings.streams_per_principal),
        metrics=metrics,
        recent=recent,
    )
    described = json_bytes(document(ENDPOINTS, kyros.version))
    pages = [*docs.docs_endpoints(described), *console.console_endpoints()]
    routes = routes_of(face, [*ENDPOINTS, *pages])

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            if mcp is None:
                yield
            else:
                async with mcp.lifespan():
                    yield
        finally:
            face.rings.close()

    app = _Application(
        routes=[*routes, *(mcp.routes if mcp is not None else ())], lifespan=lifespan
    )
    app.front = Front(app.router, settings, metrics)
    app.router.redirect_slashes = False
    app.state.face = face
    return app


def routes_of(face: Face, endpoints: Sequence[Endpoint]) -> list[Route]:
    """One route for each path, so that a wrong method is told all the right ones."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    routes: list[Route] = []
    for path, methods in by_path.items():
        dispatch = Dispatch(face, methods)
        routes.append(Route(path, dispatch, methods=dispatch.methods, name=path))
    return routes
