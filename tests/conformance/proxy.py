"""A proxy that adds a key to requests that carry none, as the test runners' do not.

It passes bytes on as they are: hosts, odd white space and duplicated headers reach the product
untouched. A principal may hold 32 handshake sessions, and a whole suite opens more without closing
them: sessions are spread over several keys, and each stays with its own.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import cycle

SESSION = re.compile(rb"\r\nmcp-session-id: *([^\r]*)", re.IGNORECASE)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
DROPPED = re.compile(rb"\r\nconnection: [^\r]*", re.IGNORECASE)
AUTHORIZED = re.compile(rb"\r\nauthorization:", re.IGNORECASE)
END = b"\r\n\r\n"


class KeyAdding:
    """One listening proxy before one product."""

    def __init__(self, port: int, keys: Sequence[str]) -> None:
        self._port = port
        self._keys = cycle(keys)
        self._key_of_session: dict[bytes, str] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: one request, then it is closed."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(END)).removesuffix(END)
            length = LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
            session = SESSION.search(head)
            key = self._key_of_session.get(session[1]) if session else None
            key = key or next(self._keys)
            added = b"\r\nConnection: close"
            if not AUTHORIZED.search(head):
                added += f"\r\nAuthorization: Bearer {key}".encode()
            there, here = await asyncio.open_connection("127.0.0.1", self._port)
            here.write(DROPPED.sub(b"", head) + added + END + body)
            gone = asyncio.create_task(_until_gone(reader, here))
            try:
                await self._answer(there, writer, key)
            finally:
                gone.cancel()
                here.close()
        writer.close()

    async def _answer(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str
    ) -> None:
        head = await there.readuntil(END)
        if opened := SESSION.search(head):
            self._key_of_session[opened[1]] = key
        writer.write(head)
        while piece := await there.read(65_536):
            writer.write(piece)
            await writer.drain()


async def _until_gone(reader: asyncio.StreamReader, here: asyncio.StreamWriter) -> None:
    """A caller that leaves takes the product's side of the connection with it."""
    await reader.read()
    here.transport.abort()


@asynccontextmanager
async def proxy_to(port: int, keys: Sequence[str]) -> AsyncIterator[int]:
    """The port of a proxy before the product on this port."""
    server = await asyncio.start_server(KeyAdding(port, keys), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
