"""Messages: sent with an event, read from an inbox, acknowledged by seq."""

from kyros_collab_server.features.events.model import Appended, AppendEvent, EventName
from kyros_collab_server.features.messages import rules
from kyros_collab_server.features.messages.model import Inbox, Message, ReadInbox, SendMessage
from kyros_collab_server.features.messages.ports import MessageWork
from kyros_collab_server.kernel.errors import Invalid
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope


def deliver(work: MessageWork, seq: int, command: AppendEvent) -> None:
    """An event that names recipients lies in their inboxes.

    Raises:
        UnknownRecipient: an entry of `to` reaches nobody.
    """
    reached = rules.recipients(command.to or [], work.roster.members())
    message = Message(
        seq=seq,
        ts=work.ts,
        author=work.actor,
        event=command.event,
        target=command.target,
        text=command.text or "",
    )
    work.inboxes.put(reached, message)


@operation(Scope.EVENTS_WRITE)
def send(work: MessageWork, command: SendMessage) -> Appended:
    """The message lies in the inbox of everybody that `to` reaches.

    Raises:
        UnknownRecipient: an entry of `to` reaches nobody.
    """
    reached = rules.recipients(command.to, work.roster.members())
    target = f"agent:{reached[0]}" if len(reached) == 1 else None
    details = {"to": list(command.to), "text": command.text}
    seq = work.events.append(EventName.MESSAGE_SENT, target, details)
    message = Message(
        seq=seq,
        ts=work.ts,
        author=work.actor,
        event=EventName.MESSAGE_SENT,
        target=target,
        text=command.text,
    )
    work.inboxes.put(reached, message)
    return Appended(seq=seq)


def _inbox(work: MessageWork, command: ReadInbox) -> Inbox:
    name = work.principal.agent
    if name is None:
        return Inbox(messages=[], unread=0)
    unread = work.inboxes.unread(name, command.limit)
    return Inbox(messages=unread, unread=work.inboxes.count(name))


@operation(Scope.TASKS_READ, read=True)
def inbox(work: MessageWork, command: ReadInbox) -> Inbox:
    """The caller's unread messages, oldest first.

    Raises:
        Invalid: `ack_through` belongs to `acknowledge`.
    """
    if command.ack_through is not None:
        raise Invalid("ack_through", "is taken by acknowledge only")
    return _inbox(work, command)


@operation(Scope.TASKS_READ)
def acknowledge(work: MessageWork, command: ReadInbox) -> Inbox:
    """Messages up to `ack_through` are read; the rest is in the answer."""
    name = work.principal.agent
    if name is not None and command.ack_through is not None:
        work.inboxes.acknowledge(name, min(command.ack_through, work.events.head().seq))
    return _inbox(work, command)
