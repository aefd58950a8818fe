"""The past of leases: who held what and when, folded from the log."""

from collections.abc import Iterable, Iterator

from kyros_collab_server.features.events.model import Event, EventName, ReadAt
from kyros_collab_server.features.events.service import seq_before, seq_of
from kyros_collab_server.features.leases import rules
from kyros_collab_server.features.leases.model import (
    Hold,
    Holds,
    LeaseState,
    PastLeases,
    ReadHolds,
)
from kyros_collab_server.features.leases.ports import LeaseWork
from kyros_collab_server.kernel.etag import kind_etag
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope

TOLD_BY = (EventName.LEASE_ACQUIRED, EventName.LEASE_RELEASED, EventName.LEASE_RECLAIMED)
ENDED = {
    EventName.LEASE_RELEASED: LeaseState.RELEASED,
    EventName.LEASE_RECLAIMED: LeaseState.RECLAIMED,
}


@operation(Scope.TASKS_READ, read=True)
def leases_at(work: LeaseWork, command: ReadAt) -> PastLeases:
    """The leases that were held at a moment, as the log tells of them."""
    seq = seq_of(work, command.at)
    held = rules.folded(work.events.scan(TOLD_BY, seq))
    members = [(one.lock_id, str(one.fencing_token)) for one in held]
    return PastLeases(data=held, etag=kind_etag(seq, members))


@operation(Scope.TASKS_READ, read=True)
def holds(work: LeaseWork, command: ReadHolds) -> Holds:
    """Who held what in a range of the log, the latest grant first; a page of it.

    A hold belongs to the range when it had not ended before it and was granted within or before
    it. `resource` also finds holds on paths that it meets.

    Raises:
        Invalid: a moment is neither a seq nor an instant, or the cursor is not one of this list.
    """
    after = seq_before(work, command.begin, "from") if command.begin else 0
    through = seq_of(work, command.end, "to") if command.end else work.events.head().seq
    scope = f"holds:{work.workspace}"
    before = None
    if command.cursor is not None:
        before = int(work.seal.open(scope, command.cursor))
    wanted = _resource(command.resource) if command.resource else None
    found = [
        hold
        for hold in folded(work.events.scan(TOLD_BY, through))
        if (hold.ended_seq is None or hold.ended_seq > after)
        and (before is None or hold.acquired_seq < before)
        and command.holder in {None, hold.holder}
        and (wanted is None or rules.witness(wanted, hold.resource) is not None)
    ]
    found.sort(key=lambda hold: hold.acquired_seq, reverse=True)
    page = found[: command.limit]
    more = len(found) > command.limit
    cursor = work.seal.seal(scope, page[-1].acquired_seq) if more else None
    return Holds(data=page, next_cursor=cursor)


def _resource(named: str) -> str:
    return rules.canonical_resource(named) if named.startswith(rules.PATH) else named


def folded(events: Iterable[Event]) -> Iterator[Hold]:
    """Each hold that these events tell of; an upgrade goes on with the hold that it began as."""
    held: dict[str, Hold] = {}
    for event in events:
        details = event.details
        lock_id = details["lock_id"]
        began = held.pop(lock_id, None)
        if event.event == EventName.LEASE_ACQUIRED:
            told = {name: details[name] for name in Hold.model_fields if name in details}
            since = {"acquired_at": event.ts, "acquired_seq": event.seq}
            if began is not None:
                since = {"acquired_at": began.acquired_at, "acquired_seq": began.acquired_seq}
            held[lock_id] = Hold.model_validate({**told, **since})
        elif began is not None:
            how = ENDED[EventName(event.event)]
            over = {"ended_at": event.ts, "ended_seq": event.seq, "ended": how}
            yield began.model_copy(update={**over, "ended_by": details.get("by")})
    yield from held.values()
