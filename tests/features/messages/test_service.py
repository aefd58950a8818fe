"""Messages: delivered with their event, ordered by seq, unread until acknowledged."""

from typing import Any

import pytest
from pydantic import ValidationError

from kyros_collab_server.features.messages import service as messages
from kyros_collab_server.features.messages.model import Inbox, ReadInbox, SendMessage
from tests.callers import Caller, refused

pytestmark = pytest.mark.anyio


async def inbox(caller: Caller, **fields: Any) -> Inbox:
    op = messages.acknowledge if "ack_through" in fields else messages.inbox
    found: Inbox = await caller.call(op, ReadInbox(**fields))
    return found


async def send(caller: Caller, text: str, *to: str) -> int:
    seq: int = (await caller.call(messages.send, SendMessage(to=list(to), text=text))).seq
    return seq


async def test_a_message_lies_in_the_inbox_of_everybody_it_reaches(
    ana: Caller, ben: Caller, boss: Caller
) -> None:
    await ana.register(role="qa")
    await ben.register(role="qa")
    await boss.head()
    one = await send(boss, "to ana", "ana")
    role = await send(boss, "to qa", "role:qa")
    everybody = await send(boss, "to all", "all")
    noted = await ana.say("see this", "question", to=["ben", "role:qa"], target="task:T-1")
    mine = await inbox(ana)
    assert [(message.seq, message.text) for message in mine.messages] == [
        (one, "to ana"), (role, "to qa"), (everybody, "to all"), (noted, "see this"),
    ]  # fmt: skip
    assert mine.messages[0].author == "agent:boss"
    assert (mine.messages[3].event, mine.messages[3].target) == ("question", "task:T-1")
    assert [message.seq for message in (await inbox(ben)).messages] == [role, everybody, noted]
    assert [message.seq for message in (await inbox(boss)).messages] == [everybody]
    (event, *_) = await boss.log("message_sent")
    assert (event.seq, event.target, event.details["text"]) == (one, "agent:ana", "to ana")


async def test_messages_stay_until_they_are_acknowledged(ana: Caller, ben: Caller) -> None:
    await ana.head()
    seqs = [await send(ben, str(number), "ana") for number in range(5)]
    assert (await inbox(ana)).unread == 5
    first = await inbox(ana, limit=2)
    assert ([one.seq for one in first.messages], first.unread) == (seqs[:2], 5)
    rest = await inbox(ana, ack_through=seqs[1])
    assert [one.seq for one in rest.messages] == seqs[2:]
    assert (await inbox(ana, ack_through=seqs[0])).unread == 3, "a mark never goes back"
    assert (await inbox(ana, ack_through=0)).unread == 3
    assert (await inbox(ana, ack_through=2**53 - 1)).unread == 0
    late = await send(ben, "after a far acknowledgement", "ana")
    assert [one.seq for one in (await inbox(ana)).messages] == [late]


async def test_a_message_to_nobody_is_refused_and_nobody_gets_it(ana: Caller, ben: Caller) -> None:
    await ana.head()
    await ben.head()
    head = await ben.head()
    with refused("not_found", thing="agent"):
        await send(ben, "x", "ana", "nobody")
    with refused("not_found", thing="agent"):
        await ben.say("x", to=["ana", "role:none"])
    assert (await inbox(ana)).unread == 0
    assert await ben.head() == head


async def test_reading_acknowledges_nothing(ana: Caller) -> None:
    await ana.head()
    with refused("invalid_field", field="ack_through"):
        await ana.call(messages.inbox, ReadInbox(ack_through=1))


@pytest.mark.parametrize("text", ["", "x" * 16_385, "é" * 8_193, "a\x00", "\u202e"])
def test_a_message_beyond_its_bounds_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        SendMessage(to=["ana"], text=text)
