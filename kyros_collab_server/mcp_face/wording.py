"""How answers read: what others wrote is cleaned and capped, values are spelled one way."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

MAX_TEXT = 24_000
"""Characters of any one answer's text."""
MAX_QUOTE = 300
"""Characters of another's text in a one-line quotation."""

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_BREAKS = re.compile(r"\s*[\r\n\t]+\s*")


def visible(text: str) -> str:
    """The text without control, bidirectional, zero-width and surrogate characters."""
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub("", text)


def capped(text: str, limit: int) -> str:
    """The text, or its beginning and a sign that more was there."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str, limit: int = MAX_QUOTE) -> str:
    """Another's text as one visible, bounded line."""
    return capped(_BREAKS.sub(" ", visible(text)), limit)


def quoted(text: str, limit: int = MAX_QUOTE) -> str:
    """Another's text between quotation marks that it cannot close."""
    return '"' + one_line(text, limit).replace('"', "'") + '"'


def clock(instant: str) -> str:
    """`12:08:10Z` for an RFC 3339 instant in UTC."""
    return instant[11:19] + "Z"


def lean(value: Any) -> Any:
    """A JSON value without nulls and without characters that nobody can see."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(str(key)): lean(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [lean(item) for item in value if item is not None]
    return value


def fields(model: BaseModel, *, only: Iterable[str] | None = None) -> dict[str, Any]:
    """A model's fields as lean JSON: no nulls, no empty texts, lists or objects."""
    dumped = model.model_dump(mode="json", include=None if only is None else set(only))
    return {
        name: lean(value)
        for name, value in dumped.items()
        if value is not None and value != "" and value != [] and value != {}
    }


def listed(lines: list[str], empty: str, *, narrow: str) -> str:
    """One thing a line, within the bound of a text; a cut list says how to ask for less."""
    if not lines:
        return empty
    size = 0
    for count, line in enumerate(lines):
        size += len(line) + 1
        if size > MAX_TEXT - 200:
            rest = len(lines) - count
            return "\n".join([*lines[:count], f"… {rest} more left out of this text: {narrow}"])
    return "\n".join(lines)
