"""Replies: what an endpoint gives back, in as few ASGI messages as it takes."""

import json
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]
JSON = b"application/json"
NO_STORE = (b"cache-control", b"no-store")
REVALIDATE = (b"cache-control", b"private, no-cache")

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def json_bytes(value: Any) -> bytes:
    """Compact JSON in pure ASCII, so that no character can be torn or hidden on the way."""
    return _encode(value).encode()


class Answering(Protocol):
    """Anything that can be sent as the answer to one request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Reply:
    """A whole answer, held in memory."""

    __slots__ = ("body", "headers", "media_type", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        media_type: bytes | None = JSON,
        headers: Headers | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.media_type = media_type
        self.headers: Headers = headers if headers is not None else []

    def tag(self, etag: str) -> "Reply":
        """Name the version of what is answered, so that the next call can be conditional."""
        self.headers.append((b"etag", etag.encode("latin-1")))
        self.headers.append(REVALIDATE)
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = self.headers
        if self.media_type is not None:
            headers = [(b"content-type", self.media_type), *headers]
        if self.status != 304:
            headers = [(b"content-length", b"%d" % len(self.body)), *headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def not_modified(etag: str) -> Reply:
    """The answer to a conditional read of what has not changed."""
    return Reply(304, media_type=None).tag(etag)


def none_match(header: str | None, etag: str) -> bool:
    """True when an If-None-Match header names this tag: weak comparison, RFC 9110 §13.1.2."""
    if header is None:
        return False
    if header == etag:
        return True
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return etag in tags or "*" in tags
