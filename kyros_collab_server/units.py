"""Units: an operation as it runs in the lane or on a snapshot, replayed when it was done before."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.leases import holding
from kyros_collab_server.features.leases.model import LostLease
from kyros_collab_server.kernel.errors import IdempotencyConflict, Invalid
from kyros_collab_server.kernel.etag import canonical, sha256_hex
from kyros_collab_server.kernel.operation import Operation
from kyros_collab_server.kernel.principal import Principal

C = TypeVar("C", bound=BaseModel)
R = TypeVar("R")
Unit = Callable[[Any], Any]

REPLAYED_MS = 86_400_000
"""How long a success is replayed: 24 hours of the store's steady time."""
MODEL_FACES = frozenset({"mcp", "stdio"})
"""Faces whose every answer tells an agent what it has to know beside it."""


@dataclass(frozen=True)
class Aside:
    """What an agent is told beside any answer: unread messages, and leases it has lost."""

    unread: int
    lost: tuple[LostLease, ...]


@dataclass(frozen=True)
class Answer(Generic[R]):
    """What an operation answered, and whether this was a replay."""

    value: R
    replayed: bool
    aside: Aside | None = None
    """There for agents on the faces of models, read in the answer's own transaction."""


def progress(work: Any) -> None:
    """The calling agent is known, lives, and gets on; its leases are renewed when due."""
    _known(work, active=True)


def liveness(work: Any) -> None:
    """The calling agent is known and lives; its leases are renewed when due."""
    _known(work, active=False)


def _known(work: Any, *, active: bool) -> None:
    if agents.seen(work, active=active):
        holding.end_all(work)
    holding.renew_due(work)


def _aside(work: Any, *, tell: bool) -> Aside | None:
    caller: Principal = work.principal
    if caller.agent is None or caller.face not in MODEL_FACES:
        return None
    lost = holding.lost_notices(work, tell=tell)
    return Aside(unread=work.inboxes.count(caller.agent), lost=tuple(lost))


def reading(op: Operation[C, R], command: C) -> Unit:
    """The operation as it runs on a snapshot."""

    def unit(work: Any) -> Answer[R]:
        value = op.run(work, command)
        return Answer(value, replayed=False, aside=_aside(work, tell=False))

    return unit


def writing(op: Operation[C, R], command: C, key: str | None) -> Unit:
    """The operation as it runs in the lane: replayed when its key was used, stored when it has one.

    Refusals are never stored, nor are answers that only say "not yet".
    """
    if key is None:

        def plain(work: Any) -> Answer[R]:
            value = op.run(work, command)
            return Answer(value, replayed=False, aside=_aside(work, tell=True))

        return plain
    digest = _digest_of(command)

    def unit(work: Any) -> Answer[R]:
        stored = work.replays.get(op.name, key, REPLAYED_MS)
        if stored is not None:
            if stored[0] != digest:
                raise IdempotencyConflict
            known = op.result.validate_json(stored[1])
            return Answer(known, replayed=True, aside=_aside(work, tell=True))
        value = op.run(work, command)
        if op.waiting is None or not op.waiting.pending(value):
            kept = op.result.dump_json(op.stored(value)).decode()
            work.replays.put(op.name, key, digest, kept)
        return Answer(value, replayed=False, aside=_aside(work, tell=True))

    return unit


def _digest_of(command: BaseModel) -> str:
    """What tells two calls with one key apart: the fields that were sent, null or not.

    Raises:
        Invalid: a value that JSON cannot carry; without a key its operation would refuse it.
    """
    try:
        sent = command.model_dump(mode="json", exclude={"wait_seconds"}, exclude_unset=True)
        return sha256_hex(canonical(sent))
    except (ValueError, RecursionError):
        raise Invalid("body", "holds a value that JSON cannot carry") from None
