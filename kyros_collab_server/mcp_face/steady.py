"""HTTP for the bridge: a server that goes away is an answer, not an exception."""

from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2

from kyros_collab_server.kernel.errors import Kind, KyrosError
from kyros_collab_server.kernel.ids import new_request_id
from kyros_collab_server.mcp_face.tool_errors import protocol_error


class ServerUnreachable(KyrosError):
    """The server that `KYROS_URL` names does not answer as a Kyros server."""

    code = "server_unreachable"
    kind = Kind.UNAVAILABLE
    retryable = True


def unreachable(url: str, reason: str) -> ServerUnreachable:
    """The refusal that says so, and what a model and a person can do."""
    return ServerUnreachable(
        f"No server answers at {url} ({reason}).",
        fix="Repeat with the same request_id; if it stays away, a person must start kyros serve "
        "or correct KYROS_URL.",
        retry_after_seconds=2,
    )


class Steady(httpx2.AsyncBaseTransport):
    """HTTP that never fails by exception: the SDK's client would end the whole process.

    A server that does not answer answers 503 here, with a problem that says so.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._wire = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The server's answer, or one in its place."""
        try:
            response = await self._wire.handle_async_request(request)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                await response.aread()
                return response
        except httpx2.TransportError as error:
            return self._in_its_place(error)
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 it is ours
        response.stream = EndingStream(response.stream)
        return response

    async def aclose(self) -> None:
        """No connection is open any more."""
        await self._wire.aclose()

    def _in_its_place(self, error: httpx2.TransportError) -> httpx2.Response:
        refusal = protocol_error(unreachable(self._url, type(error).__name__), new_request_id())
        body = refusal.error.model_dump(exclude_none=True)
        return httpx2.Response(503, json={"jsonrpc": "2.0", "id": None, "error": body})


class EndingStream(httpx2.AsyncByteStream):
    """A stream that ends when its connection breaks."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with suppress(httpx2.TransportError):
            async for piece in self._stream:
                yield piece

    async def aclose(self) -> None:
        """The connection is given back."""
        await self._stream.aclose()
