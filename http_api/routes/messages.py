"""Messages over REST: into an agent's inbox, and out of one's own."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from http_api.endpoint import Endpoint
from http_api.reply import Answering
from http_api.request import Call
from kyros_collab_server.features.messages import service
from kyros_collab_server.features.messages.errors import UnknownRecipient
from kyros_collab_server.features.messages.model import Inbox, Message, ReadInbox, SendMessage
from kyros_collab_server.kernel.ids import Text


class MessageText(BaseModel):
    """What to tell the agent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[Text, Field(min_length=1, max_length=16_384)]


class Mail(BaseModel):
    """Unacknowledged messages, oldest first, and how many there are in all."""

    model_config = ConfigDict(frozen=True)

    data: list[Message]
    next_cursor: str | None = None
    unread: int


class _OwnInbox(Endpoint):
    """Reading changes nothing; with `ack_through` it acknowledges first, which is a write."""

    async def answer_to(self, call: Call) -> Answering:
        command = self.validated(ReadInbox, call.query())
        op = service.inbox if command.ack_through is None else service.acknowledge
        inbox: Inbox = await self.perform(call, op, command)
        return self.reply(Mail(data=inbox.messages, unread=inbox.unread), call)


ENDPOINTS = [
    Endpoint(
        "POST",
        "/collab/agents/{name}/messages",
        service.send,
        "Put a message into an agent's inbox.",
        body=MessageText,
        command=lambda body, elsewhere: SendMessage(to=[elsewhere["name"]], text=body.text),
        errors=(UnknownRecipient,),
        things={"to.0": "agent"},
    ),
    _OwnInbox(
        "GET",
        "/collab/inbox",
        service.inbox,
        "Read one's own inbox; acknowledge what was read before.",
        answer=Mail,
    ),
]
