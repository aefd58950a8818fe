"""What messages need of the world."""

from typing import Protocol

from kyros_collab_server.features.events.ports import EventLog
from kyros_collab_server.features.messages.model import Message
from kyros_collab_server.kernel.work import Work


class Roster(Protocol):
    """Who can be written to."""

    def members(self) -> list[tuple[str, str | None]]:
        """Name and role of every registered agent."""
        ...


class InboxStore(Protocol):
    """The inboxes of the work's workspace."""

    def put(self, recipients: list[str], message: Message) -> None: ...
    def unread(self, recipient: str, limit: int) -> list[Message]: ...
    def count(self, recipient: str) -> int: ...
    def acknowledge(self, recipient: str, through: int) -> None:
        """Nothing up to this seq is unread any more; a lower seq than before changes nothing."""
        ...


class MessageWork(Work, Protocol):
    """A work that can deliver messages."""

    @property
    def events(self) -> EventLog: ...
    @property
    def roster(self) -> Roster: ...
    @property
    def inboxes(self) -> InboxStore: ...
