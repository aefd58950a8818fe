"""Which tools a caller is shown, and which there are at all for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types import ListToolsResult, PaginatedRequestParams, Tool
from starlette.requests import Request

from kyros_collab_server.kernel.errors import Invalid
from kyros_collab_server.kernel.principal import Scope
from kyros_collab_server.mcp_face.caller import CALLER
from kyros_collab_server.mcp_face.reserved import RESERVED
from kyros_collab_server.mcp_face.tool_errors import protocol_error
from kyros_collab_server.mcp_face.toolbox import ToolSpec
from kyros_collab_server.settings import Settings

TOOLSETS = ("core", "team", "jobs", "usage")
TOOLS_TTL_MS = 300_000
_YES = {"1", "true", "yes", "on"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a caller asked to be shown; `read_only` also takes every other tool away."""

    toolsets: frozenset[str]
    read_only: bool
    with_output: bool


class Listing:
    """The catalogue in its fixed order, seen through shapes and scopes."""

    def __init__(
        self, specs: tuple[ToolSpec, ...], settings: Settings, more: Sequence[Tool] = ()
    ) -> None:
        """`more` are fixtures: everybody sees them, and they change nothing of the board."""
        self._more = {tool.name: tool for tool in more}
        excluded = _names(settings.exclude_tools)
        self.offered = {
            spec.name: spec
            for spec in specs
            if spec.name not in excluded and (spec.read_only or not settings.read_only)
        }
        self.reserved = {
            name: hints
            for name, hints in RESERVED.items()
            if name not in excluded and ("R" in hints or not settings.read_only)
        }
        self._default = Shape(toolsets_of(settings.toolsets), settings.read_only, False)
        self._page = lru_cache(maxsize=64)(self._build)

    def shape(self, message: ServerRequestContext[Any, Any]) -> Shape:
        """What this message's headers and path ask for, else what the operator set.

        Raises:
            Invalid: a toolset that does not exist.
        """
        request = message.request
        if request is None:
            return self._default
        wanted = request.path_params.get("toolsets") or request.headers.get("x-mcp-toolsets")
        return Shape(
            toolsets_of(wanted) if wanted else self._default.toolsets,
            self._default.read_only or _asks_for_reading_only(request),
            _is_yes(request.headers.get("x-mcp-output-schemas")),
        )

    def find(self, name: Any, message: ServerRequestContext[Any, Any]) -> ToolSpec | None:
        """The tool of this name that this message may know of, listed or not."""
        spec = self.offered.get(name) if isinstance(name, str) else None
        if spec is None or spec.read_only or message.request is None:
            return spec
        return None if _asks_for_reading_only(message.request) else spec

    async def __call__(
        self, message: ServerRequestContext[Any, Any], params: PaginatedRequestParams
    ) -> ListToolsResult:
        """Answer `tools/list` for the caller of this message."""
        principal = CALLER.get().principal
        try:
            shape = self.shape(message)
        except Invalid as refusal:
            raise protocol_error(refusal, principal.request_id) from None
        return self._page(shape, principal.scopes)

    def knows(self, name: Any, message: ServerRequestContext[Any, Any]) -> bool:
        """True when there is such a tool for this message, if only to be refused."""
        if not isinstance(name, str):
            return False
        if name in self.reserved:
            closed = message.request is not None and _asks_for_reading_only(message.request)
            return not closed or "R" in self.reserved[name]
        return name in self._more or self.find(name, message) is not None

    def _build(self, shape: Shape, scopes: frozenset[Scope]) -> ListToolsResult:
        tools = [
            spec.listed(with_output=shape.with_output)
            for spec in self.offered.values()
            if spec.toolset in shape.toolsets
            and spec.scopes <= scopes
            and (spec.read_only or not shape.read_only)
        ]
        tools += self._more.values()
        return ListToolsResult(tools=tools, ttl_ms=TOOLS_TTL_MS, cache_scope="private")


def toolsets_of(text: str) -> frozenset[str]:
    """The toolsets that a comma-separated list names; `all` names every one.

    Raises:
        Invalid: one of them does not exist.
    """
    names = _names(text)
    if "all" in names:
        return frozenset(TOOLSETS)
    if not names <= frozenset(TOOLSETS):
        raise Invalid("toolsets", "names a toolset that does not exist", allowed=[*TOOLSETS, "all"])
    return names or frozenset({"core"})


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _asks_for_reading_only(request: Request) -> bool:
    asked = _is_yes(request.headers.get("x-mcp-readonly"))
    return asked or bool(request.path_params.get("readonly", False))


def _is_yes(value: str | None) -> bool:
    return value is not None and value.strip().lower() in _YES
