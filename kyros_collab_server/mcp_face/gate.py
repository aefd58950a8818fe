"""The gate before the MCP endpoint: host, origin, credentials, rate, scopes. Pure ASGI."""

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.shared.inbound import decode_header_value
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kyros_collab_server.application import Kyros
from kyros_collab_server.kernel.errors import (
    InsufficientScope,
    Kind,
    KyrosError,
    RateLimited,
    Unauthenticated,
)
from kyros_collab_server.kernel.ids import new_request_id
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.kernel.principal import Scope as Right
from kyros_collab_server.mcp_face.caller import PRINCIPAL, RECHECK, Recheck
from kyros_collab_server.mcp_face.sdk_gaps import HANDSHAKE_VERSIONS
from kyros_collab_server.mcp_face.tool_errors import STATUS, protocol_error

LEAST_SCOPE = Right.TASKS_READ.value
MAX_TOKEN = 4_096
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_JWT = re.compile(r"[\w-]+\.([\w-]+)\.[\w-]*")

ScopesNeeded = Callable[[str, str], frozenset[Right]]
"""All scopes that a method on this name needs, as the routing headers give them."""


class OriginGuard:
    """Lets only known hosts and origins through: 421 and 403 otherwise, on every route."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._app = app
        self._hosts = _Names(hosts)
        self._origins = _Names(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0].decode("latin-1").lower() not in self._hosts:
            await PlainTextResponse("Unknown Host", 421)(scope, receive, send)
            return
        for name, value in scope["headers"]:
            if name == b"origin" and value.decode("latin-1").lower() not in self._origins:
                await PlainTextResponse("Unknown Origin", 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Names:
    """Exact names, and `name:*` for a name with any port."""

    def __init__(self, names: Iterable[str]) -> None:
        lowered = {name.strip().lower() for name in names}
        self._exact = {name for name in lowered if not name.endswith(":*")}
        self._any_port = {name[:-2] for name in lowered if name.endswith(":*")}

    def __contains__(self, name: str) -> bool:
        if name in self._exact:
            return True
        stem, _, port = name.rpartition(":")
        return stem in self._any_port and port.isascii() and port.isdecimal()


class Gate:
    """Authenticates every request and leaves the principal in its scope.

    The door remembers who a token is for seconds and forgets at revocation. On the 2026-07-28
    wire the routing headers also tell which scopes a call needs: they are refused here, with a
    challenge that names them all. The SDK refuses headers that differ from the body.
    """

    def __init__(
        self,
        app: ASGIApp,
        kyros: Kyros,
        *,
        resource: str,
        metadata_url: str,
        calls_per_second: int,
        scopes_needed: ScopesNeeded,
    ) -> None:
        self._app = app
        self._kyros = kyros
        self._resource = resource
        self._metadata_url = metadata_url
        self._rate = CallRate(calls_per_second)
        self._failures = CallRate(calls_per_second)
        self._scopes_needed = scopes_needed
        self._users: dict[tuple[str, frozenset[Right]], AuthenticatedUser] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = trimmed(scope["headers"])
        headers = dict(scope["headers"])
        head = scope.get("kyros.head")  # the host application has named the request already
        request_id: str = head.request_id if head is not None else new_request_id()
        address = scope["client"][0] if scope.get("client") else ""
        try:
            if self._failures.is_spent(address):
                raise RateLimited(1)
            recheck = self._caller_of(headers, request_id)
            principal = await recheck()
            if (wait := self._rate.excess(principal.id)) is not None:
                raise RateLimited(wait)
            self._require(principal, headers)
        except KyrosError as refusal:
            if refusal.kind is Kind.UNAUTHENTICATED:
                self._failures.excess(address)
            await self._refused(refusal, request_id)(scope, receive, send)
            return
        scope[PRINCIPAL] = principal
        scope[RECHECK] = recheck
        scope["user"] = self._user(principal)
        await self._app(scope, receive, send)

    def _caller_of(self, headers: Mapping[bytes, bytes], request_id: str) -> Recheck:
        """What says who calls, now and as often as it is asked again.

        Raises:
            Unauthenticated: no credentials, or a token made for another resource.
        """
        kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token or len(token) > MAX_TOKEN:
            raise Unauthenticated("Send Authorization: Bearer <key>.")
        audience = audience_of(token)
        if audience is not None and self._resource not in audience:
            raise Unauthenticated("The token was made for another resource.")
        trace = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
        return partial(
            self._kyros.caller,
            token,
            agent=_text(headers, b"x-kyros-agent"),
            workspace=_text(headers, b"x-kyros-workspace"),
            face="mcp",
            request_id=request_id,
            trace_id=trace[1].decode() if trace else None,
        )

    def _require(self, principal: Principal, headers: Mapping[bytes, bytes]) -> None:
        version = headers.get(b"mcp-protocol-version")
        if version is None or version in HANDSHAKE_VERSIONS:
            return
        method = headers.get(b"mcp-method", b"").decode("latin-1")
        name = decode_header_value(headers.get(b"mcp-name", b"").decode("latin-1")) or ""
        principal.require(self._scopes_needed(method, name))

    def _user(self, principal: Principal) -> AuthenticatedUser:
        """What the SDK binds sessions and sealed state to: stable while keys are rotated."""
        key = (principal.id, principal.scopes)
        user = self._users.get(key)
        if user is None:
            if len(self._users) >= 1_024:
                self._users.clear()
            token = AccessToken(
                token="",
                client_id=principal.id,
                scopes=[scope.value for scope in principal.scopes],
                resource=self._resource,
                subject=principal.user,
                claims={"iss": "kyros"},
            )
            user = self._users[key] = AuthenticatedUser(token)
        return user

    def _refused(self, refusal: KyrosError, request_id: str) -> Response:
        """A status and a challenge for programs, and the reason where MCP clients look for it."""
        headers = {}
        if isinstance(refusal, InsufficientScope):
            scopes = " ".join(refusal.facts["scopes_needed"])
            headers["www-authenticate"] = self._challenge("insufficient_scope", scopes)
        elif refusal.kind is Kind.UNAUTHENTICATED:
            headers["www-authenticate"] = self._challenge("invalid_token", LEAST_SCOPE)
        if (wait := refusal.retry_after_seconds) is not None:
            headers["retry-after"] = str(wait)
        error = protocol_error(refusal, request_id).error.model_dump(exclude_none=True)
        return JSONResponse(
            {"jsonrpc": "2.0", "id": None, "error": error},
            refusal.status or STATUS[refusal.kind],
            headers,
        )

    def _challenge(self, error: str, scopes: str) -> str:
        return f'Bearer error="{error}", scope="{scopes}", resource_metadata="{self._metadata_url}"'


class CallRate:
    """Counts the calls under each key in the running second."""

    def __init__(self, calls_per_second: int) -> None:
        self._limit = calls_per_second
        self._second = 0
        self._calls: dict[str, int] = {}

    def excess(self, key: str) -> int | None:
        """Count a call: seconds to wait when the key has had its calls of this second, or None."""
        made = self._made(key) + 1
        self._calls[key] = made
        return 1 if made > self._limit else None

    def is_spent(self, key: str) -> bool:
        """True when the key has had its calls of this second. Nothing is counted."""
        return self._made(key) >= self._limit

    def _made(self, key: str) -> int:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._calls.clear()
        return self._calls.get(key, 0)


def audience_of(token: str) -> list[str] | None:
    """Whom a JSON Web Token says it is for, unverified; None for keys, which have no audience."""
    matched = _JWT.fullmatch(token)
    if matched is None:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(matched[1] + "=" * (-len(matched[1]) % 4)))
        audience: Any = claims.get("aud") if isinstance(claims, dict) else None
    except (binascii.Error, ValueError, RecursionError):
        return []
    if isinstance(audience, str):
        return [audience]
    return [one for one in audience if isinstance(one, str)] if isinstance(audience, list) else []


def trimmed(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """RFC 9110 §5.5: white space around a value is not part of it; the parser leaves some."""
    return [(name, value.strip(b" \t")) for name, value in headers]


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name, b"").decode("latin-1").strip()
    return value or None
