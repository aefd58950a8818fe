"""The tail as a stream: Server-Sent Events, or the same frames as lines of JSON."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from http_api.ring import PAGE, Frame, Ring, Rings, event_frame, notice
from kyros_collab_server.features.events.model import EventFilter, Head, ReadEvents
from kyros_collab_server.kernel.errors import KyrosError, NotFound, TooManyStreams, Unauthenticated

HEARTBEAT_SECONDS = 15.0
BLOCKED_SECONDS = 30.0
"""A reader whose one write takes longer is cut; it resumes by its cursor."""
RECHECK_SECONDS = 40.0
"""Looked at after each wait of at most a heartbeat, so credentials are at most 60 s old."""
CHUNK_BYTES = 131_072
SLICE = 512
ABORT = "kyros.abort"
"""Where the server leaves, in the scope, what drops the connection without flushing it."""
RIDE_ALONG = frozenset({"beat", "call"})

log = logging.getLogger(__name__)


class StreamSlots:
    """How many streams each principal holds open."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()

    def take(self, principal: str) -> None:
        """One more stream is open.

        Raises:
            TooManyStreams: the principal has as many as it may.
        """
        if self._held[principal] >= self._limit:
            raise TooManyStreams(self._limit)
        self._held[principal] += 1

    def give_back(self, principal: str) -> None:
        """One stream less is open."""
        self._held[principal] -= 1
        if self._held[principal] <= 0:
            del self._held[principal]

    @property
    def open_streams(self) -> int:
        """Streams open now, of all principals."""
        return self._held.total()


@dataclass(frozen=True)
class Start:
    """Where a reader starts. `after` None: with what comes next."""

    after: int | None
    epoch: str | None
    head: Head

    @property
    def is_reset(self) -> bool:
        """True when the reader's cursor is not of this log."""
        if self.epoch is not None and self.epoch != self.head.epoch:
            return True
        return self.after is not None and self.after > self.head.seq


class _Cut(Exception):
    """The stream ends without another word."""


class Tail:
    """One reader's stream. As an ASGI answer it lasts until one side ends it."""

    def __init__(
        self,
        rings: Rings,
        workspace: str,
        start: Start,
        wanted: EventFilter,
        *,
        as_lines: bool,
        recheck: Callable[[], Awaitable[object]],
        give_back: Callable[[], None],
    ) -> None:
        self._rings = rings
        self._workspace = workspace
        self._start = start
        self._wanted = wanted
        self._is_filtered = wanted != EventFilter()
        self._as_lines = as_lines
        self._recheck = recheck
        self._give_back = give_back
        self._cursor = start.head.seq
        self._sent = 0
        self._replay_from: int | None = None
        self._is_gone = False
        self._waiter: asyncio.Future[None] | None = None
        self._written_at = self._checked_at = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send
        leaving = asyncio.create_task(self._watch(receive))
        try:
            await send(self._opening())
            async with self._rings.reading(self._workspace) as ring:
                await self._greet()
                await self._follow(ring)
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            log.info("stream_cut", extra={"workspace": self._workspace})
            if (abort := scope.get(ABORT)) is not None:
                abort()
        except (_Cut, KyrosError):
            await send({"type": "http.response.body", "body": b""})
        finally:
            leaving.cancel()
            self._give_back()

    def _opening(self) -> dict[str, object]:
        media = b"application/x-ndjson" if self._as_lines else b"text/event-stream; charset=utf-8"
        headers = [
            (b"content-type", media),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        return {"type": "http.response.start", "status": 200, "headers": headers}

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def _is_over(self) -> bool:
        return self._is_gone or self._rings.is_closing

    async def _greet(self) -> None:
        head = self._start.head
        hello = {"server_time": head.server_time, "head_seq": head.seq, "epoch": head.epoch}
        opening = b"" if self._as_lines else b"retry: 2000\n\n"
        opening += self._spelled(notice("hello", hello))
        if self._start.is_reset:
            reset = {"oldest_seq": min(1, head.seq), "head_seq": head.seq, "epoch": head.epoch}
            opening += self._spelled(notice("reset", reset))
        elif self._start.after is not None:
            self._cursor = self._replay_from = self._start.after
        await self._write(opening)

    async def _follow(self, ring: Ring) -> None:
        position: int | None = None
        while not self._is_over:
            await self._check_credentials()
            if position is None or position < ring.first:
                if not ring.covers(self._cursor):
                    await self._write_page(ring)
                    continue
                position = ring.position_after(self._cursor)
            if self._replay_from is not None and self._cursor >= self._start.head.seq:
                await self._say_caught_up()
            frames = ring.slice(position, SLICE)
            if frames:
                position += len(frames)
                await self._write_frames(frames)
            elif not ring.is_open:
                raise _Cut
            else:
                await self._wait(ring)

    async def _write_page(self, ring: Ring) -> None:
        wanted = ReadEvents(
            after=self._cursor,
            limit=PAGE,
            types=self._wanted.types,
            actor=self._wanted.actor,
            target=self._wanted.target,
        )
        try:
            batch = await ring.page(wanted)
        except KyrosError as refusal:
            log.warning("stream_cannot_read", extra={"code": refusal.code})
            raise _Cut from None
        self._sent += len(batch.items)
        self._cursor = batch.cursor
        await self._write(b"".join(self._spelled(event_frame(event)) for event in batch.items))

    async def _write_frames(self, frames: list[Frame]) -> None:
        parts: list[bytes] = []
        size = 0
        for frame in frames:
            if frame.seq is not None:
                if frame.seq <= self._cursor:
                    continue
                self._cursor = frame.seq
            if self._is_filtered and not self._admits(frame):
                continue
            self._sent += frame.seq is not None
            parts.append(self._spelled(frame))
            size += len(parts[-1])
            if size > CHUNK_BYTES:
                await self._write(b"".join(parts))
                parts, size = [], 0
        await self._write(b"".join(parts))

    def _admits(self, frame: Frame) -> bool:
        if frame.name in RIDE_ALONG:
            types, actor = self._wanted.types, self._wanted.actor
            return (types is None or frame.name in types) and actor in {None, frame.actor}
        return self._wanted.admits(frame.name, frame.actor, frame.target)

    async def _say_caught_up(self) -> None:
        start, self._replay_from = self._replay_from or 0, None
        told = {
            "from": start,
            "to": self._cursor,
            "sent": self._sent,
            "filtered": self._cursor - start - self._sent,
        }
        await self._write(self._spelled(notice("caught_up", told)))

    async def _wait(self, ring: Ring) -> None:
        if time.monotonic() - self._written_at >= HEARTBEAT_SECONDS:
            await self._write(b"\n" if self._as_lines else b": beat\n\n")
            return  # frames may have come meanwhile: look before waiting
        self._waiter = waiter = ring.waiter()
        try:
            if not self._is_over:
                await waiter
        finally:
            self._waiter = None
            ring.forget(waiter)

    async def _check_credentials(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < RECHECK_SECONDS:
            return
        self._checked_at = now
        try:
            await self._recheck()
        except (Unauthenticated, NotFound):
            raise _Cut from None
        except KyrosError as refusal:
            log.warning("stream_not_rechecked", extra={"code": refusal.code})

    def _spelled(self, frame: Frame) -> bytes:
        return frame.line if self._as_lines else frame.sse

    async def _write(self, body: bytes) -> None:
        if not body:
            return
        async with asyncio.timeout(BLOCKED_SECONDS):
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
        self._written_at = time.monotonic()
