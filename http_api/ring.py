"""The ring: the newest frames of a workspace, each encoded once, shared by all its readers."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from kyros_collab_server.application import Kyros
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import Event, EventBatch, ReadEvents, ReadHead
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.kernel.principal import Principal, Scope

MAX_EVENTS = 4_096
MAX_BYTES = 8 * 1_048_576
TRIM = 256
"""Frames that go at once, so that trimming costs nothing a frame."""
PAGE = 500
POLL_SECONDS = 5.0
"""A lost bell delays by at most this long."""
RETRY_SECONDS = 0.5
TICK_SECONDS = 1.0
"""How often readers look at their own clocks: one timer for all, not one for each wait."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame in both spellings. `seq` is None for what rides along without being logged."""

    seq: int | None
    name: str
    actor: str
    target: str | None
    sse: bytes
    line: bytes


def event_frame(event: Event) -> Frame:
    """The frame of an event: SSE id is its seq, SSE event its name, data the event."""
    text = event.model_dump_json().encode()
    sse = b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.event.encode(), text)
    return Frame(event.seq, event.event, event.actor, event.target, sse, text + b"\n")


def notice(name: str, payload: Mapping[str, Any]) -> Frame:
    """A frame that is not of the log: `hello`, `caught_up`, `reset`, `beat`, `call`."""
    text = json.dumps(payload, separators=(",", ":")).encode()
    line = json.dumps({"frame": name, **payload}, separators=(",", ":")).encode()
    sse = b"event: %s\ndata: %s\n\n" % (name.encode(), text)
    actor = payload.get("holder") or payload.get("agent") or ""
    return Frame(None, name, str(actor), None, sse, line + b"\n")


class Ring:
    """Follows one workspace's log while somebody reads it.

    Every event with `base_seq < seq <= head_seq` is in it, in order, with the notices between
    them where they happened. A reader holds a position: the number of frames before it.
    """

    def __init__(self, kyros: Kyros, workspace: str) -> None:
        self._kyros = kyros
        self.workspace = workspace
        self._reader = Principal(
            id="http_api",
            scopes=frozenset({Scope.TASKS_READ}),
            workspace=workspace,
            workspaces=(workspace,),
        )
        self._frames: list[Frame] = []
        self._bytes = 0
        self.first = 0
        self.base_seq = 0
        self.head_seq = 0
        self.readers = 0
        self.is_open = True
        self._waiters: set[asyncio.Future[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def end(self) -> int:
        """The position after the newest frame."""
        return self.first + len(self._frames)

    async def start(self) -> None:
        """The ring follows the log from its head on."""
        head = await self._kyros.perform(events.head, ReadHead(), actor=self._reader)
        self.base_seq = self.head_seq = head.seq
        self._tasks = [
            asyncio.create_task(self._follow_log(), name=f"ring {self.workspace}"),
            asyncio.create_task(self._follow_notices(), name=f"notices {self.workspace}"),
            asyncio.create_task(self._tick(), name=f"tick {self.workspace}"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Nothing is followed any more; whoever waits is woken and sees it."""
        self.is_open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("ring_failed", exc_info=error, extra={"workspace": self.workspace})
        self.is_open = False
        self.wake()

    async def _follow_log(self) -> None:
        while True:
            head = await self._kyros.feed.after(self.workspace, self.head_seq, POLL_SECONDS)
            if head <= self.head_seq:
                continue
            try:
                batch = await self.page(ReadEvents(after=self.head_seq, limit=PAGE))
            except KyrosError as refusal:
                log.warning("ring_waits", extra={"code": refusal.code})
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self.add([event_frame(event) for event in batch.items])

    async def _follow_notices(self) -> None:
        async with self._kyros.feed.frames(self.workspace) as notices:
            async for name, payload in notices:
                self.add([notice(name, payload)])

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.wake()

    async def page(self, command: ReadEvents) -> EventBatch:
        """Events from the table, for what the ring does not hold."""
        batch: EventBatch = await self._kyros.perform(events.read, command, actor=self._reader)
        return batch

    def add(self, frames: Iterable[Frame]) -> None:
        """The frames are the newest ones, and every reader knows."""
        for frame in frames:
            self._frames.append(frame)
            self._bytes += len(frame.sse) + len(frame.line)
            if frame.seq is not None:
                self.head_seq = frame.seq
        if len(self._frames) > MAX_EVENTS + TRIM or self._bytes > MAX_BYTES:
            self._trim()
        self.wake()

    def _trim(self) -> None:
        gone = max(0, len(self._frames) - MAX_EVENTS)
        size = self._bytes - sum(len(f.sse) + len(f.line) for f in self._frames[:gone])
        while size > MAX_BYTES and gone < len(self._frames):
            size -= len(self._frames[gone].sse) + len(self._frames[gone].line)
            gone += 1
        for frame in self._frames[:gone]:
            if frame.seq is not None:
                self.base_seq = frame.seq
        del self._frames[:gone]
        self.first += gone
        self._bytes = size

    def position_after(self, seq: int) -> int:
        """Where a reader goes on that has read everything up to `seq`; `covers` it first."""
        for index, frame in enumerate(self._frames):
            if frame.seq is not None and frame.seq > seq:
                return self.first + index
        return self.end

    def covers(self, seq: int) -> bool:
        """True when every event after `seq` is in the ring or still to come."""
        return seq >= self.base_seq

    def slice(self, position: int, limit: int) -> list[Frame]:
        """At most `limit` frames from a position on."""
        start = position - self.first
        return self._frames[start : start + limit]

    def wake(self) -> None:
        """Whoever waits looks again."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def waiter(self) -> "asyncio.Future[None]":
        """A future that is done at the next frame, or at the next tick."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(future)
        return future

    def forget(self, waiter: "asyncio.Future[None]") -> None:
        """The waiter is woken by nobody any more."""
        self._waiters.discard(waiter)


class Rings:
    """The rings of the workspaces that somebody reads."""

    def __init__(self, kyros: Kyros) -> None:
        self._kyros = kyros
        self._rings: dict[str, Ring] = {}
        self._opening = asyncio.Lock()
        self.is_closing = False

    @asynccontextmanager
    async def reading(self, workspace: str) -> AsyncIterator[Ring]:
        """The workspace's ring; it follows the log from before this is entered."""
        async with self._opening:
            ring = self._rings.get(workspace)
            if ring is None or not ring.is_open:
                ring = Ring(self._kyros, workspace)
                await ring.start()
                self._rings[workspace] = ring
            ring.readers += 1
        try:
            yield ring
        finally:
            ring.readers -= 1
            if ring.readers == 0:
                if self._rings.get(workspace) is ring:
                    del self._rings[workspace]
                await ring.stop()

    def close(self) -> None:
        """Every stream ends cleanly as soon as its write is done; new ones end at once."""
        self.is_closing = True
        for ring in self._rings.values():
            ring.wake()
