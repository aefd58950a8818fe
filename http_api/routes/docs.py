"""The interactive documentation: one page of our own that reads `/openapi.json`."""

from importlib import resources

from http_api.endpoint import Endpoint, Respond
from http_api.reply import Answering, Headers, Reply, none_match, not_modified
from http_api.request import Call
from kyros_collab_server.kernel.etag import sha256_hex

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES = {
    "/docs": ("index.html", b"text/html; charset=utf-8"),
    "/docs/docs.js": ("docs.js", b"text/javascript; charset=utf-8"),
    "/docs/docs.css": ("docs.css", b"text/css; charset=utf-8"),
}
PAGE_HEADERS: Headers = [
    (b"content-security-policy", POLICY),
    (b"referrer-policy", b"no-referrer"),
]


def unchanging(body: bytes, media_type: bytes, headers: Headers) -> Respond:
    """Answers with the same bytes for as long as the process lives, conditionally."""
    etag = f'"{sha256_hex(body.decode())[:32]}"'

    async def respond(call: Call) -> Answering:
        if none_match(call.headers.get("if-none-match"), etag):
            return not_modified(etag)
        return Reply(200, body, media_type, [*headers]).tag(etag)

    return respond


def docs_endpoints(document: bytes) -> list[Endpoint]:
    """The document and the page that shows it; open to everybody, and not in the document."""
    folder = resources.files("http_api") / "docs_page"
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
        Endpoint(
            "GET",
            "/openapi.json",
            respond=unchanging(document, b"application/json", []),
            is_open=True,
        ),
        *pages,
    ]
