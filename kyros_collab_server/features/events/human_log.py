"""The human log: Markdown that people keep about the work, as events of its own."""

from kyros_collab_server.features.events.model import (
    Appended,
    AppendLog,
    EventName,
    HumanLog,
    ReadHumanLog,
)
from kyros_collab_server.features.events.moments import seq_of
from kyros_collab_server.features.events.ports import LogWork
from kyros_collab_server.kernel.etag import etag_of
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope


@operation(Scope.EVENTS_WRITE)
def append_log(work: LogWork, command: AppendLog) -> Appended:
    """The text stands at the end of the human log, as it was written.

    Raises:
        TooLarge: more than one event can hold.
    """
    text = command.text.strip()
    return Appended(seq=work.events.append(EventName.LOG_APPENDED, None, {"text": text}))


@operation(Scope.TASKS_READ, read=True)
def human_log(work: LogWork, command: ReadHumanLog) -> HumanLog:
    """The human log as one Markdown text, oldest entry first; with `at`, as it was then.

    Raises:
        Invalid: the moment is neither a seq nor an instant with a zone.
    """
    through = work.events.head().seq if command.at is None else seq_of(work, command.at)
    last, entries = 0, []
    for event in work.events.scan((EventName.LOG_APPENDED,), through):
        last = event.seq
        entries.append(str(event.details.get("text", "")))
    text = "\n\n".join(entries)
    return HumanLog(text=text, etag=etag_of(last, text))
