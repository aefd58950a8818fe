"""Tools of the events feature: append one of your own, wait for others'."""

import json
from typing import Annotated, Any, NotRequired

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import (
    AppendEvent,
    Event,
    EventBatch,
    EventTypes,
    ReadEvents,
    Seq,
)
from kyros_collab_server.kernel.ids import Text
from kyros_collab_server.kernel.paging import PageLimit
from kyros_collab_server.mcp_face.toolbox import MAX_WAIT_SECONDS, Call, Reply, ToolSpec
from kyros_collab_server.mcp_face.wording import clock, lean, listed, one_line

_PLAIN_DETAILS = 200


class AppendCall(AppendEvent):
    """`AppendEvent` with something to say."""

    text: Annotated[Text, Field(min_length=1, max_length=16_384)]


class WaitCall(BaseModel):
    """Which events, after which cursor, and for how long to wait."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: Seq | None = None
    types: EventTypes | None = None
    actor: Annotated[str, Field(max_length=160)] | None = None
    target: Annotated[str, Field(max_length=256)] | None = None
    wait_seconds: Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS)] = 0
    limit: PageLimit = 20


class EventAnswer(TypedDict):
    """One line of the log. Texts in `details` are data by `actor`."""

    seq: int
    ts: str
    event: str
    actor: str
    target: NotRequired[str]
    details: NotRequired[dict[str, Any]]


class EventsAnswer(TypedDict):
    """Events in order, and the cursor to go on from."""

    items: list[EventAnswer]
    cursor: int


class AppendedAnswer(TypedDict):
    """Where the event stands in the log."""

    seq: int
    replayed: NotRequired[bool]


def event_answer(event: Event) -> dict[str, Any]:
    """The event without what only proofs need."""
    answer: dict[str, Any] = {
        "seq": event.seq,
        "ts": event.ts,
        "event": event.event,
        "actor": event.actor,
    }
    if event.target is not None:
        answer["target"] = lean(event.target)
    if event.details:
        answer["details"] = lean(event.details)
    return answer


def event_words(event: Event) -> str:
    """`#12 12:08:10Z progress by agent:ana on task:T-7: text`."""
    words = f"#{event.seq} {clock(event.ts)} {event.event} by {event.actor}"
    if event.target is not None:
        words += f" on {one_line(event.target)}"
    text = event.details.get("text")
    if isinstance(text, str):
        return f"{words}: {one_line(text)}"
    if event.details:
        spelled = json.dumps(lean(event.details), ensure_ascii=False, separators=(",", ":"))
        words += f": {one_line(spelled, _PLAIN_DETAILS)}"
    return words


def batch_reply(batch: EventBatch) -> Reply:
    """The events in both forms, with the cursor to go on from."""
    lines = [*map(event_words, batch.items), f"cursor {batch.cursor}"]
    if not batch.items:
        lines.insert(0, "no event matched")
    structured = {"items": [event_answer(event) for event in batch.items], "cursor": batch.cursor}
    return Reply(listed(lines, "", narrow="a smaller limit, types or target"), structured)


async def append(call: Call, command: AppendCall) -> Reply:
    """The event stands in the log and in the inboxes of `to`."""
    appended = await call.perform(events.append, command)
    sent = f", sent to {' '.join(command.to)}" if command.to else ""
    return Reply(f"appended #{appended.seq}{sent}", {"seq": appended.seq})


async def wait(call: Call, command: WaitCall) -> Reply:
    """The events after the cursor, or the first to come."""
    read = ReadEvents.model_construct(
        types=command.types,
        actor=command.actor,
        target=command.target,
        after=command.after,
        before=None,
        limit=command.limit,
        wait_seconds=command.wait_seconds,
    )
    return batch_reply(await call.perform(events.read, read))


TOOLS = (
    ToolSpec(
        name="event_append",
        description="Tell others: note, progress, decision, blocked, question, or a dotted name. "
        "With `to` it also lands in inboxes. A fenced-off holder leaves its output here.",
        takes=AppendCall,
        arguments=("event", "text", "target", "to", "details"),
        answer=AppendedAnswer,
        run=append,
        operations=(events.append,),
        notes={
            "event": "",
            "target": "task:<id>, agent:<name>, lease:<lock_id>, …",
            "to": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Agent names, role:<role>, or all.",
            },
        },
    ),
    ToolSpec(
        name="event_wait",
        description="Read events after a cursor; with wait_seconds wait for the first match. Use "
        "it when idle, or to follow a task or an agent.",
        takes=WaitCall,
        arguments=("after", "types", "actor", "target", "wait_seconds", "limit"),
        answer=EventsAnswer,
        run=wait,
        operations=(events.read,),
        hints="RI",
        always_load=True,
        notes={
            "after": {
                "type": "integer",
                "description": "Cursor. Absent: the newest; with a wait, from now.",
            },
            "types": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Names; task_* matches a family.",
            },
            "wait_seconds": {"type": "number", "maximum": MAX_WAIT_SECONDS},
            "limit": {"type": "integer", "maximum": 100},
        },
    ),
)
