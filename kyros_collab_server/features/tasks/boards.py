"""The board at a glance, for an agent that has just come or looks again."""

from kyros_collab_server.features.leases import rules as lease_rules
from kyros_collab_server.features.tasks.model import (
    Attention,
    Board,
    BoardMe,
    Column,
    Holding,
    ShowBoard,
    TaskStatus,
)
from kyros_collab_server.features.tasks.ports import TaskWork
from kyros_collab_server.kernel.etag import etag_of, matches
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope

BOARD_CARDS = 12
"""Cards that a column shows; the count says how many there are."""
BOARD_ATTENTION = 10


@operation(Scope.TASKS_READ, read=True)
def board(work: TaskWork, command: ShowBoard) -> Board:
    """The board at a glance: columns with their first cards, what needs attention, who you are."""
    name = work.principal.agent
    unread = work.inboxes.count(name) if name else 0
    mine = [
        lease for lease in work.leases.held_by(work.actor) if lease_rules.is_live(lease, work.now)
    ]
    stale = work.leases.stale(work.now, BOARD_ATTENTION)
    handles = (
        ",".join(lease.lock_id for lease in mine) + "|" + ",".join(lease.lock_id for lease in stale)
    )
    etag = etag_of(work.events.head().seq, f"{work.tasks.kind_etag()}|{handles}|{unread}")
    if command.if_none_match is not None and matches(command.if_none_match, etag):
        return Board(etag=etag, unchanged=True)
    counts = work.tasks.counts()
    me = BoardMe(
        actor=work.actor,
        workspace=work.workspace,
        unread=unread,
        holding=[_holding(work, lease) for lease in mine],
    )
    columns = [
        Column(
            status=status,
            count=counts.get(status, 0),
            cards=work.tasks.cards(status, BOARD_CARDS) if counts.get(status) else [],
        )
        for status in TaskStatus
    ]
    attention = [
        Attention(kind="needs_attention", target=f"task:{task.id}", text=task.title)
        for task in work.tasks.needing_attention(BOARD_ATTENTION)
    ] + [
        Attention(kind="stale_lease", target=f"lease:{lease.lock_id}", text=lease.resource)
        for lease in stale
    ]
    return Board(etag=etag, me=me, columns=columns, attention=attention)


def _holding(work: TaskWork, lease: lease_rules.LeaseRecord) -> Holding:
    shown = lease_rules.published(lease, work.now, work.wall_ms)
    return Holding(
        lock_id=lease.lock_id,
        resource=lease.resource,
        fencing_token=lease.fencing_token,
        expires_in_ms=shown.expires_in_ms,
        task_id=lease.task_id,
    )
