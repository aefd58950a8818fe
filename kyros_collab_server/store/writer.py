"""Writers: what the lane needs of a connection that writes, whichever engine it is on."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from kyros_collab_server.kernel.errors import (
    KyrosError,
    StorageFull,
    StoreConflict,
    StoreUnavailable,
    WriterStalled,
)
from kyros_collab_server.store.dialect import Db
from kyros_collab_server.store.work import Batch

SAVEPOINT = "SAVEPOINT job"
RELEASE = "RELEASE SAVEPOINT job"
ROLLBACK_TO = "ROLLBACK TO SAVEPOINT job"


class Savepoint:
    """A savepoint that is opened by the first write after `open`, if there is any."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._is_open = False

    def open(self) -> None:
        """What is written from here on can be taken back alone."""
        self._is_open = False
        self._db.guard = self._begin

    def _begin(self) -> None:
        self._db.guard = None
        self._is_open = True
        self._db.run(SAVEPOINT)

    def keep(self) -> None:
        """What was written since `open` stays."""
        self._db.guard = None
        if self._is_open:
            self._db.run(RELEASE)

    def undo(self) -> None:
        """What was written since `open` is undone."""
        self._db.guard = None
        if self._is_open:
            self._db.run(ROLLBACK_TO)
            self._db.run(RELEASE)


class StoreFailure(Exception):
    """The store failed; not a refusal of an operation."""

    def __init__(self, reason: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.outcome_unknown = outcome_unknown

    def refusal(self) -> KyrosError:
        """What the caller is told."""
        if self.outcome_unknown:
            return StoreUnavailable("unknown")
        if self.reason == "full":
            return StorageFull()
        if self.reason == "locked":
            return WriterStalled(None)
        return StoreConflict() if self.reason == "conflict" else StoreUnavailable()


@dataclass
class Transaction:
    """A transaction that is the only writer of its workspaces until it ends."""

    batch: Batch
    commit: Callable[[dict[str, int]], None]
    """Make it durable and announce the new heads; raises StoreFailure with what is known."""


class Writer(Protocol):
    """One connection that writes."""

    waits_for_lock: bool

    def transaction(self, workspaces: Collection[str]) -> Any: ...
    def failure(self, error: BaseException) -> StoreFailure | None:
        """The store's failure behind a driver's error; None for an error of ours."""
        ...

    def lock_holder(self) -> int | None: ...
    def close(self) -> None: ...
