"""stdin and stdout of a stdio process: a line that cannot be read gets an answer, too."""

import json
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError


async def serve_pipes(server: Server[Any], beside: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Serve one client on stdin and stdout until it closes them, with this running beside.

    stdout carries the protocol and nothing else; whatever is printed meanwhile goes to stderr.
    """
    async with stdio_server() as (read, write), anyio.create_task_group() as group:
        group.start_soon(beside)
        await server.run(Legible(read, write), write, server.create_initialization_options())
        group.cancel_scope.cancel()


class Legible:
    """Messages that could be read. The SDK drops the others, and their sender would wait."""

    def __init__(
        self, read: ReadStream[SessionMessage | Exception], write: WriteStream[SessionMessage]
    ) -> None:
        self._read = read
        self._write = write

    @property
    def last_context(self) -> Any:
        """The sender's context of the last message."""
        return getattr(self._read, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """The next message; lines that are none are answered here."""
        while True:
            message = await self._read.receive()
            if not isinstance(message, Exception):
                return message
            error = ErrorData(code=PARSE_ERROR, message="Parse error")
            refusal = JSONRPCError(jsonrpc="2.0", id=_id_of(message), error=error)
            await self._write.send(SessionMessage(refusal))

    async def aclose(self) -> None:
        """Nothing more is read."""
        await self._read.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()


def _id_of(error: Exception) -> str | int | None:
    """The id of a request that Python can read and the SDK cannot: text with a lone surrogate."""
    if not isinstance(error, ValidationError):
        return None
    try:
        message = json.loads(error.errors(include_url=False)[0]["input"])
        found = message.get("id") if isinstance(message, dict) else None
    except (ValueError, TypeError, RecursionError):
        return None
    is_id = isinstance(found, str | int) and not isinstance(found, bool)
    return found if is_id and str(found).isprintable() else None
