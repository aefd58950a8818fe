"""Who calls: from the request's headers to a principal, within its rate."""

from time import monotonic

from http_api.request import Call
from kyros_collab_server.application import Kyros
from kyros_collab_server.kernel.errors import KyrosError, RateLimited, Unauthenticated
from kyros_collab_server.kernel.principal import Principal

MAX_BUCKETS = 10_000
"""Callers whose rate is kept at once; full buckets are forgotten first."""
MAX_TOKEN = 512
MAX_CLIENT = 80


class Rates:
    """Token buckets: each key may make `per_second` calls a second, as many at once.

    In the process's memory. A bucket costs 0.4 µs a call where a window of `limits` costs 3 and
    one more task on the event loop.
    """

    def __init__(self, per_second: int) -> None:
        self._rate = float(per_second)
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> None:
        """Count one call.

        Raises:
            RateLimited: the key has used its rate up.
        """
        now = monotonic()
        tokens, at = self._buckets.get(key, (self._rate, now))
        tokens = min(self._rate, tokens + (now - at) * self._rate)
        if tokens < 1:
            raise RateLimited(1)
        self._buckets[key] = (tokens - 1, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._forget(now)

    def spent(self, key: str) -> bool:
        """True when the key could not make a call now. Nothing is counted."""
        if key not in self._buckets:
            return False
        tokens, at = self._buckets[key]
        return tokens + (monotonic() - at) * self._rate < 1

    def _forget(self, now: float) -> None:
        kept = sorted(self._buckets.items(), key=lambda entry: entry[1][1])[MAX_BUCKETS // 2 :]
        self._buckets = {key: (left, at) for key, (left, at) in kept if now - at < 1}


class Callers:
    """Finds the principal of a call, and counts the call against its rate."""

    def __init__(self, kyros: Kyros, calls_per_second: int) -> None:
        self._kyros = kyros
        self._rates = Rates(calls_per_second)
        self._failures = Rates(calls_per_second)

    async def of(self, call: Call) -> Principal:
        """The principal that the call's headers name.

        Raises:
            Unauthenticated: no bearer token, or one that is not valid.
            NotFound: the workspace is unknown or not the caller's.
            RateLimited: the principal, or an address without valid credentials, calls too often.
        """
        address = call.address
        if self._failures.spent(address):
            raise RateLimited(1)
        try:
            principal = await self.again(call)
        except Unauthenticated:
            self._failures.take(address)
            raise
        self._rates.take(principal.id)
        return principal

    async def again(self, call: Call) -> Principal:
        """The principal as it stands now, for a stream that is open for long; not counted."""
        headers = call.headers
        return await self._kyros.caller(
            bearer_token(headers.get("authorization")),
            agent=headers.get("x-kyros-agent"),
            workspace=headers.get("x-kyros-workspace"),
            face="rest",
            request_id=call.request_id,
            trace_id=call.trace_id,
            client=_client(headers.get("user-agent")),
        )


def bearer_token(header: str | None) -> str:
    """The token of an Authorization header.

    Raises:
        Unauthenticated: there is none, or it is of another scheme.
    """
    if header is None:
        raise _unauthenticated("The call carries no credentials.", sent=False)
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN or not token.isascii():
        raise _unauthenticated("The credentials are not a bearer token.", sent=True)
    return token


def _unauthenticated(detail: str, *, sent: bool) -> KyrosError:
    return Unauthenticated(
        detail, fix="Send Authorization: Bearer <API key>.", token_sent=True if sent else None
    )


def _client(user_agent: str | None) -> str | None:
    if not user_agent:
        return None
    if len(user_agent) <= MAX_CLIENT and user_agent.isascii() and user_agent.isprintable():
        return user_agent
    return "".join(c for c in user_agent[:MAX_CLIENT] if " " <= c <= "~") or None
