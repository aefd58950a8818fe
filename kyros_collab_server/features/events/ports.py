"""What the log needs of the world."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from kyros_collab_server.features.events.model import (
    AppendEvent,
    Checkpoint,
    CheckpointKey,
    Event,
    EventFilter,
    Head,
)
from kyros_collab_server.kernel.work import Work


class EventLog(Protocol):
    """The log of the work's workspace."""

    @property
    def next_seq(self) -> int:
        """The seq that the next appended event gets."""
        ...

    def append(self, event: str, target: str | None, details: dict[str, Any]) -> int:
        """Append an event in this transaction, as the work's actor; return its seq."""
        ...

    def append_as(self, actor: str, event: str, target: str | None, details: dict[str, Any]) -> int:
        """Append an event that another actor (`system`) is the author of."""
        ...

    def head(self) -> Head: ...

    def after(self, seq: int, limit: int, wanted: EventFilter) -> tuple[list[Event], int]:
        """Matching events after a seq, and the seq up to which nothing else matches."""
        ...

    def before(self, seq: int | None, limit: int, wanted: EventFilter) -> list[Event]:
        """The newest matching events before a seq (null: of all), in order of seq."""
        ...

    def one(self, seq: int) -> Event | None: ...

    def about(self, target: str, names: Sequence[str], limit: int) -> list[Event]:
        """The newest events of these names about a target, in order of seq."""
        ...

    def scan(self, names: Sequence[str], through: int) -> Iterator[Event]:
        """Every event of these names up to a seq, in order of seq."""
        ...

    def last_before(self, ts: str) -> int:
        """The seq of the last event before an instant; 0 when there is none."""
        ...

    def tally(self, column: str, after: int, through: int, limit: int) -> list[tuple[str, int]]:
        """The commonest values of `event` or `actor` in a range, and how many events have each."""
        ...


class CheckpointBook(Protocol):
    """The signed checkpoints of the work's workspace, and the public keys of the deployment."""

    def last_seq(self) -> int:
        """The seq of the newest checkpoint; 0 when there is none."""
        ...

    def event_at(self, seq: int) -> tuple[str, int] | None:
        """Hash and steady time in ms of the event of this seq, or None."""
        ...

    def after(self, seq: int, limit: int) -> list[Checkpoint]: ...
    def keys(self) -> list[CheckpointKey]: ...
    def add(self, checkpoint: Checkpoint) -> None: ...
    def publish(self, key: CheckpointKey) -> None:
        """The key is among the published ones, once."""
        ...


class Signer(Protocol):
    """Signs with the deployment's key."""

    @property
    def key(self) -> CheckpointKey:
        """The public half."""
        ...

    def sign(self, text: str) -> str:
        """The Ed25519 signature of the text's UTF-8 bytes, in base64url."""
        ...


class Delivery(Protocol):
    """Puts an addressed event into inboxes; the messages feature does."""

    def __call__(self, work: Any, seq: int, command: AppendEvent) -> None: ...


class LateResults(Protocol):
    """Says whether the caller may attach output to a task that it lost; the leases feature does.

    Raises:
        ReservedEvent: it lost no lease on that target.
    """

    def __call__(self, work: Any, target: str | None) -> None: ...


class LogWork(Work, Protocol):
    """A work that can append and read events."""

    @property
    def events(self) -> EventLog: ...


class CheckpointWork(LogWork, Protocol):
    """A work that can sign where the log stands."""

    @property
    def checkpoints(self) -> CheckpointBook: ...
    @property
    def signer(self) -> Signer: ...


class EventWork(LogWork, Protocol):
    """A work that can also take clients' events."""

    @property
    def deliver(self) -> Delivery: ...
    @property
    def late_result(self) -> LateResults: ...
