"""What leases need of the world."""

from collections.abc import Sequence
from typing import Any, Protocol

from kyros_collab_server.features.agents.ports import AgentWork
from kyros_collab_server.features.leases.rules import LeaseRecord


class LeaseStore(Protocol):
    """The leases of the work's workspace. Held means: not ended, live or stale."""

    def get(self, lock_id: str) -> LeaseRecord | None: ...
    def held_on(self, resource: str) -> list[LeaseRecord]:
        """Held leases on exactly this resource."""
        ...

    def held_paths(self) -> list[LeaseRecord]:
        """Held leases on paths."""
        ...

    def held_by(self, holder: str) -> list[LeaseRecord]: ...
    def count_held_by(self, holder: str) -> int: ...
    def held_for(self, task_id: str) -> list[LeaseRecord]:
        """Held leases that came with the claim of a task."""
        ...

    def held(self) -> list[LeaseRecord]: ...
    def stale(self, now: int, limit: int) -> list[LeaseRecord]:
        """Held leases past their TTL, the longest past first."""
        ...

    def highest_token(self, resource: str) -> int | None:
        """The highest token ever granted on this resource."""
        ...

    def insert(self, lease: LeaseRecord) -> None: ...
    def save(self, lease: LeaseRecord) -> None: ...
    def kind_etag(self) -> str: ...


class LeaseEnded(Protocol):
    """Told in the same transaction when a lease ends; the tasks feature requeues by it."""

    def __call__(self, work: Any, lease: LeaseRecord) -> None: ...


class LeaseWork(AgentWork, Protocol):
    """A work that knows leases."""

    @property
    def leases(self) -> LeaseStore: ...
    @property
    def lease_ended(self) -> Sequence[LeaseEnded]: ...
    def beat(self, lock_id: str, holder: str, heartbeat_at: str) -> None:
        """Ring a `beat` frame after the commit; it is not part of the log."""
        ...
