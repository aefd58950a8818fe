"""Exports: a board as one document, a log as lines, tasks as a table, columns as Markdown."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from kyros_collab_server.adapters.event_file import line_of
from kyros_collab_server.adapters.packages import Document
from kyros_collab_server.adapters.state_texts import StateTexts, View
from kyros_collab_server.features.tasks.model import TaskStatus
from kyros_collab_server.kernel.etag import canonical

R = TypeVar("R")
PAGE = 2_000
COLUMNS = (
    "id title status priority assignee role labels skills depends_on resources done items attempts "
    "needs_attention created_by created_at updated_at version description handoff"
).split()
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
_MARKUP = re.compile(r"([\\`*_\[\]<>|#])")


class Source(Protocol):
    """A store that can be read."""

    def read(self, look: Callable[[Any], R]) -> R:
        """What the look finds in one snapshot, a `View`."""
        ...


def lines(source: Source, through: int | None = None) -> Iterator[str]:
    """The log, an event a line, up to its end as it is now."""
    end = source.read(_head)[0] if through is None else through
    seq = 0
    while seq < end:
        page = source.read(partial(_page, seq, min(PAGE, end - seq)))
        for line in page:
            yield f"{line_of(line.body, line.hash)}\n"
            seq = line.seq
        if not page:
            return


def document(source: Source, workspace: str) -> Iterator[str]:
    """The whole board as one JSON document; its events are the lines of the log."""
    head = source.read(partial(_whole, workspace))
    end = head["seq"]
    yield canonical(head)[:-1] + ',"events":['
    before = "\n"
    for line in lines(source, end):
        yield before + line[:-1]
        before = ",\n"
    yield "\n]}\n"


def _whole(workspace: str, view: View) -> dict[str, Any]:
    texts = StateTexts()
    texts.refresh(view, set(), new_messages=True)
    seq, digest = view.head()
    return {
        "format": Document.FORMAT,
        "workspace": workspace,
        "epoch": view.epoch,
        "seq": seq,
        "hash": digest,
        "state": {text.kind: text.document() for text in texts},
        "checkpoints": view.checkpoints(0),
        "keys": view.keys(),
    }


def _head(view: View) -> tuple[int, str]:
    return view.head()


def _page(after: int, limit: int, view: View) -> list[Any]:
    return list(view.lines(after, limit))


def tasks(source: Source) -> list[dict[str, Any]]:
    """Every task as everybody sees it, in order of creation."""

    def look(view: View) -> list[dict[str, Any]]:
        return [entry.public for entry in view.tasks()]

    return source.read(look)


def table(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The tasks as CSV (RFC 4180). No cell of theirs is a formula to a spreadsheet."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for task in found:
        checklist = task["definition_of_done"]
        ticked = {"done": sum(item["done"] for item in checklist), "items": len(checklist)}
        writer.writerow([_cell({**task, **ticked}[column]) for column in COLUMNS])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        value = " ".join(value) if all(isinstance(one, str) for one in value) else json.dumps(value)
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def board(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The columns of the board as Markdown, empty ones left out."""
    by_status: dict[str, list[Mapping[str, Any]]] = {}
    for task in found:
        by_status.setdefault(task["status"], []).append(task)
    yield "# Board\n"
    for status in TaskStatus:
        column = by_status.get(status.value, [])
        if not column:
            continue
        yield f"\n## {status.value.replace('_', ' ')} ({len(column)})\n\n"
        for task in column:
            yield f"- **{task['id']}** {_MARKUP.sub(_escaped, task['title'])}{_aside(task)}\n"


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[1]}"


def _aside(task: Mapping[str, Any]) -> str:
    """What stands behind a title: priority, who has it, what it waits for, how far it is."""
    said = [task["priority"]]
    if task["assignee"]:
        said.append(task["assignee"])
    if task["depends_on"]:
        said.append(f"after {', '.join(task['depends_on'])}")
    checklist = task["definition_of_done"]
    if checklist:
        said.append(f"{sum(item['done'] for item in checklist)}/{len(checklist)} done")
    if task["needs_attention"]:
        said.append("needs attention")
    return f" ({', '.join(said)})"
