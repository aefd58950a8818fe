"""Events over REST: append, read in pages, count; and the checkpoints that prove them."""

import csv
import io
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from http_api.endpoint import Endpoint
from http_api.reply import NO_STORE, Answering, Reply, json_bytes
from http_api.request import Call
from kyros_collab_server.features.events import service
from kyros_collab_server.features.events.errors import ReservedEvent
from kyros_collab_server.features.events.model import (
    Event,
    EventBatch,
    EventFilter,
    Moment,
    ReadEvents,
    ReadStats,
    Seq,
    Summarise,
    Summary,
)
from kyros_collab_server.features.messages.errors import UnknownRecipient

NDJSON = "application/x-ndjson"
JSON = "application/json"
CSV = "text/csv"
MARKDOWN = "text/markdown"
COLUMNS = ("seq", "ts", "event", "actor", "target", "details", "request_id", "hash")


class EventsQuery(EventFilter):
    """Which events, after or before which seq."""

    after: Seq | None = None
    before: Seq | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class EventsPage(BaseModel):
    """Events in order of seq.

    `next_cursor` is the `after` of the next page, or its `before` where the question had no
    `after`; null when there is none. `cursor` also covers what the filter skipped.
    """

    model_config = ConfigDict(frozen=True)

    data: list[Event]
    next_cursor: str | None = None
    cursor: int
    head_seq: int


class StatsQuery(ReadStats):
    """Which range of the log, and in how many buckets."""

    begin: Moment | None = Field(default=None, alias="from")
    end: Moment | None = Field(default=None, alias="to")


def _next(query: EventsQuery, batch: EventBatch) -> str | None:
    if query.after is not None:
        ends_here = query.before is not None and batch.cursor >= query.before - 1
        return None if ends_here or batch.cursor >= batch.head else str(batch.cursor)
    if len(batch.items) < query.limit or batch.items[0].seq <= 1:
        return None
    return str(batch.items[0].seq)


class _Pages(Endpoint):
    """A page as JSON; or its events as lines, or as a table."""

    async def answer_to(self, call: Call) -> Answering:
        query = self.validated(EventsQuery, await self.input_of(call))
        command = ReadEvents.model_validate(dict(query))
        batch: EventBatch = await self.perform(call, service.read, command)
        accept = call.headers.get("accept", "")
        cursor = (b"x-kyros-cursor", b"%d" % batch.cursor)
        if NDJSON in accept:
            lines = "".join(event.model_dump_json() + "\n" for event in batch.items)
            return Reply(200, lines.encode(), NDJSON.encode(), [NO_STORE, cursor])
        if CSV in accept:
            name = (b"content-disposition", b'attachment; filename="events.csv"')
            table = _table(batch.items)
            return Reply(200, table, b"text/csv; charset=utf-8", [NO_STORE, cursor, name])
        page = EventsPage(
            data=batch.items,
            next_cursor=_next(query, batch),
            cursor=batch.cursor,
            head_seq=batch.head,
        )
        return self.reply(page, call)


def _table(events: list[Event]) -> bytes:
    """RFC 4180 with a head. No cell can begin a formula: each is a number, a name or an object."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for event in events:
        cells = event.model_dump(mode="json", include=set(COLUMNS))
        cells["details"] = json_bytes(cells["details"]).decode()
        writer.writerow([cells[column] for column in COLUMNS])
    return text.getvalue().encode()


class _Accounts(Endpoint):
    """A summary as JSON, or as Markdown alone; with `append` it is a write."""

    async def answer_to(self, call: Call) -> Answering:
        command = self.validated(Summarise, await self.input_of(call))
        op = service.append_summary if command.append else service.summary
        key = call.idempotency_key if command.append else None
        answer = await call.face.kyros.answer(op, command, actor=call.principal, key=key)
        told: Summary = answer.value
        reply = self.reply(told, call, replayed=answer.replayed)
        if MARKDOWN in call.headers.get("accept", ""):
            reply.body, reply.media_type = told.markdown.encode(), b"text/markdown; charset=utf-8"
        return reply


ENDPOINTS = [
    Endpoint(
        "POST",
        "/collab/events",
        service.append,
        "Append an event of one's own.",
        errors=(ReservedEvent, UnknownRecipient),
    ),
    _Pages(
        "GET",
        "/collab/events",
        service.read,
        "Read events: after a seq, or the newest before one.",
        query=EventsQuery,
        answer=EventsPage,
        answer_types=(JSON, NDJSON, CSV),
    ),
    Endpoint(
        "GET",
        "/collab/events/stats",
        service.stats,
        "Count the events of a range: over time, by name, by actor.",
        query=StatsQuery,
        command=lambda query, _: ReadStats.model_validate(dict(query)),
    ),
    _Accounts(
        "POST",
        "/collab/events/summary",
        service.summary,
        "Summarise a range or a selection of the log as Markdown with citations.",
        answer_types=(JSON, MARKDOWN),
    ),
    Endpoint(
        "GET",
        "/collab/checkpoints",
        service.checkpoints,
        "Read the signed checkpoints of the log, with the public keys to check them by.",
    ),
    Endpoint(
        "POST",
        "/collab/logs",
        service.append_log,
        "Append a text to the human log.",
    ),
]
