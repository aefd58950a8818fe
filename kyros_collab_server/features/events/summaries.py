"""Summaries: Markdown that tells a range of the log, every statement with the seqs it stands on.

No model writes it: the same events give the same text. What others wrote is quoted under its
author's name, cut, and spelled so that it cannot pass for Markdown of its own.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kyros_collab_server.features.events.model import MAX_LOG_BYTES, Event, EventName

MAX_BYTES = MAX_LOG_BYTES - 1_024
QUOTED = 240
"""Characters of somebody's text that a line quotes."""
STEPS = 16
"""Steps that a task's line tells; the newest, when there were more."""
CITED = 12
"""Seqs that a line cites which only counts."""
LISTED = 60
"""Lines of a section; the newest, when there were more."""
SAID = {
    "decision": "Decisions",
    "blocked": "Blocked",
    "question": "Questions",
    EventName.LATE_RESULT: "Late results",
    "progress": "Progress",
    "note": "Notes",
}
COUNTED = {
    EventName.LEASE_ACQUIRED: ("lease granted", "leases granted"),
    EventName.LEASE_RELEASED: ("lease given back", "leases given back"),
    EventName.AGENT_REGISTERED: ("agent registered", "agents registered"),
    EventName.AGENT_STATUS_CHANGED: ("change of an agent", "changes of agents"),
    EventName.MESSAGE_SENT: ("message", "messages"),
    EventName.LOG_APPENDED: ("entry of the human log", "entries of the human log"),
    EventName.KEY_CREATED: ("key made", "keys made"),
    EventName.KEY_REVOKED: ("key revoked", "keys revoked"),
}
_MARKUP = re.compile(r"([\\`*{}\[\]<>#|~]|(?<!\w)_|_(?!\w))")


def compose(events: Sequence[Event], workspace: str, *, is_whole: bool) -> str:
    """The Markdown of these events, in order of seq; `is_whole` false: of the newest of a range."""
    if not events:
        return f"## {workspace}: nothing happened\n"
    first, last = events[0], events[-1]
    actors = len({event.actor for event in events})
    head = [
        f"## {workspace}, seq {first.seq} to {last.seq}",
        f"{_minute(first.ts)} to {_minute(last.ts)} UTC: {_many(len(events), 'event')} by "
        f"{_many(actors, 'actor')}." + ("" if is_whole else " What came before is left out."),
    ]
    sections = [
        ("Needs a person", _each(events, {EventName.TASK_NEEDS_ATTENTION}, _attention)),
        ("Tasks", _tasks(events)),
        *((title, _each(events, {name}, _said)) for name, title in SAID.items()),
        ("Refused writes", _each(events, {EventName.WRITE_FENCED}, _fenced)),
        ("Leases lost", _each(events, {EventName.LEASE_RECLAIMED}, _reclaimed)),
        ("Leases without progress", _each(events, {EventName.LEASE_QUIET}, _quiet)),
        ("Also", _counted(events)),
    ]
    lines = head + [
        line for title, told in sections if told for line in ("", f"### {title}", *told)
    ]
    return _bounded(lines)


def _bounded(lines: list[str]) -> str:
    """The lines that an entry of the human log can hold."""
    size, kept = 0, len(lines)
    for place, line in enumerate(lines):
        size += len(line.encode()) + 1
        if size > MAX_BYTES:
            kept = place
            break
    more = [] if kept == len(lines) else ["", f"… {_many(len(lines) - kept, 'more line')}."]
    return "\n".join([*lines[:kept], *more]) + "\n"


def _each(events: Iterable[Event], names: set[str], told: Callable[[Event], str]) -> list[str]:
    lines = [f"- {told(event)} {_cite([event.seq])}" for event in events if event.event in names]
    return _newest(lines)


def _newest(lines: list[str]) -> list[str]:
    if len(lines) <= LISTED:
        return lines
    return [f"- … {len(lines) - LISTED} before these.", *lines[-LISTED:]]


def _tasks(events: Iterable[Event]) -> list[str]:
    """One line a task, in the order in which they come up: what became of it."""
    steps: dict[str, list[str]] = {}
    titles: dict[str, str] = {}
    for event in events:
        if not event.event.startswith("task_") or event.target is None:
            continue
        task_id = event.target.removeprefix("task:")
        changes = _mapping(event.details.get("changes"))
        title = _mapping(event.details.get("task")).get("title")
        title = _mapping(changes.get("title")).get("after", title)
        if isinstance(title, str):
            titles[task_id] = title
        if (step := _step(event, changes)) is not None:
            steps.setdefault(task_id, []).append(f"{step} {_cite([event.seq])}")
    lines = []
    for task_id, told in steps.items():
        name = f"**{_plain(task_id)}**" + (
            f" {_quoted(titles[task_id])}" if task_id in titles else ""
        )
        more = [f"{len(told) - STEPS} steps before"] if len(told) > STEPS else []
        lines.append(f"- {name}: {'; '.join([*more, *told[-STEPS:]])}")
    return _newest(lines)


def _step(event: Event, changes: dict[str, Any]) -> str | None:
    """What an event did to its task, in a few words."""
    status = _mapping(changes.get("status"))
    if event.event == EventName.TASK_CREATED:
        return f"created by {event.actor}"
    if event.event == EventName.TASK_CLAIMED:
        return f"claimed by {event.actor}"
    if event.event == EventName.TASK_READY:
        return "ready"
    if event.event == EventName.TASK_REQUEUED:
        return "back in the queue"
    if event.event == EventName.TASK_NEEDS_ATTENTION:
        return None
    if status:
        moved = f"{_plain(str(status.get('before')))} → {_plain(str(status.get('after')))}"
        return f"{moved} by {event.actor}"
    fields = ", ".join(_plain(name) for name in sorted(changes) if name != "lock_id")
    return f"{fields or 'it'} changed by {event.actor}"


def _said(event: Event) -> str:
    target = f" on {_code(event.target)}" if event.target else ""
    text = event.details.get("text")
    said = f": {_quoted(text)}" if isinstance(text, str) and text.strip() else ""
    return f"{event.actor}{target}{said}"


def _attention(event: Event) -> str:
    return f"{_code(event.target or '')} after {event.details.get('attempts')} attempts"


def _fenced(event: Event) -> str:
    writer = str(event.details.get("writer", event.actor))
    return f"{_plain(writer)} on {_code(str(event.details.get('resource', event.target)))}"


def _reclaimed(event: Event) -> str:
    return f"{_plain(str(event.details.get('holder')))} lost {_code(_resource(event))}"


def _quiet(event: Event) -> str:
    return f"{_plain(str(event.details.get('holder')))} on {_code(_resource(event))}"


def _resource(event: Event) -> str:
    return str(event.details.get("resource", event.target))


def _counted(events: Sequence[Event]) -> list[str]:
    """One line for each name that is only counted, the commonest first."""
    told = {*SAID, EventName.WRITE_FENCED, EventName.LEASE_RECLAIMED, EventName.LEASE_QUIET}
    seqs: dict[str, list[int]] = {}
    for event in events:
        if event.event not in told and not event.event.startswith("task_"):
            seqs.setdefault(event.event, []).append(event.seq)
    ordered = sorted(seqs.items(), key=lambda one: (-len(one[1]), one[0]))
    names = {name.value: words for name, words in COUNTED.items()}
    lines = []
    for name, found in ordered:
        one, many = names.get(name, (_code(name), _code(name)))
        lines.append(f"- {len(found)} {one if len(found) == 1 else many} {_cite(found)}")
    return _newest(lines)


def _cite(seqs: Sequence[int]) -> str:
    shown = ", ".join(f"#{seq}" for seq in seqs[:CITED])
    return f"[{shown}{', …' if len(seqs) > CITED else ''}]"


def cited(text: str) -> list[int]:
    """The seqs that a summary cites, each once."""
    found = re.findall(r"(?<=[\[ ])#([0-9]{1,16})(?=[,\]])", text)
    return sorted({int(seq) for seq in found})


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _plain(text: str) -> str:
    """The text on one line, so that none of it is markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _quoted(text: str) -> str:
    words = " ".join(text.split())
    cut = words if len(words) <= QUOTED else words[: QUOTED - 1] + "…"
    return f"“{_plain(cut)}”"


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "'")[:QUOTED] + "`"


def _minute(ts: str) -> str:
    return ts[:16].replace("T", " ")


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" + ("" if count == 1 else "s")
