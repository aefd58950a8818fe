"""What every tool answer tells beside its own: unread messages, and leases that were lost."""

from typing import Any, Literal, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from kyros_collab_server.features.leases.model import LostLease
from kyros_collab_server.mcp_face.wording import lean, one_line
from kyros_collab_server.units import Aside


class NoticeAnswer(TypedDict):
    """A lease that the caller had and lost; `holder` is who has its resource now."""

    type: Literal["lease_lost"]
    lock_id: str
    resource: str
    holder: NotRequired[str]
    fencing_token: NotRequired[int]


class BesideAnswer(TypedDict, total=False):
    """There when there is something to say."""

    unread: int
    notices: list[NoticeAnswer]


class Beside:
    """Gathers what the operations of one call have to say beside their answers."""

    def __init__(self) -> None:
        self._unread = 0
        self._lost: dict[str, LostLease] = {}

    def note(self, aside: Aside) -> None:
        """The newest count of messages, and every lease that any operation reported."""
        self._unread = aside.unread
        self._lost.update({lost.lock_id: lost for lost in aside.lost})

    @property
    def structured(self) -> dict[str, Any]:
        """Its fields of the structured answer; empty when there is nothing to say."""
        said: dict[str, Any] = {}
        if self._unread:
            said["unread"] = self._unread
        if self._lost:
            said["notices"] = [_notice(lost) for lost in self._lost.values()]
        return said

    def lines(self, *, unread: bool = True) -> list[str]:
        """Its lines of the text."""
        said = [_words(lost) for lost in self._lost.values()]
        if self._unread and unread:
            said.append(f"{self._unread} unread: inbox_read")
        return said


def with_beside(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a structured answer that may also hold what every answer may."""
    beside = TypeAdapter(BesideAnswer).json_schema(mode="serialization")
    return {
        **schema,
        "properties": {**beside["properties"], **schema["properties"]},
        "$defs": {**beside["$defs"], **schema.get("$defs", {})},
    }


def _notice(lost: LostLease) -> dict[str, Any]:
    told = {"type": "lease_lost", "lock_id": lost.lock_id, "resource": lost.resource}
    more = {"holder": lost.holder, "fencing_token": lost.fencing_token}
    return {**told, **{name: lean(value) for name, value in more.items() if value is not None}}


def _words(lost: LostLease) -> str:
    words = f"notice lease_lost: {one_line(lost.resource)} {lost.lock_id}"
    if lost.holder is None:
        return f"{words} is over, nobody holds it now"
    return f"{words} is held by {lost.holder} under token {lost.fencing_token} now"
