"""The tail of the log over REST: a stream of frames, or a long-poll."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from http_api.endpoint import Endpoint
from http_api.reply import NO_STORE, Answering, Reply
from http_api.request import Call
from http_api.routes.events import JSON, NDJSON
from http_api.sse import Start, Tail
from kyros_collab_server.features.events import service
from kyros_collab_server.features.events.model import (
    Event,
    EventBatch,
    EventFilter,
    FindSeq,
    Head,
    ReadEvents,
    ReadHead,
)
from kyros_collab_server.kernel.errors import Invalid, TooManyStreams

SSE = "text/event-stream"
_SEQ = re.compile(r"[0-9]{1,16}")


class TailQuery(EventFilter):
    """Where to start, what to let through, and how long a long-poll waits."""

    since: (
        Annotated[
            str,
            Field(max_length=40, description="A seq (after it), or an RFC 3339 instant (from it)."),
        ]
        | None
    ) = None
    epoch: (
        Annotated[
            str,
            Field(max_length=64, description="The log that `since` is of; another gets `reset`."),
        ]
        | None
    ) = None
    wait: (
        Annotated[
            float, Field(ge=0, le=30, description="Long-poll: seconds to wait for a first event.")
        ]
        | None
    ) = None
    limit: Annotated[int, Field(ge=1, le=1000, description="Long-poll: items at most.")] = 100


class Polled(BaseModel):
    """What came, and the cursor that also covers what the filter skipped."""

    model_config = ConfigDict(frozen=True)

    items: list[Event]
    cursor: int


def _filter(query: EventFilter) -> EventFilter:
    return EventFilter(types=query.types, actor=query.actor, target=query.target)


class _Tails(Endpoint):
    """The same events as a stream of frames, or as a long-poll."""

    async def answer_to(self, call: Call) -> Answering:
        query = self.validated(TailQuery, await self.input_of(call))
        accept = call.headers.get("accept", "")
        head: Head = await self.perform(call, service.head, ReadHead())
        after = await self._after(call, query)
        start = Start(after, query.epoch, head)
        if SSE in accept or NDJSON in accept or (query.wait is None and JSON not in accept):
            return self._stream(call, start, query)
        return await self._poll(call, start, query)

    async def _after(self, call: Call, query: TailQuery) -> int | None:
        last = call.headers.get("last-event-id")
        if last:
            if not _SEQ.fullmatch(last):
                raise Invalid("Last-Event-ID", "must be a seq")
            return int(last)
        if query.since is None:
            return None
        if _SEQ.fullmatch(query.since):
            return int(query.since)
        instant = FindSeq(ts=query.since.replace(" ", "+") if "T" in query.since else query.since)
        found: int = await self.perform(call, service.find_seq, instant)
        return found

    def _stream(self, call: Call, start: Start, query: TailQuery) -> Answering:
        face, principal = call.face, call.principal
        as_lines = NDJSON in call.headers.get("accept", "")
        if call.scope["method"] == "HEAD":
            media = NDJSON if as_lines else f"{SSE}; charset=utf-8"
            return Reply(200, b"", media.encode(), [NO_STORE])
        face.slots.take(principal.id)
        return Tail(
            face.rings,
            principal.workspace,
            start,
            _filter(query),
            as_lines=as_lines,
            recheck=lambda: face.callers.again(call),
            give_back=lambda: face.slots.give_back(principal.id),
        )

    async def _poll(self, call: Call, start: Start, query: TailQuery) -> Answering:
        if start.is_reset:
            return self.reply(Polled(items=[], cursor=start.head.seq), call)
        after = start.head.seq if start.after is None else start.after
        command = ReadEvents(
            after=after,
            limit=query.limit,
            wait_seconds=query.wait or 0,
            types=query.types,
            actor=query.actor,
            target=query.target,
        )
        batch: EventBatch = await self.perform(call, service.read, command)
        return self.reply(Polled(items=batch.items, cursor=batch.cursor), call)


ENDPOINTS = [
    _Tails(
        "GET",
        "/collab/events/tail",
        service.read,
        "Follow the log: Server-Sent Events, lines of JSON, or a long-poll with `wait`.",
        query=TailQuery,
        answer=Polled,
        answer_types=(SSE, NDJSON, JSON),
        errors=(TooManyStreams,),
        headers=("Last-Event-ID",),
    ),
]
