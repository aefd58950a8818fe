"""Identifiers and the text rules that every name and note keeps."""

import re
import secrets
from typing import Annotated

from pydantic import AfterValidator, Field

_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_HIDDEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_LONE_JOINER = "(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
_BAD_TEXT = re.compile(f"[{_CONTROL}{_HIDDEN}\ud800-\udfff]|{_LONE_JOINER}")
_BAD_LINE = re.compile(r"[\t\n\r]")


def clean_text(value: str) -> str:
    """Return the text unchanged when a reader can see all of it.

    Control characters but tab and line ends, bidirectional and zero-width characters, and lone
    surrogates are refused. Joiners pass between two non-ASCII characters, where scripts and emoji
    need them.

    Raises:
        ValueError: with the code point of the first such character.
    """
    if value.isascii() and value.isprintable():
        return value
    if found := _BAD_TEXT.search(value):
        raise ValueError(f"has the invisible character U+{ord(found.group()):04X}")
    return value


def clean_line(value: str) -> str:
    """Return one line of visible text, trimmed rules as `clean_text`, without tabs or line ends.

    Raises:
        ValueError: when it is blank, or has a character that is not visible.
    """
    clean_text(value)
    if _BAD_LINE.search(value):
        raise ValueError("must be one line")
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def at_most_bytes(limit: int) -> AfterValidator:
    """A validator that refuses text of more than `limit` bytes of UTF-8."""

    def check(value: str) -> str:
        if len(value) * 4 > limit and len(value.encode()) > limit:
            raise ValueError(f"must be at most {limit} bytes of UTF-8")
        return value

    return AfterValidator(check)


Text = Annotated[str, AfterValidator(clean_text)]
Line = Annotated[str, AfterValidator(clean_line)]
TaskId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Task id.")]
AgentName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Agent name."),
]
WorkspaceName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Workspace name.")
]
ActorName = Annotated[
    str, Field(pattern=r"^(agent|user):[A-Za-z0-9][A-Za-z0-9@._-]{0,127}$|^system$")
]


def new_lock_id() -> str:
    """A fresh lease id. Possession of it is never authority."""
    return f"lk_{secrets.token_hex(8)}"


def new_request_id() -> str:
    """A fresh id of one request, for logs, problems and events."""
    return f"rq_{secrets.token_hex(8)}"


def new_id(prefix: str) -> str:
    """A fresh random id of 128 bits with a prefix that names its kind."""
    return f"{prefix}_{secrets.token_hex(16)}"
