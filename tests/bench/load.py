"""A load generator in a process of its own: many keep-alive connections, one call each at a time.

`python -m tests.bench.load < plan.json` prints what came of it. It speaks just enough HTTP/1.1,
so that the server and not the client is what is measured.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import uvloop

NUMBER = "@@@@@@@@@@@@"
"""Stands for a number that no other request of the run has, of the same width."""
RUN_SECONDS = 120.0


@dataclass(frozen=True)
class Request:
    """One request, sent again and again with another number."""

    method: str
    path: str
    headers: dict[str, str]
    body: str = ""

    def raw(self, port: int) -> bytes:
        """The bytes on the wire."""
        head = [f"{self.method} {self.path} HTTP/1.1", f"host: 127.0.0.1:{port}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.method != "GET":
            head.append(f"content-length: {len(self.body.encode())}")
        return ("\r\n".join(head) + "\r\n\r\n" + self.body).encode()


@dataclass(frozen=True)
class Plan:
    """Where to, what each client sends in turn, how often at most and for how long."""

    port: int
    clients: list[list[Request]]
    calls: int
    seconds: float
    first_number: int = 0
    status: int = 200

    def text(self) -> str:
        """The plan as the generator reads it."""
        return json.dumps(asdict(self))


class Connection(asyncio.Protocol):
    """One client: it sends its next request when the last one was answered."""

    def __init__(self, run: "Run", requests: list[bytes]) -> None:
        self._run = run
        self._requests = requests
        self._left = run.plan.calls
        self._at = 0
        self._buffer = b""
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self) -> None:
        """The next request is on its way."""
        template = self._requests[self._at % len(self._requests)]
        self._at += 1
        self._sent = time.perf_counter()
        self._transport.write(template.replace(NUMBER.encode(), self._run.number()))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _length(head):
            return
        self._run.answered(int(head[9:12]), body, time.perf_counter() - self._sent)
        self._buffer = b""
        self._left -= 1
        if self._left and time.perf_counter() < self._run.deadline:
            self.send()
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or EOFError("the server closed the connection"))


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at < 0:
        return 0
    return int(lower[at + 15 : lower.find(b"\r", at) if b"\r" in lower[at:] else None])


class Run:
    """All clients of a plan, and what they were told."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._number = plan.first_number
        self._took: list[float] = []
        self.deadline = 0.0
        self._other: dict[str, str] = {}

    def number(self) -> bytes:
        """The next number of the run."""
        self._number += 1
        return b"%012d" % self._number

    def answered(self, status: int, body: bytes, seconds: float) -> None:
        """Note an answer; one of another status or a refused tool call is kept as an example."""
        self._took.append(seconds)
        if status != self.plan.status or b'"isError":true' in body:
            self._other.setdefault(str(status), body[:500].decode(errors="replace"))

    async def go(self) -> dict[str, Any]:
        """Everything was sent and answered."""
        loop = asyncio.get_running_loop()
        connections = []
        for requests in self.plan.clients:
            raw = [request.raw(self.plan.port) for request in requests]
            _, connection = await loop.create_connection(
                lambda raw=raw: Connection(self, raw),  # type: ignore[misc]
                "127.0.0.1",
                self.plan.port,
            )
            connections.append(connection)
        began = time.perf_counter()
        self.deadline = began + self.plan.seconds
        for connection in connections:
            connection.send()
        async with asyncio.timeout(RUN_SECONDS):
            await asyncio.gather(*(connection.done for connection in connections))
        wall = time.perf_counter() - began
        took = sorted(self._took)
        return {
            "operations": len(took),
            "wall_seconds": wall,
            "p50_ms": took[len(took) // 2] * 1000,
            "p99_ms": took[int(len(took) * 0.99)] * 1000,
            "other": self._other,
        }


def read(text: str) -> Plan:
    """The plan behind its text."""
    values = json.loads(text)
    clients = [[Request(**one) for one in client] for client in values.pop("clients")]
    return Plan(clients=clients, **values)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(Run(read(sys.stdin.read())).go())))
