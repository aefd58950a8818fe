"""Refusals on the wire: RFC 9457 problem documents, and what only this face refuses."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from http_api.reply import Headers, Reply, json_bytes
from kyros_collab_server.kernel.errors import (
    InsufficientScope,
    Invalid,
    Kind,
    KyrosError,
    NotFound,
    TooLarge,
    Unauthenticated,
    UnknownField,
)

STATUS: dict[Kind, int] = {
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.PRECONDITION_FAILED: 412,
    Kind.PRECONDITION_REQUIRED: 428,
    Kind.INVALID: 422,
    Kind.RATE_LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}
MEDIA_TYPE = b"application/problem+json"
MAX_FAULTS = 20
"""Faults of one call that its problem lists."""
_PRINTABLE = re.compile(r"[^ -~]")
_CONTEXT = ("ge", "le", "gt", "lt", "max_length", "min_length", "pattern", "expected")


class Problem(BaseModel):
    """An RFC 9457 problem. The facts of its code stand beside these members."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    fix: str | None = None
    retryable: bool = False


class MalformedJson(KyrosError):
    """The body is not one JSON value as RFC 8259 and I-JSON have it."""

    code = "malformed_json"
    kind = Kind.INVALID
    status = 400

    def __init__(self, rule: str) -> None:
        super().__init__(f"The body {rule}.", fix="Send one JSON object.", field="body", rule=rule)


class MalformedRequest(KyrosError):
    """The bytes are not a request of HTTP/1.1."""

    code = "malformed_request"
    kind = Kind.INVALID
    status = 400

    def __init__(self) -> None:
        super().__init__("The server could not read the request.", fix="Send HTTP/1.1.")


class UnsupportedMediaType(KyrosError):
    """The body is not of a media type that the call takes."""

    code = "unsupported_media_type"
    kind = Kind.INVALID
    status = 415

    def __init__(self, allowed: list[str]) -> None:
        super().__init__(
            "The call takes JSON.",
            fix=f"Send Content-Type: {allowed[0]}.",
            field="Content-Type",
            allowed=allowed,
        )


class MethodNotAllowed(KyrosError):
    """The resource does not have this method."""

    code = "method_not_allowed"
    kind = Kind.INVALID
    status = 405

    def __init__(self, allowed: list[str]) -> None:
        super().__init__("Another method may do.", fix="Use one of `allowed`.", allowed=allowed)


class HeadersTooLarge(TooLarge):
    """The head of the call is larger than its bound."""

    status = 431


class BodyTooLarge(TooLarge):
    """The body is larger than its bound."""

    status = 413


class Misdirected(KyrosError):
    """The Host header names another server."""

    code = "host_refused"
    kind = Kind.FORBIDDEN
    status = 421

    def __init__(self) -> None:
        super().__init__(
            "This server does not answer to that name.",
            fix="Use its own address, or list the name in KYROS_ALLOWED_HOSTS.",
        )


class OriginRefused(KyrosError):
    """A page of another origin made the call."""

    code = "origin_refused"
    kind = Kind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__(
            "Browsers may call from the server's own origin only.",
            fix="List the origin in KYROS_ALLOWED_ORIGINS.",
        )


class Incident(KyrosError):
    """The server failed; the incident id finds it in the log."""

    code = "incident"
    kind = Kind.UNAVAILABLE
    status = 500

    def __init__(self, incident_id: str) -> None:
        super().__init__(
            "The call did not end as it should.",
            fix="Report the incident id.",
            incident_id=incident_id,
        )


def status_of(error: KyrosError | type[KyrosError]) -> int:
    """The HTTP status of a refusal: its own when it has one, else its kind's."""
    return error.status or STATUS[error.kind]


def problem(error: KyrosError, request_id: str) -> Reply:
    """The answer that a refusal becomes."""
    status = status_of(error)
    body: dict[str, Any] = {
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": status,
        "code": error.code,
        "detail": error.detail,
        "request_id": request_id,
        "fix": error.fix or None,
        "retryable": error.retryable,
    }
    body.update({name: fact for name, fact in error.facts.items() if name not in body})
    return Reply(status, json_bytes(body), MEDIA_TYPE, _headers(error))


def _headers(error: KyrosError) -> Headers:
    headers: Headers = []
    if (seconds := error.retry_after_seconds) is not None:
        headers.append((b"retry-after", str(seconds).encode()))
    if isinstance(error, Unauthenticated):
        sent = b', error="invalid_token"' if error.facts.get("token_sent") else b""
        headers.append((b"www-authenticate", b'Bearer realm="kyros"' + sent))
    elif isinstance(error, InsufficientScope):
        scopes = " ".join(error.facts.get("scopes_needed", ())).encode()
        challenge = b'Bearer realm="kyros", error="insufficient_scope", scope="%s"' % scopes
        headers.append((b"www-authenticate", challenge))
    elif isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.facts["allowed"]).encode()))
    etag = error.facts.get("etag")
    if error.kind in {Kind.PRECONDITION_FAILED, Kind.PRECONDITION_REQUIRED} and etag:
        headers.append((b"etag", str(etag).encode("latin-1", "replace")))
    return headers


def shown(name: str) -> str:
    """A name from outside, harmless: printable ASCII, at most 100 characters."""
    return _PRINTABLE.sub("?", name)[:100]


def refusal_of(
    error: ValidationError, allowed: Iterable[str], path_fields: Mapping[str, str] | None = None
) -> KyrosError:
    """What a failed validation refuses: the first fault as facts, all of them in `errors`.

    The input is never repeated. An id in the path that cannot exist is `not_found`.
    """
    faults = error.errors(include_input=False, include_url=False, include_context=True)
    located = [(_field(fault["loc"]), fault) for fault in faults]
    for field, _ in located:
        if path_fields and field in path_fields:
            return NotFound(path_fields[field])
    field, first = next(
        (pair for pair in located if pair[1]["type"] == "extra_forbidden"), located[0]
    )
    names = sorted(allowed)
    refusal: KyrosError
    if first["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(field.rsplit(".", 1)[-1], names, n=1)
        refusal = UnknownField(field, names if "." not in field else [], *nearest)
    else:
        refusal = Invalid(field or "body", _rule(first), allowed=_allowed(first))
    refusal.facts["errors"] = [
        {"field": name, "rule": _rule(fault)} for name, fault in located[:MAX_FAULTS]
    ]
    return refusal


def _field(loc: tuple[int | str, ...]) -> str:
    return shown(".".join(str(part) for part in loc if "[" not in str(part)))


def _rule(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown"
    text = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    return _PRINTABLE.sub("?", text)[:200]


def _allowed(fault: Mapping[str, Any]) -> Any:
    context = fault.get("ctx", {})
    found = {name: context[name] for name in _CONTEXT if name in context}
    return found or None
