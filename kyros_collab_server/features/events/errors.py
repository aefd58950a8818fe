"""What the log refuses."""

from kyros_collab_server.features.events.model import CLIENT_EVENTS
from kyros_collab_server.kernel.errors import Invalid


class ReservedEvent(Invalid):
    """The event name belongs to the server."""

    def __init__(self) -> None:
        super().__init__(
            "event",
            "is reserved for the server",
            allowed=[*CLIENT_EVENTS, "a dotted name of your own"],
            fix="Use progress, note, decision, blocked, question, or a dotted name.",
        )
