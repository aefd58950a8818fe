"""A real store in a temporary directory behind the whole application, in process or on a port."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from http_api.app import build_app
from http_api.serving import Server, listen, server_of
from kyros_collab_server.application import Kyros
from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.settings import Settings

Client = httpx2.AsyncClient
WAIT = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Board:
    """An open store with its application."""

    app: Starlette
    kyros: Kyros
    token: str
    settings: Settings

    def client(self, token: str | None = None, **headers: str) -> Client:
        """A client in process; keyword `agent` and `workspace` become their headers."""
        return Client(
            transport=httpx2.ASGITransport(self.app),
            base_url="http://localhost",
            headers=named(token or self.token, **headers),
        )


def named(token: str, **names: str) -> dict[str, str]:
    headers = {"authorization": f"Bearer {token}"}
    for name, value in names.items():
        headers[f"x-kyros-{name}"] = value
    return headers


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
async def board(settings: Settings) -> AsyncIterator[Board]:
    async with open_kyros(settings) as opened:
        app = build_app(opened.kyros, settings, mcp=None)
        yield Board(app, opened.kyros, opened.credentials.token, settings)


@pytest.fixture
async def admin(board: Board) -> AsyncIterator[Client]:
    async with board.client() as client:
        yield client


@pytest.fixture
async def ada(board: Board) -> AsyncIterator[Client]:
    """An agent with a key of its own."""
    async with agent(board, "ada") as client:
        yield client


@pytest.fixture
async def bob(board: Board) -> AsyncIterator[Client]:
    async with agent(board, "bob") as client:
        yield client


@asynccontextmanager
async def agent(board: Board, name: str, role: str = "agent") -> AsyncIterator[Client]:
    async with board.client() as admin:
        made = await admin.post("/api-keys", json={"name": name, "role": role})
    assert made.status_code == 201, made.text
    async with board.client(made.json()["key"]) as client:
        yield client


@dataclass
class Live:
    """The application on a port of its own."""

    url: str
    board: Board
    server: Server
    listener: socket.socket
    running: "asyncio.Task[None]"

    def client(self, token: str | None = None, **names: str) -> Client:
        return Client(base_url=self.url, headers=named(token or self.board.token, **names))

    async def stop(self) -> None:
        self.server.should_exit = True
        await asyncio.wait_for(self.running, WAIT)


@pytest.fixture
async def live(board: Board) -> AsyncIterator[Live]:
    listener = listen("127.0.0.1", 0)
    ready = asyncio.Event()
    server = server_of(board.app, drain_seconds=3, on_ready=ready.set)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.wait_for(ready.wait(), WAIT)
    port = listener.getsockname()[1]
    one = Live(f"http://127.0.0.1:{port}", board, server, listener, running)
    yield one
    if not running.done():
        await one.stop()


async def happens(condition: Callable[[], object]) -> None:
    """The condition became true within its bound."""
    async with asyncio.timeout(WAIT):
        for _ in itertools.count():
            if condition():
                return
            await asyncio.sleep(0)


@dataclass
class Frame:
    """One SSE frame as a client parsed it."""

    event: str
    id: str | None
    payload: Any


class Frames:
    """The frames of one open stream, in order."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.comments = 0
        self.retry: list[str] = []

    async def next(self) -> Frame:
        return await asyncio.wait_for(self._next(), WAIT)

    async def until(self, name: str) -> list[Frame]:
        """Frames up to and with the first of this name."""
        found: list[Frame] = []
        while not found or found[-1].event != name:
            found.append(await self.next())
        return found

    async def _next(self) -> Frame:
        event, seq = "message", None
        parts: list[str] = []
        async for line in self._lines:
            if not line and parts:
                return Frame(event, seq, json.loads("".join(parts)))
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if line.startswith(":"):
                self.comments += 1
            elif field == "retry":
                self.retry.append(value)
            elif field == "event":
                event = value
            elif field == "id":
                seq = value
            elif field == "data":
                parts.append(value)
        raise EOFError("the stream ended")


@asynccontextmanager
async def tailing(client: Client, **query: Any) -> AsyncIterator[Frames]:
    headers = {"accept": "text/event-stream", **query.pop("headers", {})}
    url = "/collab/events/tail"
    async with client.stream("GET", url, params=query, headers=headers, timeout=WAIT) as response:
        assert response.status_code == 200
        yield Frames(response)
