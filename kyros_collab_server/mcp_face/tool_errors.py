"""Refusals on this face: a tool result that teaches, or a protocol error where there is no tool."""

import json
import re
from collections.abc import Mapping
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
_SAID = {"retry_after_seconds", "rule", "nearest", "expires_in_ms", "expires_at"}
"""Facts that the text says in other words."""
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


def refused(error: KyrosError, request_id: str) -> CallToolResult:
    """Cause, fix and retryable as text; the problem object for programs in `_meta`."""
    text = f"{error.code}: {error.detail}\n"
    if error.fix:
        text += f"Fix: {error.fix}{'' if error.fix.endswith(('.', '?', ')')) else '.'} "
    text += f"retryable={str(error.retryable).lower()}"
    if (wait := error.retry_after_seconds) is not None:
        text += f" retry_after_seconds={wait}"
    if facts := _spoken(error.facts, text):
        text += f"\n{facts}"
    return _failed(text, problem(error, request_id))


def crashed(request_id: str) -> tuple[str, CallToolResult]:
    """An incident id for the log, and an answer that tells nothing else."""
    incident = new_id("inc")
    body = {
        "type": "/problems/internal_error",
        "title": "Something failed inside the server",
        "status": 500,
        "code": "internal_error",
        "detail": f"Incident {incident}.",
        "request_id": request_id,
        "incident": incident,
        "retryable": False,
    }
    text = (
        f"internal_error: something failed inside the server, incident {incident}.\n"
        "Fix: look at the state before you repeat the call. retryable=false"
    )
    return incident, _failed(text, body)


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


def _spoken(facts: Mapping[str, Any], text: str) -> str:
    """`name=value` for the facts that the sentence does not hold yet."""
    words = []
    for name, value in facts.items():
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
