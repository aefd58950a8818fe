"""Handshakes of `kyros doctor`: a real MCP client connects and counts the tools."""

import sys
import tempfile
from pathlib import Path

import anyio
import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

import kyros_collab_server
from kyros_collab_server.cli.checks import Finding, State

TIMEOUT_SECONDS = 20.0


async def mcp_over_http(url: str, token: str, *, answers: bool) -> Finding:
    """A client shakes hands with the running server and counts its tools."""
    if not answers:
        return Finding("mcp http", State.WARNING, f"no server answers at {url}", "kyros serve")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_SECONDS) as http:
        transport = streamable_http_client(f"{url.rstrip('/')}/mcp", http_client=http)
        return await _shaken("mcp http", Client(transport), "set KYROS_TOKEN to a key of it")


async def mcp_over_stdio() -> Finding:
    """A client starts `kyros stdio` on a store of its own, and counts its tools."""
    package = str(Path(kyros_collab_server.__file__).parents[1])
    with tempfile.TemporaryDirectory(prefix="kyros-doctor-") as scratch:
        started = StdioServerParameters(
            command=sys.executable,
            args=["-m", "kyros_collab_server", "stdio", "--data-dir", scratch],
            env={"PYTHONPATH": package, "KYROS_LOG_LEVEL": "error"},
        )
        with (Path(scratch) / "stderr").open("w+", encoding="utf-8") as said:
            transport = stdio_client(started, errlog=said)
            return await _shaken("mcp stdio", Client(transport), "kyros stdio")


async def _shaken(check: str, client: Client, fix: str) -> Finding:
    try:
        with anyio.fail_after(TIMEOUT_SECONDS):
            async with client:
                count = len((await client.list_tools()).tools)
                version = client.protocol_version
    except (MCPError, OSError, TimeoutError, httpx2.HTTPError, ExceptionGroup) as error:
        return Finding(check, State.FAILED, f"no handshake ({type(error).__name__})", fix)
    return Finding(check, State.OK, f"{count} tools, protocol {version}")
