"""Statistics of a range of the log: how many events when, of which names, by whom."""

from kyros_collab_server.features.events.model import Bucket, Facet, LogStats, ReadStats
from kyros_collab_server.features.events.moments import is_seq, seq_before, seq_of
from kyros_collab_server.features.events.ports import LogWork
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope
from kyros_collab_server.kernel.time import rfc3339, wall_ms_of

FACETS_OF = 100_000
"""Names and actors are counted in so many events at most, the newest of the range."""
VALUES = 100
"""Values that one facet lists at most, the most frequent first."""


@operation(Scope.TASKS_READ, read=True)
def stats(work: LogWork, command: ReadStats) -> LogStats:
    """How the events of a range lie in time, exactly; and their names and actors, counted.

    The buckets are equally wide and cost no scan: `ts` never runs back and `seq` has no gap, so a
    count is the difference of two seqs.

    Raises:
        Invalid: a moment is neither a seq nor an instant with a zone.
    """
    after = seq_before(work, command.begin, "from") if command.begin else 0
    through = seq_of(work, command.end, "to") if command.end else work.events.head().seq
    through = max(after, through)
    begins = _edge(work, command.begin, after + 1)
    ends = max(begins, _edge(work, command.end, through))
    counted_after = max(after, through - FACETS_OF)
    return LogStats(
        begins_at=rfc3339(begins),
        ends_at=rfc3339(ends),
        total=through - after,
        buckets=_buckets(work, command.buckets, (after, through), (begins, ends)),
        facets_of=through - counted_after,
        events=_facet(work, "event", counted_after, through),
        actors=_facet(work, "actor", counted_after, through),
    )


def _edge(work: LogWork, moment: str | None, seq: int) -> int:
    """Where in time a range ends on one side: at the instant named, or at the event there."""
    if moment is not None and not is_seq(moment):
        return wall_ms_of(moment)
    event = work.events.one(seq)
    return work.wall_ms if event is None else wall_ms_of(event.ts)


def _buckets(
    work: LogWork, count: int, seqs: tuple[int, int], edges: tuple[int, int]
) -> list[Bucket]:
    after, through = seqs
    begins, ends = edges
    if after == through:
        return []
    width = max(1, -(-(ends - begins + 1) // count))
    made: list[Bucket] = []
    for start in range(begins, ends + 1, width):
        last = through
        if start + width <= ends:
            last = min(through, max(after, work.events.last_before(rfc3339(start + width))))
        made.append(Bucket(ts=rfc3339(start), count=last - after))
        after = last
    return made


def _facet(work: LogWork, column: str, after: int, through: int) -> list[Facet]:
    counted = work.events.tally(column, after, through, VALUES)
    return [Facet(value=value, count=number) for value, number in counted]
