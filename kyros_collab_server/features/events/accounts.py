"""Accounts of the log: what happened in a range or a selection, told and kept."""

from kyros_collab_server.features.events import summaries
from kyros_collab_server.features.events.human_log import append_log
from kyros_collab_server.features.events.model import (
    AppendLog,
    Event,
    EventFilter,
    Summarise,
    Summary,
)
from kyros_collab_server.features.events.moments import seq_before, seq_of
from kyros_collab_server.features.events.ports import LogWork
from kyros_collab_server.kernel.errors import Invalid
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope

MOST_EVENTS = 5_000
"""Events that one summary tells; of a longer range, the newest."""


@operation(Scope.TASKS_READ, read=True)
def summary(work: LogWork, command: Summarise) -> Summary:
    """A range or a selection of the log as Markdown, every statement with its seqs.

    Raises:
        Invalid: a moment is neither a seq nor an instant with a zone; or it is to be appended,
            which is `append_summary`.
    """
    if command.append:
        raise Invalid("append", "changes the log", fix="Call append_summary.")
    return _told(work, command)


@operation(Scope.TASKS_READ, Scope.EVENTS_WRITE)
def append_summary(work: LogWork, command: Summarise) -> Summary:
    """As `summary`, and it stands at the end of the human log."""
    told = _told(work, command)
    appended = append_log(work, AppendLog(text=told.markdown))
    return told.model_copy(update={"appended_seq": appended.seq})


def _told(work: LogWork, command: Summarise) -> Summary:
    events, is_whole = _chosen(work, command)
    markdown = summaries.compose(events, work.workspace, is_whole=is_whole)
    return Summary(
        markdown=markdown,
        first_seq=events[0].seq if events else 0,
        last_seq=events[-1].seq if events else 0,
        events=len(events),
        is_whole=is_whole,
        cited=summaries.cited(markdown),
    )


def _chosen(work: LogWork, command: Summarise) -> tuple[list[Event], bool]:
    """The events to tell, in order of seq, and whether they are all that were asked for."""
    wanted = EventFilter(types=command.types, actor=command.actor, target=command.target)
    if command.seqs is not None:
        found = [work.events.one(seq) for seq in sorted(set(command.seqs))]
        chosen = [event for event in found if event is not None]
        return [one for one in chosen if wanted.admits(one.event, one.actor, one.target)], True
    after = seq_before(work, command.begin, "begin") if command.begin else 0
    through = seq_of(work, command.end, "end") if command.end else work.events.head().seq
    events = work.events.before(through + 1, MOST_EVENTS, wanted)
    inside = [event for event in events if event.seq > after]
    is_whole = len(events) < MOST_EVENTS or len(inside) < len(events)
    return inside, is_whole or events[0].seq == after + 1
