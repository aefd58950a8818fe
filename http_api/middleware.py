"""What every request passes, whichever face it is for: bounds, Host, Origin, ids, metrics."""

import logging
import time
from random import getrandbits
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from http_api.metrics import Metrics
from http_api.problems import (
    BodyTooLarge,
    HeadersTooLarge,
    Incident,
    MethodNotAllowed,
    Misdirected,
    OriginRefused,
    problem,
)
from http_api.reply import Reply
from http_api.request import Head, headers_of
from kyros_collab_server.kernel.errors import KyrosError, NotFound
from kyros_collab_server.kernel.ids import new_id
from kyros_collab_server.settings import Settings

MAX_HEAD_BYTES = 16_384
MAX_TARGET_BYTES = 8_192
MAX_HEADERS = 100
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, never bound
NOSNIFF = (b"x-content-type-options", b"nosniff")

log = logging.getLogger(__name__)


class Names:
    """Which Host and Origin headers the server answers to."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = {*LOOPBACK, *listed(settings.allowed_hosts)}
        self._origins = {origin.rstrip("/") for origin in listed(settings.allowed_origins)}
        if settings.host not in WILDCARDS:
            self._hosts.add(f"[{settings.host}]" if ":" in settings.host else settings.host.lower())
        if settings.public_url:
            parts = urlsplit(settings.public_url)
            self._hosts.add(parts.netloc.lower())
            self._origins.add(f"{parts.scheme}://{parts.netloc}".lower())

    def answers_to(self, host: str) -> bool:
        """True for an allowed name, with any port unless the list gave one."""
        host = host.lower()
        return host in self._hosts or without_port(host) in self._hosts

    def may_come_from(self, origin: str) -> bool:
        """True for the server's own origin, a page of this machine, or a listed one."""
        origin = origin.lower()
        if origin in self._origins:
            return True
        scheme, separator, netloc = origin.partition("://")
        return bool(separator) and scheme in {"http", "https"} and without_port(netloc) in LOOPBACK


def listed(text: str) -> list[str]:
    """The names of a comma-separated setting, in lower case."""
    return [name.strip().lower() for name in text.split(",") if name.strip()]


def without_port(host: str) -> str:
    """The name of a Host header; as it is when what follows is no port."""
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() and not host.endswith("]") else host


class Front:
    """The outermost middleware.

    Afterwards each answer carries `X-Request-Id`, nothing but a problem was said about an error,
    and the request was counted under its route.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._names = Names(settings)
        self._metrics = metrics
        self._body_limit = settings.body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = f"rq_{getrandbits(64):016x}"  # an id, no secret: 0.1 µs, not a system call
        answer = _Answer(send, request_id, is_head=scope["method"] == "HEAD")
        try:
            scope["kyros.head"] = self._admitted(scope, request_id)
            await self._app(scope, receive, answer)
        except HTTPException as error:
            await answer.instead(refused_by_router(scope, error), scope, receive)
        except KyrosError as refusal:
            await answer.instead(problem(refusal, request_id), scope, receive)
        except Exception:
            incident_id = new_id("in")
            log.exception("incident", extra={"incident": incident_id, "request_id": request_id})
            await answer.instead(problem(Incident(incident_id), request_id), scope, receive)
        if answer.status:
            route = getattr(scope.get("route"), "path", "") or "unknown"
            method = scope["method"] if scope["method"] in METHODS else "other"
            seconds = None if answer.is_stream else time.perf_counter() - began
            self._metrics.count(method, route, answer.status, seconds)

    def _admitted(self, scope: Scope, request_id: str) -> Head:
        raw = scope["headers"]
        if len(raw) > MAX_HEADERS:
            raise HeadersTooLarge("headers", MAX_HEADERS, "lines")
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
            raise HeadersTooLarge("target", MAX_TARGET_BYTES, "bytes")
        headers = headers_of(raw, MAX_HEAD_BYTES)
        if not self._names.answers_to(headers.get("host", "")):
            raise Misdirected
        origin = headers.get("origin")
        if origin is not None and not self._names.may_come_from(origin):
            raise OriginRefused
        length = headers.get("content-length")
        if length is not None and (not length.isdigit() or int(length) > self._body_limit):
            raise BodyTooLarge("body", self._body_limit, "bytes")
        return Head(headers, request_id)


class _Answer:
    """Sends an answer on, with the headers that all of them carry."""

    __slots__ = ("_is_head", "_request_id", "_send", "is_stream", "status")

    def __init__(self, send: Send, request_id: str, *, is_head: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._is_head = is_head
        self.status = 0
        self.is_stream = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            common = [(b"x-request-id", self._request_id.encode()), NOSNIFF]
            message["headers"] = [*message.get("headers", ()), *common]
        elif message["type"] == "http.response.body":
            self.is_stream = self.is_stream or message.get("more_body", False)
            if self._is_head:
                message["body"] = b""
        await self._send(message)

    async def instead(self, reply: Reply, scope: Scope, receive: Receive) -> None:
        """Send the reply when nothing was sent yet; after that there is nothing to say."""
        if not self.status:
            await reply(scope, receive, self)


def refused_by_router(scope: Scope, error: HTTPException) -> Reply:
    """404 and 405 of the router, as problems."""
    head: Head = scope["kyros.head"]
    refusal: KyrosError = NotFound("resource")
    if error.status_code == MethodNotAllowed.status:
        allowed = (error.headers or {}).get("Allow", "")
        refusal = MethodNotAllowed(sorted(name for name in allowed.split(", ") if name))
    return problem(refusal, head.request_id)
