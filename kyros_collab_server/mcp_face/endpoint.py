"""The MCP endpoint over HTTP: JSON or stream for each request, and who notices a departure."""

from typing import Any

import anyio
from anyio import CancelScope
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from kyros_collab_server.mcp_face.caller import PRINCIPAL, RECHECK, Caller
from kyros_collab_server.mcp_face.front_desk import DEPARTURE, Departure
from kyros_collab_server.mcp_face.sdk_gaps import HANDSHAKE_VERSIONS, JSON_MODE, Sessions

WAITING = frozenset({b"task_claim", b"lease_acquire", b"event_wait", b"job_get"})
"""Tools that may wait: a caller that leaves must be noticed."""
RECHECK_SECONDS = 60.0


class Endpoint:
    """Answers as plain JSON unless the call waits; then as a stream, which notices a departure.

    JSON saves two fifths of a call, but its call runs on when the client has gone: a waiting
    claim would claim for nobody. On the handshake leg with sessions the SDK never notices, so the
    departure is told to the running call here.
    """

    def __init__(
        self, sessions: Sessions, closing: anyio.Event, streaming: frozenset[bytes] = frozenset()
    ) -> None:
        """`streaming` names the tools that report progress: none of the product's does."""
        self._streaming = streaming
        self._sessions = sessions
        self._closing = closing
        self._inner = StreamableHTTPASGIApp(sessions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        version = headers.get(b"mcp-protocol-version")
        if version is None or version in HANDSHAKE_VERSIONS:
            await self._handshake(scope, receive, send)
            return
        json_mode, receive = await self._decide(headers, receive)
        token = JSON_MODE.set(json_mode)
        try:
            await self._inner(scope, receive, send)
        finally:
            JSON_MODE.reset(token)

    async def _decide(self, headers: dict[Any, Any], receive: Receive) -> tuple[bool, Receive]:
        name = headers.get(b"mcp-name")
        if name in self._streaming:
            return False, receive
        if name not in WAITING or b"event-stream" not in headers.get(b"accept", b""):
            return True, receive
        first = await receive()  # the body limit has gathered the whole body
        return b'"wait_seconds"' not in first.get("body", b""), replay(first, receive)

    async def _handshake(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET" and self._sessions.stateless:
            # Row 10: the SDK would hold a stream open on which nothing ever comes.
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
            return
        if scope["method"] == "GET":
            await self._standing(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self._inner(scope, receive, send)
            return
        departure = scope[DEPARTURE] = Departure()
        answered = False

        async def watched_send(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start" and message["status"] == 503:
                message["headers"] = [*message["headers"], (b"retry-after", b"5")]
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                answered = True
            await send(message)

        async def watched_receive() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not answered:
                departure.leave()
            return message

        await self._inner(scope, watched_receive, watched_send)

    async def _standing(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The stream of a session: it ends with the caller's credentials and with the server."""
        caller = Caller(scope[PRINCIPAL], recheck=scope[RECHECK])
        is_open = False

        async def watched_send(message: Message) -> None:
            nonlocal is_open
            is_open = bool(message.get("more_body", message["type"] == "http.response.start"))
            await send(message)

        async def end(group: CancelScope) -> None:
            while not self._closing.is_set() and await caller.is_still_valid():
                with anyio.move_on_after(RECHECK_SECONDS):
                    await self._closing.wait()
            group.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(end, group.cancel_scope)
            await self._inner(scope, receive, watched_send)
            group.cancel_scope.cancel()
        if is_open:
            await send({"type": "http.response.body", "body": b""})


def replay(first: Message, receive: Receive) -> Receive:
    """A receive that gives this message first."""
    waiting = [first]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
