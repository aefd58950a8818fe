"""`kyros serve` as a process of its own, started on a store and ended by its id."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx2

from kyros_collab_server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
END_SECONDS = 30.0
CALL_SECONDS = 30.0


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a process that works on this store and on nothing else of the caller's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KYROS_")}
    named = {
        "KYROS_DATA_DIR": str(settings.data_dir),
        "KYROS_DATABASE_URL": settings.database_url,
        "KYROS_CALLS_PER_SECOND": "1000000",
    }
    return {**kept, "PYTHONPATH": str(ROOT), **named, **more}


def command(*arguments: str) -> list[str]:
    """The command line of `kyros` with these arguments, by this interpreter."""
    return [sys.executable, "-m", "kyros_collab_server", *arguments]


@dataclass
class Server:
    """A running `kyros serve`."""

    url: str
    mcp_url: str
    token: str
    process: Process

    @property
    def pid(self) -> int:
        return self.process.pid

    def client(self, agent: str | None = None, token: str | None = None) -> httpx2.AsyncClient:
        """A REST client that calls as this agent."""
        return httpx2.AsyncClient(
            base_url=self.url, headers=headers(token or self.token, agent), timeout=CALL_SECONDS
        )

    def kill(self) -> None:
        """The process is told SIGKILL; it may be gone already."""
        if self.process.returncode is None:
            self.process.kill()

    async def ended(self) -> int:
        """The exit code, negative for a signal; waits a bounded time."""
        return await asyncio.wait_for(self.process.wait(), END_SECONDS)

    async def stop(self) -> int:
        """Drained and ended; returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.ended()


def headers(token: str, agent: str | None) -> dict[str, str]:
    """The headers that say who calls."""
    named = {} if agent is None else {"x-kyros-agent": agent}
    return {"authorization": f"Bearer {token}", **named}


async def start(settings: Settings, errors: IO[bytes], **more: str) -> Server | None:
    """A server that answers; None when a failpoint killed it before it was ready."""
    process = await asyncio.create_subprocess_exec(
        *command("serve", "--port", "0", "--no-open"),
        env=environment(settings, **more),
        stdout=PIPE,
        stderr=errors,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if not line:
        code = await asyncio.wait_for(process.wait(), END_SECONDS)
        assert code == -signal.SIGKILL, f"the server ended with {code} before it was ready"
        return None
    ready: Mapping[str, str] = json.loads(line)
    return Server(ready["api_url"], ready["mcp_url"], ready["token"], process)


@asynccontextmanager
async def serving(settings: Settings, **more: str) -> AsyncIterator[Server]:
    """A server for the block; afterwards it is gone, whatever happened."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "serve.log").open("ab") as errors:
        server = await start(settings, errors, **more)
        assert server is not None
        try:
            yield server
        finally:
            try:
                await server.stop()
            finally:
                server.kill()


async def agent_key(server: Server, name: str, role: str = "agent") -> str:
    """A new key of this role."""
    async with server.client() as admin:
        made = await admin.post("/api-keys", json={"name": name, "role": role})
    assert made.status_code == 201, made.text
    key: str = made.json()["key"]
    return key
