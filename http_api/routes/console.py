"""The plain page at `/console/`: what runs, how to connect, and the board as it changes."""

from importlib import resources

from pydantic import BaseModel, ConfigDict

from http_api.endpoint import Endpoint
from http_api.reply import NO_STORE, REVALIDATE, Answering, Reply
from http_api.request import Call
from http_api.routes.docs import PAGE_HEADERS, unchanging
from kyros_collab_server.snippets import Client, Snippet, Transport, snippet

FILES = {
    "/console/": ("index.html", b"text/html; charset=utf-8"),
    "/console/console.js": ("console.js", b"text/javascript; charset=utf-8"),
    "/console/board.js": ("board.js", b"text/javascript; charset=utf-8"),
    "/console/stream.js": ("stream.js", b"text/javascript; charset=utf-8"),
    "/console/console.css": ("console.css", b"text/css; charset=utf-8"),
    "/console/icon.svg": ("icon.svg", b"image/svg+xml"),
}
SEE_OTHER = 303


class AskedSnippet(Snippet):
    """What to paste, and the transport that was asked for: some clients cannot have it."""

    asked: Transport


class About(BaseModel):
    """Which server this is, and how clients reach it. Holds no secret."""

    model_config = ConfigDict(frozen=True)

    version: str
    api_url: str
    mcp_url: str
    snippets: list[AskedSnippet]


async def _about(call: Call) -> Answering:
    """The addresses are those that the caller came by: `Host` is one that we answer to."""
    url = call.face.settings.public_url.rstrip("/")
    if not url:
        url = f"{call.scope['scheme']}://{call.headers['host']}"
    about = About(
        version=call.face.kyros.version,
        api_url=url,
        mcp_url=f"{url}/mcp",
        snippets=[
            AskedSnippet(asked=transport, **dict(snippet(client, transport, url)))
            for client in Client
            for transport in Transport
        ],
    )
    return Reply(200, about.model_dump_json().encode(), headers=[NO_STORE])


async def _to_console(_: Call) -> Answering:
    return Reply(SEE_OTHER, b"", None, [(b"location", b"/console/"), REVALIDATE])


def console_endpoints() -> list[Endpoint]:
    """The page and what it loads; open to everybody, and not in the document."""
    folder = resources.files("http_api") / "console_page"
    pages = [
        Endpoint(
            "GET",
            path,
            respond=unchanging((folder / name).read_bytes(), media_type, PAGE_HEADERS),
            is_open=True,
        )
        for path, (name, media_type) in FILES.items()
    ]
    return [
        Endpoint("GET", "/", respond=_to_console, is_open=True),
        Endpoint("GET", "/console", respond=_to_console, is_open=True),
        Endpoint("GET", "/console/about.json", respond=_about, is_open=True),
        *pages,
    ]
