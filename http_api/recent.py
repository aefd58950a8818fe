"""What was lately heard and is not logged: tool calls, heartbeats, and who made them."""

import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from kyros_collab_server.kernel.time import rfc3339

CALLS = 200
"""Tool calls kept of each agent."""
BEATS = 50
"""Heartbeats kept of each lease."""
AGENTS = 1_000
LEASES = 2_000
CLIENTS = 200
TOOLS = 64
"""Agents, leases, clients and tools of a client that are remembered; the stalest go first."""
V = TypeVar("V")


class ToolCall(BaseModel):
    """One tool call of an agent."""

    model_config = ConfigDict(frozen=True)

    ts: str
    client: str | None
    tool: str
    ms: float
    ok: bool


class SeenClient(BaseModel):
    """An MCP client program that called tools here since this server started."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str | None
    transport: str | None
    agents: list[str]
    tools: list[str]
    calls: int
    first_call: str
    last_call: str


@dataclass
class _Client:
    name: str
    version: str | None
    transport: str | None
    first_call: str
    last_call: str = ""
    calls: int = 0
    agents: dict[str, None] = field(default_factory=dict)
    tools: dict[str, None] = field(default_factory=dict)


class Recent:
    """Remembers the frames that this process heard, bounded, until it ends."""

    def __init__(self) -> None:
        self._calls: OrderedDict[tuple[str, str], deque[ToolCall]] = OrderedDict()
        self._beats: OrderedDict[tuple[str, str], deque[str]] = OrderedDict()
        self._clients: OrderedDict[tuple[str, ...], _Client] = OrderedDict()

    def heard(self, workspace: str, name: str, payload: dict[str, Any]) -> None:
        """The frame is remembered when it is a tool call or a heartbeat."""
        if name == "call":
            self._called(workspace, payload)
        elif name == "beat":
            key = (workspace, str(payload["lock_id"]))
            beats = _kept(self._beats, key, LEASES) or deque(maxlen=BEATS)
            beats.append(str(payload["heartbeat_at"]))
            self._beats[key] = beats

    def _called(self, workspace: str, payload: dict[str, Any]) -> None:
        ts = rfc3339(time.time_ns() // 1_000_000)
        agent, client = payload.get("agent"), payload.get("client")
        made = ToolCall(
            ts=ts, client=client, tool=payload["tool"], ms=payload["ms"], ok=payload["ok"]
        )
        if agent is not None:
            key = (workspace, agent)
            calls = _kept(self._calls, key, AGENTS) or deque(maxlen=CALLS)
            calls.append(made)
            self._calls[key] = calls
        version, transport = payload.get("version"), payload.get("transport")
        who = (workspace, client or "", version or "", transport or "")
        seen = _kept(self._clients, who, CLIENTS) or _Client(
            client or "unnamed", version, transport, ts
        )
        self._clients[who] = seen
        seen.last_call = ts
        seen.calls += 1
        if agent is not None and len(seen.agents) < AGENTS:
            seen.agents[agent] = None
        if len(seen.tools) < TOOLS:
            seen.tools[made.tool] = None

    def calls_of(self, workspace: str, agent: str) -> list[ToolCall]:
        """The latest tool calls of an agent, newest first."""
        return list(reversed(self._calls.get((workspace, agent), ())))

    def beats_of(self, workspace: str, lock_id: str) -> list[str]:
        """When the lease's latest heartbeats came, newest first."""
        return list(reversed(self._beats.get((workspace, lock_id), ())))

    def clients_of(self, workspace: str) -> list[SeenClient]:
        """The clients that called tools in a workspace, the latest first."""
        return [
            SeenClient(
                name=one.name,
                version=one.version,
                transport=one.transport,
                agents=list(one.agents),
                tools=list(one.tools),
                calls=one.calls,
                first_call=one.first_call,
                last_call=one.last_call,
            )
            for key, one in reversed(self._clients.items())
            if key[0] == workspace
        ]


def _kept(book: "OrderedDict[Any, V]", key: Any, limit: int) -> V | None:
    """What is remembered under the key, as the freshest; the stalest is forgotten at the limit."""
    if key in book:
        book.move_to_end(key)
        return book[key]
    if len(book) >= limit:
        book.popitem(last=False)
    return None
