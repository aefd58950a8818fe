"""Canonical JSON (RFC 8785), strong entity tags, and merge patches (RFC 7396)."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import rfc8785

_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
).encode


def canonical(value: Any) -> str:
    """Return the RFC 8785 text of a JSON value.

    `json` sorts keys by code point and spells floats its own way; both differ from RFC 8785 only
    for keys beyond the Basic Multilingual Plane and for floats, so those go the strict way.

    Raises:
        ValueError: integers beyond 2**53 - 1, NaN, or keys that are not strings.
    """
    if _plain(value):
        return _encode(value)
    return rfc8785.dumps(value).decode()


def _plain(value: Any) -> bool:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return bool(-9007199254740991 <= value <= 9007199254740991)
    if kind is dict:
        return all(
            type(k) is str and (k.isascii() or max(k) < "\ud800") and _plain(v)
            for k, v in value.items()
        )
    if kind is list:
        return all(map(_plain, value))
    return False


def sha256_hex(text: str) -> str:
    """Lower-case hex of the SHA-256 of the UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def etag_of(version: int, body: str) -> str:
    """The strong tag `"<version>-<32 hex>"` of an entity's canonical public fields."""
    return f'"{version}-{sha256_hex(body)[:32]}"'


def kind_etag(version: int, members: Iterable[tuple[str, str]]) -> str:
    """The strong tag of a whole kind: its version counter and its sorted `id:etag` list."""
    return etag_of(version, "\n".join(f"{key}:{tag}" for key, tag in sorted(members)))


def matches(header: str | None, etag: str) -> bool:
    """True when a comma-separated list of tags (RFC 9110 §13.1) names this one or is `*`.

    Weak tags never match: the comparison is the strong one.
    """
    if header is None:
        return False
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or etag in tags or etag.strip('"') in tags


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply an RFC 7396 merge patch and return the new value; neither argument changes."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def field_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{field: {before, after}}` for every field that differs; absent counts as null."""
    keys = sorted(before.keys() | after.keys())
    return {
        key: {"before": before.get(key), "after": after.get(key)}
        for key in keys
        if before.get(key) != after.get(key)
    }
