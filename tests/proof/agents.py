"""An agent of the board through any of its doors: REST, MCP over HTTP, MCP over stdio."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from kyros_collab_server.settings import Settings
from tests.proof.servers import CALL_SECONDS, command, environment, headers

Answer = dict[str, Any]


class Refusal(Exception):
    """The board said no; `problem` is the problem object, the same through every door."""

    def __init__(self, problem: Answer) -> None:
        super().__init__(problem.get("code"), problem)
        self.problem = problem


class Agent(Protocol):
    """What an agent does, whatever the wire."""

    name: str

    async def claim(self, **wanted: Any) -> Answer:
        """`{claimed, task, leases, …}`; raises Refusal."""
        ...

    async def move(self, task_id: str, to: str, token: int | None = None) -> Answer: ...
    async def change(self, task_id: str, if_match: str, token: int, **what: Any) -> str:
        """The new etag; `what` is `tick` or `patch`."""
        ...

    async def renew(self, lock_id: str) -> Answer:
        """`{leases, lost}`."""
        ...


@dataclass
class RestAgent:
    """Calls over REST."""

    name: str
    client: httpx2.AsyncClient

    async def _call(self, method: str, path: str, body: Answer, **named: str) -> Answer:
        response = await self.client.request(method, path, json=body, headers=named)
        answer: Answer = response.json()
        if response.status_code >= 400:
            raise Refusal(answer)
        return answer

    async def claim(self, **wanted: Any) -> Answer:
        return await self._call("POST", "/collab/tasks/claim", wanted)

    async def move(self, task_id: str, to: str, token: int | None = None) -> Answer:
        body = {"to": to} if token is None else {"to": to, "fencing_token": token}
        return await self._call("POST", f"/collab/tasks/{task_id}/transition", body)

    async def change(self, task_id: str, if_match: str, token: int, **what: Any) -> str:
        body = {**what.pop("patch", {}), **what, "fencing_token": token}
        named = {"if-match": if_match}
        answer = await self._call("PATCH", f"/collab/tasks/{task_id}", body, **named)
        etag: str = answer["etag"]
        return etag

    async def renew(self, lock_id: str) -> Answer:
        return await self._call("POST", "/collab/leases/heartbeat", {"lock_ids": [lock_id]})

    async def heartbeat(self, lock_id: str) -> Answer:
        """One lease, refused when it is lost."""
        return await self._call("POST", f"/collab/leases/{lock_id}/heartbeat", {})


@dataclass
class McpAgent:
    """Calls tools."""

    name: str
    client: Client

    async def _call(self, tool: str, **arguments: Any) -> Answer:
        given = {name: value for name, value in arguments.items() if value is not None}
        result = await self.client.session.call_tool(tool, given, read_timeout_seconds=CALL_SECONDS)
        if result.is_error:
            assert result.meta is not None
            raise Refusal(result.meta["kyros/problem"])
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    async def claim(self, **wanted: Any) -> Answer:
        return await self._call("task_claim", **wanted)

    async def move(self, task_id: str, to: str, token: int | None = None) -> Answer:
        return await self._call("task_transition", task_id=task_id, to=to, fencing_token=token)

    async def change(self, task_id: str, if_match: str, token: int, **what: Any) -> str:
        answer = await self._call(
            "task_update", task_id=task_id, if_match=if_match, fencing_token=token, **what
        )
        etag: str = answer["etag"]
        return etag

    async def renew(self, lock_id: str) -> Answer:
        return await self._call("lease_renew", lock_ids=[lock_id])


@asynccontextmanager
async def over_rest(url: str, token: str, name: str) -> AsyncIterator[RestAgent]:
    """An agent that calls over REST."""
    async with httpx2.AsyncClient(
        base_url=url, headers=headers(token, name), timeout=CALL_SECONDS
    ) as client:
        yield RestAgent(name, client)


@asynccontextmanager
async def over_mcp(url: str, token: str, name: str) -> AsyncIterator[McpAgent]:
    """An agent that calls over MCP, streamable HTTP."""
    async with httpx2.AsyncClient(headers=headers(token, name), timeout=CALL_SECONDS) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, read_timeout_seconds=CALL_SECONDS) as client:
            yield McpAgent(name, client)


@dataclass
class StdioAgent(McpAgent):
    """Calls tools of a `kyros stdio` process of its own, which can be stopped and continued."""

    pid: int

    def stop(self) -> None:
        """The process stands still."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """The process runs again."""
        os.kill(self.pid, signal.SIGCONT)


@asynccontextmanager
async def over_stdio(settings: Settings, name: str, directory: Path) -> AsyncIterator[StdioAgent]:
    """An agent with a `kyros stdio` process of its own on this store."""
    pid_file = directory / f"{name}.pid"
    script = f'echo $$ > "{pid_file}"; exec "$@"'
    server = StdioServerParameters(
        command="sh",
        args=["-c", script, "sh", *command("stdio", "--agent", name)],
        env=environment(settings),
    )
    with (directory / f"{name}.log").open("w") as errors:
        transport = stdio_client(server, errlog=errors)
        async with Client(transport, read_timeout_seconds=CALL_SECONDS) as client:
            yield StdioAgent(name, client, int(pid_file.read_text()))
