"""Refusals on this face: a tool result that teaches, or a protocol error where there is no tool."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, CallToolResult, TextContent

from kyros_collab_server.kernel.errors import Kind, KyrosError
from kyros_collab_server.kernel.ids import new_id
from kyros_collab_server.mcp_face.wording import capped, lean

PROBLEM = "kyros/problem"
"""The `_meta` key under which a refusal carries the problem object that REST would answer."""

STATUS: dict[Kind, int] = {
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.PRECONDITION_FAILED: 412,
    Kind.INVALID: 422,
    Kind.PRECONDITION_REQUIRED: 428,
    Kind.RATE_LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}
_JSONRPC: dict[Kind, int] = {
    Kind.UNAUTHENTICATED: INVALID_REQUEST,
    Kind.FORBIDDEN: INVALID_REQUEST,
    Kind.UNAVAILABLE: INTERNAL_ERROR,
    Kind.RATE_LIMITED: INTERNAL_ERROR,
}
_SAID = {
    *("type", "title", "status", "code", "detail", "fix", "request_id", "retryable"),
    *("retry_after_seconds", "rule", "nearest", "expires_in_ms", "expires_at"),
}
"""What the text says in other words, or is for programs only."""
_TOO_LARGE = {"current": dict}
"""A whole task is for programs; the text carries what differs."""


def problem(error: KyrosError, request_id: str) -> dict[str, Any]:
    """The RFC 9457 object of a refusal, the same on every face."""
    status = error.status or STATUS[error.kind]
    body = {
        **error.facts,
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": status,
        "code": error.code,
        "detail": error.detail,
        "request_id": request_id,
        "retryable": error.retryable,
    }
    if error.fix:
        body["fix"] = error.fix
    return body


def refused(error: KyrosError, request_id: str, *, beside: Sequence[str] = ()) -> CallToolResult:
    """Cause, fix and retryable as text; the problem object for programs in `_meta`."""
    return spoken(problem(error, request_id), beside=beside)


def spoken(body: Mapping[str, Any], *, beside: Sequence[str] = ()) -> CallToolResult:
    """The tool result that a problem object amounts to, wherever it was made."""
    text = f"{body['code']}: {body['detail']}\n"
    if fix := body.get("fix"):
        text += f"Fix: {fix}{'' if fix.endswith(('.', '?', ')')) else '.'} "
    text += f"retryable={str(body['retryable']).lower()}"
    if (wait := body.get("retry_after_seconds")) is not None:
        text += f" retry_after_seconds={wait}"
    if facts := _facts_of(body, text):
        text += f"\n{facts}"
    return _failed("\n".join([text, *beside]), dict(body))


class Incident(KyrosError):
    """The server failed; the incident id finds it in the log."""

    code = "incident"
    kind = Kind.UNAVAILABLE
    status = 500

    def __init__(self) -> None:
        self.incident_id = new_id("in")
        super().__init__(
            "The call did not end as it should.",
            fix="Look at the state before you repeat the call, and report the incident id.",
            incident_id=self.incident_id,
        )


def protocol_error(error: KyrosError, request_id: str, **more: Any) -> MCPError:
    """A refusal where no tool result can carry it: reading a resource, or who is calling."""
    return MCPError(
        code=_JSONRPC.get(error.kind, INVALID_PARAMS),
        message=f"{error.code}: {error.detail}",
        data={**more, PROBLEM: problem(error, request_id)},
    )


def _failed(text: str, body: dict[str, Any]) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=text)], is_error=True, _meta={PROBLEM: body}
    )


def _facts_of(body: Mapping[str, Any], text: str) -> str:
    """`name=value` for the facts that the sentence does not hold yet."""
    words = []
    for name, value in body.items():
        if name in _SAID or isinstance(value, _TOO_LARGE.get(name, ())):
            continue
        spelled = (
            value
            if isinstance(value, str) and " " not in value
            else json.dumps(lean(value), ensure_ascii=False, separators=(",", ":"))
        )
        if not re.search(rf"(?<!\w){re.escape(spelled)}(?!\w)", text):
            words.append(f"{name}={spelled}")
    return capped(" ".join(words), 4_000)
