"""The brief: what a fresh context needs to continue a task."""

from collections.abc import Sequence

from kyros_collab_server.features.events.model import Event
from kyros_collab_server.features.leases.model import Lease
from kyros_collab_server.features.tasks.model import BRIEF_CHARACTERS, Task

BRIEF_EVENTS = ("decision", "blocked", "question", "progress", "note", "late_result")
BRIEF_EVENT_COUNT = 12
_DESCRIPTION, _HANDOFF, _LINE = 2_400, 1_600, 160


def compose(task: Task, events: Sequence[Event], leases: Sequence[Lease]) -> str:
    """Markdown of at most 6,000 characters: goal, definition of done, handoff, decisions, leases.

    What others wrote is quoted under its author's name.
    """
    parts = [
        f'# {task.id} "{task.title}"',
        f"{task.priority} · {task.status} · etag {task.etag}",
        _block(f"Goal (by {task.created_by})", _cut(task.description, _DESCRIPTION)),
        _block("Definition of done", "\n".join(_checkbox(task))),
        _block("Handoff of the last holder", _quote(_cut(task.handoff, _HANDOFF))),
        _block("From the log", "\n".join(_line(event) for event in events)),
        _block(
            "Leases",
            "\n".join(
                f"- {lease.resource} · {lease.lock_id} · fencing_token {lease.fencing_token}"
                for lease in leases
            ),
        ),
        _block("Links", "\n".join(f"- {_cut(link.url, _LINE)}" for link in task.links[:10])),
    ]
    return _cut("\n\n".join(part for part in parts if part), BRIEF_CHARACTERS)


def last_notes(holder: str, events: Sequence[Event]) -> str:
    """The handoff of a holder who could not leave one: what it said of the task last."""
    head = f"{holder} lost the lease. Its last notes:"
    return "\n".join([head, *(_line(event) for event in events)])


def _block(head: str, body: str) -> str:
    return f"## {head}\n{body}" if body else ""


def _checkbox(task: Task) -> list[str]:
    return [
        f"- [{'x' if item.done else ' '}] {item.id}: {_cut(item.text, _LINE)}"
        for item in task.definition_of_done
    ]


def _line(event: Event) -> str:
    text = event.details.get("text")
    said = _cut(" ".join(text.split()), _LINE) if isinstance(text, str) else ""
    return f"- #{event.seq} {event.event} by {event.actor}: {said}"


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
