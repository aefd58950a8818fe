"""Checkpoints: signed statements of where the log stood, which show a cut tail and a rewrite."""

from kyros_collab_server.features.events.model import (
    CHECKPOINT_EVENTS,
    CHECKPOINT_MS,
    Checkpoint,
    Checkpoints,
    ReadCheckpoints,
)
from kyros_collab_server.features.events.ports import CheckpointWork
from kyros_collab_server.features.events.rules import signed_text
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope

AT_ONCE = 100
"""Checkpoints that one transaction makes at most; the rest of a long log follows in the next."""


@operation(Scope.TASKS_READ, read=True)
def checkpoints(work: CheckpointWork, command: ReadCheckpoints) -> Checkpoints:
    """Signed checkpoints in order of seq, with the public keys to check them by."""
    found = work.checkpoints.after(command.after, command.limit + 1)
    page = found[: command.limit]
    more = str(page[-1].seq) if len(found) > command.limit else None
    return Checkpoints(data=page, keys=work.checkpoints.keys(), next_cursor=more)


def is_due(work: CheckpointWork) -> bool:
    """True when events wait for a checkpoint: a thousand of them, or one for a minute."""
    due = bool(_next(work, work.checkpoints.last_seq()))
    if due:
        _ = work.signer.key  # its library is loaded here, where nobody waits for the lane
    return due


def sign(work: CheckpointWork) -> bool:
    """What was due is signed; True when more is. Doing it again, or elsewhere too, adds nothing."""
    work.checkpoints.publish(work.signer.key)
    last = work.checkpoints.last_seq()
    for _ in range(AT_ONCE):
        seq = _next(work, last)
        at = work.checkpoints.event_at(seq) if seq else None
        if at is None:
            return False
        work.checkpoints.add(_signed(work, seq, at[0]))
        last = seq
    return bool(_next(work, last))


def _next(work: CheckpointWork, last: int) -> int:
    """The seq to sign next after this one; 0 when none is due."""
    head = work.events.head().seq
    if head - last >= CHECKPOINT_EVENTS:
        return last + CHECKPOINT_EVENTS
    waiting = work.checkpoints.event_at(last + 1) if head > last else None
    return head if waiting is not None and work.now - waiting[1] >= CHECKPOINT_MS else 0


def _signed(work: CheckpointWork, seq: int, hash_: str) -> Checkpoint:
    unsigned = Checkpoint(
        workspace=work.workspace,
        seq=seq,
        hash=hash_,
        ts=work.ts,
        key_id=work.signer.key.kid,
        signature="",
    )
    signature = work.signer.sign(signed_text(unsigned))
    return unsigned.model_copy(update={"signature": signature})
