"""The product on a port of its own, and real MCP clients of both eras."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    CallToolResult,
    Implementation,
)

from http_api.app import build_app
from http_api.serving import listen, server_of
from kyros_collab_server.application import Kyros
from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import CreateKey
from kyros_collab_server.kernel.principal import Principal, Role
from kyros_collab_server.kernel.time import Clock
from kyros_collab_server.mcp_face.server import build_mcp
from kyros_collab_server.settings import Settings

WAIT = 20.0
MODERN = "2026-07-28"
ERAS = (MODERN, "legacy")
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"},
    },
}
HANDSHAKE = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
}


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


@dataclass
class Product:
    """`kyros serve` as a client sees it, and the door behind it."""

    url: str
    kyros: Kyros
    token: str
    settings: Settings

    @property
    def mcp_url(self) -> str:
        return f"{self.url}/mcp"

    async def key(self, name: str, role: Role = Role.AGENT, **more: Any) -> str:
        admin = await self.kyros.caller(self.token, face="test")
        made = await self.kyros.perform(
            identity.create_key, CreateKey(name=name, role=role, **more), actor=admin
        )
        return made.key

    async def caller(self, token: str) -> Principal:
        return await self.kyros.caller(token, face="test")

    @asynccontextmanager
    async def client(
        self,
        token: str,
        mode: str = MODERN,
        *,
        path: str = "/mcp",
        name: str = "tester",
        **headers: str,
    ) -> AsyncIterator[Client]:
        async with httpx2.AsyncClient(headers=bearer(token, **headers), timeout=WAIT) as http:
            transport = streamable_http_client(self.url + path, http_client=http)
            info = Implementation(name=name, version="1")
            async with Client(transport, mode=mode, client_info=info) as client:
                yield client

    @asynccontextmanager
    async def raw(self, token: str | None, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
        """A plain HTTP client that sends what it is told."""
        named = bearer(token, **headers) if token is not None else headers
        async with httpx2.AsyncClient(base_url=self.url, headers=named, timeout=WAIT) as http:
            yield http


def bearer(token: str, **headers: str) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"Authorization": f"Bearer {token}", **named}


@asynccontextmanager
async def serving(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Product]:
    """The whole product on a free port, until the block ends; with a clock, without duties."""
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with open_kyros(settings, duties=clock is None, clock=clock) as opened:
        mcp = build_mcp(
            opened.kyros,
            settings,
            public_url=url,
            allowed_hosts=["127.0.0.1:*", "localhost:*"],
            allowed_origins=["http://127.0.0.1:*", "http://localhost:*"],
        )
        app = build_app(opened.kyros, settings, mcp=mcp)
        ready = asyncio.Event()
        server = server_of(app, drain_seconds=1, on_ready=ready.set)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await asyncio.wait_for(ready.wait(), WAIT)
            yield Product(url, opened.kyros, opened.credentials.token, settings)
        finally:
            mcp.close()
            server.should_exit = True
            await asyncio.wait_for(running, WAIT)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "board")


@pytest.fixture
async def product(settings: Settings) -> AsyncIterator[Product]:
    async with serving(settings) as one:
        yield one


def text_of(result: CallToolResult) -> str:
    """The one text of an answer."""
    (content,) = result.content
    assert content.type == "text"
    return content.text


def answer_of(result: CallToolResult) -> dict[str, Any]:
    """The structured answer of a call that succeeded."""
    assert not result.is_error, text_of(result)
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def problem_of(result: CallToolResult) -> dict[str, Any]:
    """The problem of a call that was refused."""
    assert result.is_error, text_of(result)
    assert result.structured_content is None
    assert result.meta is not None
    problem: dict[str, Any] = result.meta["kyros/problem"]
    return problem


def modern_headers(method: str, name: str | None = None) -> dict[str, str]:
    """The routing headers of the 2026-07-28 wire."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
    }
    return headers if name is None else {**headers, "Mcp-Name": name}


def modern_body(method: str, **params: Any) -> dict[str, Any]:
    """A request of the 2026-07-28 wire."""
    envelope = {PROTOCOL_VERSION_META_KEY: MODERN, CLIENT_CAPABILITIES_META_KEY: {}}
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": method,
        "params": {**params, "_meta": envelope},
    }


async def modern_call(
    http: httpx2.AsyncClient, tool: str, arguments: dict[str, Any], **headers: str
) -> httpx2.Response:
    """One tool call on the 2026-07-28 wire, by hand."""
    return await http.post(
        "/mcp",
        content=json.dumps(modern_body("tools/call", name=tool, arguments=arguments)),
        headers={**modern_headers("tools/call", tool), **headers},
    )


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The environment of a stdio process on the product's data directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KYROS_")}
    package = str(Path(__file__).parents[2])
    return {**kept, "PYTHONPATH": package, "KYROS_DATA_DIR": str(settings.data_dir)}
