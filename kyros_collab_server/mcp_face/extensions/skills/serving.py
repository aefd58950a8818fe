"""The skill of this package: its entry, its files as resources, and the methods that list them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import decode_header_value
from mcp_types import HEADER_MISMATCH, INVALID_PARAMS, PaginatedRequestParams, RequestParams

from kyros_collab_server.mcp_face.catalog.resources import ResourceSpec, Variables
from kyros_collab_server.mcp_face.toolbox import Call

NAME = "kyros-coordination"
ROOT = f"skill://{NAME}"
MANIFEST = "SKILL.md"
MARKDOWN = "text/markdown"
DIRECTORY = "inode/directory"
CACHED = {"ttlMs": 300_000, "cacheScope": "public"}
"""Row 13: results of extensions get no cache fields from the SDK."""


@dataclass(frozen=True)
class SkillFile:
    """One file of the skill, as it is served."""

    path: str
    text: str

    @property
    def uri(self) -> str:
        """Its resource."""
        return f"{ROOT}/{self.path}"

    @property
    def entry(self) -> dict[str, Any]:
        """Its digest and size, of the bytes that are served."""
        served = self.text.encode()
        digest = hashlib.sha256(served).hexdigest()
        return {"uri": self.uri, "digest": f"sha256:{digest}", "size": len(served)}


class UriParams(RequestParams):
    """What a skill or a directory is asked for by."""

    uri: str


def frontmatter_of(text: str) -> dict[str, str]:
    """The plain `name: value` lines between the first two rules of a manifest."""
    _, head, _ = text.split("---\n", 2)
    return dict(line.split(": ", 1) for line in head.strip().splitlines())


class Skills(Extension):
    """One skill, which tells how to work on the board."""

    identifier = "io.modelcontextprotocol/skills"

    def __init__(self) -> None:
        here = files(__package__).joinpath(NAME)
        self._files = tuple(sorted(_files(here), key=lambda one: (one.path != MANIFEST, one.path)))
        self.frontmatter = frontmatter_of(self._files[0].text)
        self._entry = {
            "uri": self._files[0].uri,
            "frontmatter": self.frontmatter,
            "resources": [one.entry for one in self._files],
        }
        self._directories = _directories(self._files, self.frontmatter)

    def settings(self) -> dict[str, Any]:
        """Directories can be read, too."""
        return {"directoryRead": True}

    def methods(self) -> Sequence[MethodBinding]:
        """The methods of the extension."""
        return (
            MethodBinding("skills/list", PaginatedRequestParams, self._list),
            MethodBinding("skills/get", UriParams, self._get),
            MethodBinding("resources/directory/read", UriParams, self._read_directory),
        )

    @property
    def specs(self) -> tuple[ResourceSpec, ...]:
        """The files as resources; the manifest is listed, it names the others."""
        return tuple(self._spec(one) for one in self._files)

    def _spec(self, one: SkillFile) -> ResourceSpec:
        async def read(call: Call, variables: Variables) -> str:  # noqa: ARG001
            return one.text

        is_manifest = one.path == MANIFEST
        return ResourceSpec(
            one.uri,
            self.frontmatter["name"] if is_manifest else one.path,
            self.frontmatter["description"] if is_manifest else f"Part of the skill {NAME}.",
            read,
            (),
            MARKDOWN,
            is_listed=is_manifest,
            ttl_ms=CACHED["ttlMs"],  # type: ignore[arg-type]
        )

    async def _list(
        self, message: ServerRequestContext[Any, Any], params: PaginatedRequestParams
    ) -> dict[str, Any]:
        if params.cursor is not None:
            raise MCPError(INVALID_PARAMS, "There is one page only", data={"field": "cursor"})
        return {"skills": [self._entry], **CACHED}

    async def _get(
        self, message: ServerRequestContext[Any, Any], params: UriParams
    ) -> dict[str, Any]:
        _refuse_other_name(message, params.uri)
        if params.uri != self._entry["uri"]:
            raise MCPError(INVALID_PARAMS, "Unknown skill", data={"uri": params.uri[:2_048]})
        return {"skill": self._entry, **CACHED}

    async def _read_directory(
        self, message: ServerRequestContext[Any, Any], params: UriParams
    ) -> dict[str, Any]:
        _refuse_other_name(message, params.uri)
        children = self._directories.get(params.uri.rstrip("/"))
        if children is None:
            raise MCPError(INVALID_PARAMS, "Not a directory", data={"uri": params.uri[:2_048]})
        return {"resources": children, **CACHED}


def _files(directory: Traversable, above: str = "") -> list[SkillFile]:
    found: list[SkillFile] = []
    for one in directory.iterdir():
        if one.is_dir():
            found += _files(one, f"{above}{one.name}/")
        elif one.name.endswith(".md"):
            found.append(SkillFile(above + one.name, one.read_text(encoding="utf-8")))
    return found


def _directories(
    served: Sequence[SkillFile], frontmatter: dict[str, str]
) -> dict[str, list[dict[str, str]]]:
    """The direct children of each directory by its URI."""
    children: dict[str, dict[str, dict[str, str]]] = {}
    for one in served:
        path = f"{NAME}/{one.path}"
        name = frontmatter["name"] if one.path == MANIFEST else one.path.rpartition("/")[2]
        child = {"uri": one.uri, "name": name, "mimeType": MARKDOWN}
        while "/" in path:
            path, _, last = path.rpartition("/")
            children.setdefault(f"skill://{path}", {})[last] = child
            child = {"uri": f"skill://{path}", "name": path.rpartition("/")[2]}
            child["mimeType"] = DIRECTORY
    return {uri: list(found.values()) for uri, found in children.items()}


def _refuse_other_name(message: ServerRequestContext[Any, Any], uri: str) -> None:
    """Row 9: the SDK does not hold the routing header of such a method against its body."""
    header = message.request.headers.get("mcp-name") if message.request is not None else None
    if header is not None and decode_header_value(header) != uri:
        raise MCPError(HEADER_MISMATCH, "Mcp-Name differs from the URI of the body")
