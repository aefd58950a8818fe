"""Decisions about the log: who may write which name, and how lines are chained."""

import hashlib
from typing import Any

from kyros_collab_server.features.events.errors import ReservedEvent
from kyros_collab_server.features.events.model import (
    CLIENT_EVENTS,
    MAX_DETAILS_BYTES,
    MAX_EVENT_BYTES,
    RESERVED_PREFIXES,
    AppendEvent,
    Checkpoint,
    EventName,
)
from kyros_collab_server.kernel.errors import Invalid, TooLarge
from kyros_collab_server.kernel.etag import canonical
from kyros_collab_server.kernel.ids import clean_text

_RESERVED = frozenset(name.value for name in EventName)
MAX_DEPTH = 32
"""Levels of nesting that the details of an event may have."""


def client_event_name(name: str) -> str:
    """Return the name when a client may write it: a plain client name or a dotted one.

    Raises:
        ReservedEvent: the name, or its first part, belongs to the server.
    """
    first = name.partition(".")[0]
    if first in _RESERVED or first.startswith(RESERVED_PREFIXES):
        raise ReservedEvent
    if name not in CLIENT_EVENTS and "." not in name:
        raise ReservedEvent
    return name


def client_details(command: AppendEvent) -> dict[str, Any]:
    """Return the details of a client's event, with `text` and `to` inside.

    Raises:
        TooLarge: more than 16 KiB as canonical JSON.
        Invalid: integers beyond 2**53 - 1, NaN, too deep, or text that cannot be seen.
    """
    details = dict(command.details or {})
    _check(details, 0)
    if command.text is not None:
        details["text"] = command.text
    if command.to is not None:
        details["to"] = list(command.to)
    try:
        size = len(canonical(details).encode())
    except (ValueError, RecursionError):
        raise Invalid("details", "holds a number or a key that JSON cannot carry") from None
    if size > MAX_DETAILS_BYTES:
        raise TooLarge("details", MAX_DETAILS_BYTES, "bytes")
    return details


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Invalid("details", f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        try:
            clean_text(value)
        except ValueError as error:
            raise Invalid("details", str(error)) from None
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth + 1)
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)


def chain(prev_hash: str, line: dict[str, Any]) -> tuple[str, str]:
    """Return `(body, hash)`: the exact chained text of an event, and its hash.

    `hash = sha256(prev_hash || JCS(event without hash))`, the first as its 64 ASCII characters
    (RFC 8785, SHA-256, lower-case hex).

    Raises:
        TooLarge: the line is longer than 64 KiB.
    """
    body = canonical({**line, "prev_hash": prev_hash})
    raw = body.encode()
    if len(raw) > MAX_EVENT_BYTES:
        raise TooLarge("event", MAX_EVENT_BYTES, "bytes")
    return body, hashlib.sha256(prev_hash.encode() + raw).hexdigest()


def signed_text(checkpoint: Checkpoint) -> str:
    """The exact text that a checkpoint's signature covers: its JCS without `signature`."""
    return canonical(checkpoint.model_dump(mode="json", exclude={"signature"}))
