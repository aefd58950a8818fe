"""The log's operations: append and read."""

from kyros_collab_server.features.events import rules
from kyros_collab_server.features.events.accounts import append_summary, summary
from kyros_collab_server.features.events.checkpoints import checkpoints
from kyros_collab_server.features.events.human_log import append_log, human_log
from kyros_collab_server.features.events.model import (
    Appended,
    AppendEvent,
    EventBatch,
    EventName,
    FindSeq,
    Head,
    ReadEvents,
    ReadHead,
)
from kyros_collab_server.features.events.moments import is_seq, seq_before, seq_of
from kyros_collab_server.features.events.ports import EventWork
from kyros_collab_server.features.events.statistics import stats
from kyros_collab_server.kernel.errors import Invalid
from kyros_collab_server.kernel.operation import Waiting, operation
from kyros_collab_server.kernel.principal import Scope

__all__ = [
    "append",
    "append_log",
    "append_summary",
    "checkpoints",
    "find_seq",
    "head",
    "human_log",
    "read",
    "seq_before",
    "seq_of",
    "stats",
    "summary",
]


@operation(Scope.EVENTS_WRITE)
def append(work: EventWork, command: AppendEvent) -> Appended:
    """The event stands in the log, and in the inboxes that `to` names.

    `late_result` is for whoever lost the lease of its target: the output is kept and shown beside
    the task, and changes nothing of it.

    Raises:
        ReservedEvent: the name belongs to the server.
        TooLarge: details beyond 16 KiB.
        UnknownRecipient: `to` names nobody.
    """
    if command.event == EventName.LATE_RESULT:
        work.late_result(work, command.target)
        name: str = EventName.LATE_RESULT
    else:
        name = rules.client_event_name(command.event)
    details = rules.client_details(command)
    seq = work.events.append(name, command.target, details)
    if command.to is not None:
        work.deliver(work, seq, command)
    return Appended(seq=seq)


def _go_on(command: ReadEvents, batch: EventBatch) -> ReadEvents:
    return command.model_copy(update={"after": batch.cursor})


@operation(
    Scope.TASKS_READ,
    read=True,
    waiting=Waiting(pending=lambda batch: not batch.items, go_on=_go_on),
)
def read(work: EventWork, command: ReadEvents) -> EventBatch:
    """Events in order of seq, and a cursor that also covers what the filter skipped.

    With `after`, those that follow it; with `before`, the newest ahead of it; with neither the
    newest, or with a wait those to come.
    """
    head = work.events.head().seq
    after = command.after
    if after is None and command.before is None and command.wait_seconds > 0:
        return EventBatch(items=[], cursor=head, head=head)
    if after is not None:
        items, cursor = work.events.after(after, command.limit, command)
        if command.before is not None:
            items = [item for item in items if item.seq < command.before]
        return EventBatch(items=items, cursor=cursor, head=head)
    items = work.events.before(command.before, command.limit, command)
    cursor = head if command.before is None else min(head, command.before - 1)
    return EventBatch(items=items, cursor=max(cursor, 0), head=head)


@operation(Scope.TASKS_READ, read=True)
def head(work: EventWork, command: ReadHead) -> Head:
    """The newest seq, its hash, the store's epoch and time."""
    return work.events.head()


@operation(Scope.TASKS_READ, read=True)
def find_seq(work: EventWork, command: FindSeq) -> int:
    """The seq after which a reader starts who wants everything from an instant on.

    Raises:
        Invalid: the instant is not RFC 3339 with a zone.
    """
    if is_seq(command.ts):
        raise Invalid("since", "is not an RFC 3339 instant with a zone")
    return seq_before(work, command.ts, "since")
