"""One request as an endpoint sees it: head, query and body, each read strictly."""

import json
import math
import re
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json
from starlette.types import Receive, Scope

from http_api.problems import (
    BodyTooLarge,
    HeadersTooLarge,
    MalformedJson,
    UnsupportedMediaType,
    shown,
)
from kyros_collab_server.kernel.errors import Invalid
from kyros_collab_server.kernel.principal import Principal

if TYPE_CHECKING:
    from http_api.face import Face

JSON_TYPES = ("application/json",)
MAX_QUERY_FIELDS = 100
_ID = re.compile(r"[\x20-\x7e]{1,255}")
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
SINGLE = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "if-match",
        "last-event-id",
        "origin",
        "x-kyros-agent",
        "x-kyros-fencing-token",
        "x-kyros-workspace",
    }
)
"""Headers that mean one thing: two of them are refused, never chosen from."""


class Head:
    """The request's head: method, headers by lower-case name, and the server's id for it."""

    __slots__ = ("headers", "request_id")

    def __init__(self, headers: dict[str, str], request_id: str) -> None:
        self.headers = headers
        self.request_id = request_id


def headers_of(raw: list[tuple[bytes, bytes]], limit: int) -> dict[str, str]:
    """Headers by lower-case name; lists that came in parts are joined.

    Raises:
        HeadersTooLarge: they are of more than `limit` bytes.
        Invalid: a header that means one thing came twice.
    """
    headers: dict[str, str] = {}
    size = 0
    for name_bytes, value_bytes in raw:
        size += len(name_bytes) + len(value_bytes)
        name = name_bytes.decode("latin-1")
        value = value_bytes.decode("latin-1")
        if name in headers:
            if name in SINGLE:
                raise Invalid(name, "came more than once")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    if size > limit:
        raise HeadersTooLarge("headers", limit, "bytes")
    return headers


class Call:
    """A request on its way through an endpoint.

    `principal` is there once the endpoint has asked who calls; an open one never does.
    """

    __slots__ = ("face", "headers", "path", "principal", "receive", "request_id", "scope")
    principal: Principal

    def __init__(self, face: "Face", scope: Scope, receive: Receive) -> None:
        head: Head = scope["kyros.head"]
        self.face = face
        self.scope = scope
        self.receive = receive
        self.headers = head.headers
        self.request_id = head.request_id
        self.path: dict[str, str] = scope.get("path_params", {})

    @property
    def address(self) -> str:
        """The peer's address, as far as the server knows it."""
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def trace_id(self) -> str | None:
        """The trace that a W3C `traceparent` header names."""
        header = self.headers.get("traceparent")
        found = _TRACE.fullmatch(header) if header else None
        return found.group(1) if found else None

    @property
    def idempotency_key(self) -> str | None:
        """The caller's key for this call: 1 to 255 printable ASCII characters.

        Raises:
            Invalid: it is anything else.
        """
        key = self.headers.get("idempotency-key")
        if key is not None and not _ID.fullmatch(key):
            raise Invalid("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
        return key

    def query(self, lists: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The query's fields. A list may come as repeated fields or with commas.

        Raises:
            Invalid: not UTF-8, too many fields, a NUL, or one field twice.
        """
        raw = self.scope["query_string"]
        if not raw:
            return {}
        try:
            pairs = urllib.parse.parse_qsl(
                raw.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        except ValueError:
            raise Invalid("query", "is not a list of UTF-8 fields") from None
        fields: dict[str, Any] = {}
        for name, value in pairs:
            if "\x00" in name or "\x00" in value:
                raise Invalid(shown(name) or "query", "has the invisible character U+0000")
            if name in lists:
                fields.setdefault(name, []).extend(part for part in value.split(",") if part)
            elif name in fields:
                raise Invalid(shown(name), "came more than once")
            else:
                fields[name] = value
        return fields

    async def json(self, types: tuple[str, ...] = JSON_TYPES) -> dict[str, Any]:
        """The body as a JSON object; an absent body is an empty one.

        Raises:
            UnsupportedMediaType: the body is not JSON in UTF-8.
            MalformedJson: it is no JSON, or one that readers would read differently.
            Invalid: it is not an object, or has a NUL.
        """
        body = await read_body(self.receive, self.face.settings.body_limit_bytes)
        if body or "content-type" in self.headers:
            self._check_media_type(types)
        if not body:
            return {}
        return object_of(body)

    def _check_media_type(self, types: tuple[str, ...]) -> None:
        media, _, parameters = self.headers.get("content-type", "").partition(";")
        charset = parameters.strip().lower().replace('"', "")
        if media.strip().lower() not in types or charset not in {"", "charset=utf-8"}:
            raise UnsupportedMediaType(list(types))


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body; stops reading as soon as it is larger than the limit.

    Raises:
        BodyTooLarge: more than `limit` bytes came.
        Gone: the client left before its end.
    """
    message = await receive()
    if message["type"] != "http.request":
        raise Gone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise BodyTooLarge("body", limit, "bytes")
        return body
    parts = [body]
    size = len(body)
    while message.get("more_body", False):
        if size > limit:
            raise BodyTooLarge("body", limit, "bytes")
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if size > limit:
        raise BodyTooLarge("body", limit, "bytes")
    return b"".join(parts)


class Gone(MalformedJson):
    """The client left before its body had ended."""

    def __init__(self) -> None:
        super().__init__("did not end")


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object that these bytes spell.

    `from_json` is the strict reader (depth at most 200, no lone surrogates, no NaN); the second
    pass refuses what it lets through: equal names in one object, and numbers beyond a double.

    Raises:
        MalformedJson: no JSON, or an ambiguous one.
        Invalid: not an object, or a NUL in it.
    """
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        rule = "is nested too deep" if "recursion" in str(error) else "is not JSON in UTF-8"
        raise MalformedJson(rule) from None
    try:
        value = _read_again(body.decode())
    except (ValueError, RecursionError):
        raise MalformedJson("has a number beyond its bounds") from None
    if not isinstance(value, dict):
        raise Invalid("body", "must be a JSON object")
    if b"u0000" in body and (path := _nul(value)) is not None:
        raise Invalid(shown(path), "has the invisible character U+0000")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise MalformedJson("has two members of one name in an object")
    return made


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("beyond a double")
    return number


_read_again = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite).decode


def _nul(value: Any, path: str = "") -> str | None:
    if isinstance(value, str):
        return path or "body" if "\x00" in value else None
    if isinstance(value, Mapping):
        for name, inner in value.items():
            below = f"{path}.{name}" if path else name
            if "\x00" in name or _nul(inner, below) is not None:
                return below
    if isinstance(value, list):
        for position, inner in enumerate(value):
            if (found := _nul(inner, f"{path}.{position}")) is not None:
                return found
    return None


def integer_header(headers: Mapping[str, str], name: str) -> int | None:
    """The whole number that a header holds, or None without it.

    Raises:
        Invalid: it is not a number from 0 to 2**53 - 1.
    """
    text = headers.get(name.lower())
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,16}", text) or int(text) > 9_007_199_254_740_991:
        raise Invalid(name, "must be a whole number")
    return int(text)
