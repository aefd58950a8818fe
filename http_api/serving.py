"""Runs the application under uvicorn, and ends its streams before it waits for them.

For `cli/serve.py`, inside `open_kyros` and on uvloop (`asyncio.Runner(loop_factory=
uvloop.new_event_loop)`, or `uvloop.run`):

    listener = listen(host, port)            # OSError: the port is busy
    app = build_app(kyros, settings, mcp=build_mcp(...))
    await serve_app(app, listener, drain_seconds=settings.drain_seconds, on_ready=announce)

`serve_app` handles SIGTERM and SIGINT: it stops listening, ends streams cleanly, lets open calls
finish for at most `drain_seconds`, and returns, so that the store closes behind it.
"""

import contextlib
import gc
import http
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from http_api.middleware import MAX_HEAD_BYTES
from http_api.problems import HeadersTooLarge, MalformedRequest, problem
from http_api.sse import ABORT
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.kernel.ids import new_request_id

MAX_UNREAD_HEAD_BYTES = 65_536
BACKLOG = 2_048
KEEP_ALIVE_SECONDS = 75


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, with a bound on a request's head and a way to drop its connection.

    httptools collects a head of any length before it says anything; streams need to drop a reader
    that takes nothing any more without waiting for it to take the rest.
    """

    _head_bytes = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that does not end within its bound ends the connection."""
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_UNREAD_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(HeadersTooLarge("headers", MAX_HEAD_BYTES, "bytes"))

    def on_message_begin(self) -> None:
        """A new head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        cast("dict[str, Any]", self.scope)[ABORT] = self.transport.abort

    def on_headers_complete(self) -> None:
        """The head has ended; the body has its own bound."""
        super().on_headers_complete()
        self._in_head = False

    def send_400_response(self, msg: str) -> None:
        """What is no request is told so in the words of all refusals."""
        del msg
        self._refuse(MalformedRequest())

    def _refuse(self, refusal: KyrosError) -> None:
        request_id = new_request_id()
        reply = problem(refusal, request_id)
        phrase = http.HTTPStatus(reply.status).phrase
        head = (
            f"HTTP/1.1 {reply.status} {phrase}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(reply.body)}\r\nx-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + reply.body)
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server with our end: streams first, and no signal raised again behind it."""

    def __init__(
        self, config: uvicorn.Config, app: Starlette, on_ready: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self._application = app
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Calls are answered; then `on_ready` is told.

        What the start made stays for good, so the collector need not walk it again and again.
        """
        await super().startup(sockets)
        gc.freeze()
        if self.started and self._on_ready is not None:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """No connection is open any more."""
        self._application.state.face.rings.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that led to a clean end is spent: the store closes next."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one.

    Raises:
        OSError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def server_of(
    app: Starlette, *, drain_seconds: float, on_ready: Callable[[], None] | None = None
) -> Server:
    """A server of the application that is not running yet."""
    config = uvicorn.Config(
        app,
        http=BoundedHead,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
    )
    return Server(config, app, on_ready)


async def serve_app(
    app: Starlette,
    listener: socket.socket,
    *,
    drain_seconds: float,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `on_ready` is called once calls are answered."""
    server = server_of(app, drain_seconds=drain_seconds, on_ready=on_ready)
    await server.serve(sockets=[listener])
