"""Our contenders on the wire: REST, MCP, and conditional reads of a `kyros serve`."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx2

from tests.bench.load import NUMBER, Request
from tests.bench.processes import Target, bearer
from tests.bench.rounds import Contender, Sample

MODERN = "2026-07-28"
CREATE_AT_ONCE = 50
TEXT = "x" * 300


def post(path: str, body: Any, headers: dict[str, str] | None = None) -> Request:
    """A JSON POST."""
    named = {"content-type": "application/json", **(headers or {})}
    return Request("POST", path, named, json.dumps(body))


def tool(name: str, arguments: dict[str, Any], headers: dict[str, str]) -> Request:
    """A tool call on the 2026-07-28 wire, answered as one JSON body."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": name, "arguments": arguments, "_meta": meta}
    routing = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": name,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return post("/mcp", body, {**routing, **headers})


class Board:
    """A `kyros serve` with agents that call under one key of the role agent."""

    def __init__(self, target: Target) -> None:
        self.target = target
        with target.client() as admin:
            made = _ok(admin.post("/api-keys", json={"name": "fleet", "role": "agent"}))
        self._fleet = Target(target.url, made["key"], target.pid)
        self._generation = 0

    def agents(self, count: int) -> list[dict[str, str]]:
        """The headers of agents that nobody has met before; registered, with nothing held."""
        self._generation += 1
        named = [
            {**bearer(self._fleet.token), "x-kyros-agent": f"a{self._generation}-{number}"}
            for number in range(count)
        ]
        with self.target.client() as client:
            for headers in named:
                _ok(client.post("/collab/events", json={"event": "note"}, headers=headers))
        return named

    def leases(self, agents: list[dict[str, str]]) -> list[str]:
        """One lease for each agent."""
        held = []
        with self.target.client() as client:
            for headers in agents:
                wanted = {"resource": f"res:{headers['x-kyros-agent']}", "ttl_seconds": 3600}
                answer = client.post("/collab/leases/acquire", json=wanted, headers=headers)
                held.append(_ok(answer)["lock_id"])
        return held

    def backlog(self, count: int, **named: str) -> list[str]:
        """So many more tasks are queued; returns their ids."""
        ids: list[str] = []
        with self.target.client(**named) as client:
            while len(ids) < count:
                drafts = [{"title": "Bench"}] * min(CREATE_AT_ONCE, count - len(ids))
                made = _ok(client.post("/collab/tasks", json={"tasks": drafts}))
                ids += [one["id"] for one in made["tasks"]]
        return ids

    def run(self, clients: list[list[Request]], status: int = 200) -> Sample:
        """See `Target.run`."""
        return self.target.run(clients, status)

    def claims(self, callers: int, calls: int, ask: Callable[[dict[str, str]], Request]) -> Sample:
        """Every caller claims so many tasks; afterwards an operator takes them off the board."""
        ids = self.backlog(callers * calls)
        claims = [[ask(headers)] for headers in self.agents(callers)]
        sample = self.target.run(claims, most=calls)
        headers = bearer(self.target.token)
        cancel = [
            post(f"/collab/tasks/{task_id}/transition", {"to": "cancelled"}, headers)
            for task_id in ids
        ]
        orders = [cancel[first::callers] for first in range(callers)]
        self.target.run(orders, most=calls, seconds=60)
        return sample


def _ok(response: httpx2.Response) -> Any:
    assert response.status_code < 300, response.text
    return response.json()


def keyed(headers: dict[str, str]) -> dict[str, str]:
    """The headers with an idempotency key that no other request has."""
    return {**headers, "idempotency-key": NUMBER}


def rest(board: Board, clients: int) -> dict[str, Contender]:
    """The writes that agents make most, over REST."""
    agents = board.agents(clients)
    held = board.leases(agents)
    note = {"event": "note", "text": TEXT}
    appends = [[post("/collab/events", note, keyed(one))] for one in agents]
    renewals = [
        [post(f"/collab/leases/{lock_id}/heartbeat", {}, one)]
        for one, lock_id in zip(agents, held, strict=True)
    ]
    acquires = [
        [post("/collab/leases/acquire", {"resource": f"res:{one['x-kyros-agent']}"}, one)]
        for one in agents
    ]
    return {
        f"REST lease renew, {clients} clients": partial(board.run, renewals),
        f"REST lease acquire, {clients} clients": partial(board.run, acquires),
        f"REST event append, {clients} clients": partial(board.run, appends),
        f"REST claim next, {clients} clients": partial(
            board.claims, clients, 15, lambda one: post("/collab/tasks/claim", {}, keyed(one))
        ),
    }


def tools(board: Board, bare: Target, callers: int, floor: str) -> dict[str, Contender]:
    """The same as tools, beside a tool that does nothing."""
    agents = board.agents(callers)
    key = {"request_id": NUMBER}
    noop = tool("noop", {"text": TEXT, **key}, {})
    note = {"event": "note", "text": TEXT, **key}
    return {
        floor: partial(bare.run, [[noop]] * callers),
        f"MCP lease_renew, {callers} callers": partial(
            board.run,
            [
                [tool("lease_renew", {"lock_ids": [lock_id], **key}, one)]
                for one, lock_id in zip(agents, board.leases(agents), strict=True)
            ],
        ),
        f"MCP event_append, {callers} callers": partial(
            board.run, [[tool("event_append", note, one)] for one in agents]
        ),
        f"MCP task_claim, {callers} callers": partial(
            board.claims,
            callers,
            {1: 150, 16: 25}[callers],
            lambda one: tool("task_claim", dict(key), one),
        ),
    }


def reads(board: Board, clients: int, sizes: tuple[int, ...]) -> dict[str, Contender]:
    """The whole board, unchanged since it was read, in workspaces of these sizes."""
    contenders: dict[str, Contender] = {}
    for size in sizes:
        name = f"board-{size}"
        named = {"x-kyros-workspace": name}
        with board.target.client() as admin:
            _ok(admin.post("/workspaces", json={"id": name}))
        board.backlog(size, **named)
        with board.target.client(**named) as client:
            etag = client.get("/collab/state/tasks").headers["etag"]
        headers = {**bearer(board.target.token), **named, "if-none-match": etag}
        ask = Request("GET", "/collab/state/tasks", headers)
        contenders[f"REST state 304, {size:,} tasks, {clients} clients"] = partial(
            board.run, [[ask]] * clients, 304
        )
    return contenders
