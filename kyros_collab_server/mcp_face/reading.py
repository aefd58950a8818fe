"""Resources on the wire: the lists, and reading one by its URI."""

import base64
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.uri_template import UriTemplate
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from kyros_collab_server.application import Kyros
from kyros_collab_server.kernel.errors import KyrosError, NotFound, UnknownField
from kyros_collab_server.mcp_face.caller import CALLER, Caller
from kyros_collab_server.mcp_face.catalog.resources import ResourceSpec, Variables
from kyros_collab_server.mcp_face.tool_errors import protocol_error
from kyros_collab_server.mcp_face.toolbox import Call

MAX_URI = 2_048
TEMPLATES_TTL_MS = 300_000


class Reading:
    """The fixed list of resources, and the way to each through the door."""

    def __init__(self, kyros: Kyros, specs: Iterable[ResourceSpec]) -> None:
        self._kyros = kyros
        self._concrete = {spec.uri: spec for spec in specs if not spec.is_template}
        self._templates = [
            (UriTemplate.parse(spec.uri), spec) for spec in specs if spec.is_template
        ]
        self._resources = ListResourcesResult(
            resources=[
                Resource(
                    uri=spec.uri,
                    name=spec.name,
                    description=spec.description,
                    mime_type=spec.mime_type,
                )
                for spec in self._concrete.values()
                if spec.is_listed
            ],
            ttl_ms=TEMPLATES_TTL_MS,
            cache_scope="public",
        )
        self._listed_templates = ListResourceTemplatesResult(
            resource_templates=[
                ResourceTemplate(
                    uri_template=spec.uri,
                    name=spec.name,
                    description=spec.description,
                    mime_type=spec.mime_type,
                )
                for _, spec in self._templates
            ],
            ttl_ms=TEMPLATES_TTL_MS,
            cache_scope="public",
        )

    async def resources(
        self,
        message: ServerRequestContext[Any, Any],
        params: PaginatedRequestParams,
    ) -> ListResourcesResult:
        """Answer `resources/list`."""
        return self._resources

    async def templates(
        self,
        message: ServerRequestContext[Any, Any],
        params: PaginatedRequestParams,
    ) -> ListResourceTemplatesResult:
        """Answer `resources/templates/list`."""
        return self._listed_templates

    def has_template(self, uri: str) -> bool:
        """True when this is a listed template or resource, as it is written."""
        return uri in self._concrete or any(spec.uri == uri for _, spec in self._templates)

    def find(self, uri: str) -> tuple[ResourceSpec, Variables] | None:
        """The resource of this URI and its variables; a concrete one wins over a template."""
        if spec := self._concrete.get(uri):
            return spec, {}
        if len(uri) > MAX_URI:
            return None
        for template, spec in self._templates:
            if (matched := template.match(uri)) is not None:
                return spec, {name: str(value) for name, value in matched.items()}
        return None

    async def refuse_unreadable(self, uri: str, caller: Caller) -> None:
        """Pass when the caller may read this resource, and it is there.

        Raises:
            KyrosError: it may not, or there is none.
        """
        found = self.find(uri)
        if found is None:
            raise NotFound("resource")
        spec, variables = found
        _refuse_other_variables(uri, spec)
        caller.principal.require(spec.scopes)
        if spec.probe is not None:
            await spec.probe(Call(self._kyros, caller, None), variables)

    async def read(
        self, message: ServerRequestContext[Any, Any], params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        """Answer `resources/read` from the caller's workspace."""
        caller = CALLER.get()
        uri = params.uri
        request_id = caller.principal.request_id
        found = self.find(uri)
        if found is None:
            raise MCPError(INVALID_PARAMS, "Resource not found", data={"uri": uri[:MAX_URI]})
        spec, variables = found
        try:
            _refuse_other_variables(uri, spec)
            read = await spec.read(Call(self._kyros, caller, None), variables)
        except KyrosError as refusal:
            raise protocol_error(refusal, request_id, uri=uri) from None
        return ReadResourceResult(
            contents=[_contents(uri, read, spec.mime_type)],
            ttl_ms=spec.ttl_ms,
            cache_scope="public" if spec.ttl_ms else "private",
        )


def _contents(
    uri: str, read: str | bytes, mime_type: str
) -> TextResourceContents | BlobResourceContents:
    if isinstance(read, str):
        return TextResourceContents(uri=uri, text=read, mime_type=mime_type)
    blob = base64.b64encode(read).decode()
    return BlobResourceContents(uri=uri, blob=blob, mime_type=mime_type)


def _refuse_other_variables(uri: str, spec: ResourceSpec) -> None:
    """The SDK ignores query variables that a template does not have; here they are refused."""
    _, _, query = uri.partition("?")
    if not query:
        return
    known = spec.uri.partition("{?")[2].rstrip("}").split(",")
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise UnknownField("uri", known)
