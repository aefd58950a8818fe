"""Refusals: one base class, a closed set of kinds, and typed facts."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar


class Kind(StrEnum):
    """What a refusal is, independent of any wire. Each face maps kinds, never codes."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    PRECONDITION_FAILED = "precondition_failed"
    PRECONDITION_REQUIRED = "precondition_required"
    INVALID = "invalid"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"


class KyrosError(Exception):
    """Base of every refusal.

    A subclass declares `code` (stable, listed in `docs/problems/`), `kind`, and a docstring whose
    first line is the title. An instance carries `detail` (one sentence for this occurrence, never
    text from outside), `fix` (what to call next) and `facts` (JSON values).
    """

    code: ClassVar[str]
    kind: ClassVar[Kind]
    status: ClassVar[int | None] = None
    """An HTTP status that is sharper than the kind's own (501, 507); None: the kind decides."""
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, fix: str = "", **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix
        self.facts: dict[str, Any] = {k: v for k, v in facts.items() if v is not None}

    @property
    def title(self) -> str:
        """The first line of the class's docstring, without its full stop."""
        return (type(self).__doc__ or type(self).__name__).strip().splitlines()[0].rstrip(".")

    @property
    def retry_after_seconds(self) -> int | None:
        """Whole seconds after which the same call may pass; None when waiting changes nothing."""
        value = self.facts.get("retry_after_seconds")
        return value if isinstance(value, int) else None

    def event(self) -> "Mapping[str, Any] | None":
        """The one event a refusal may leave in the log after its savepoint is rolled back."""
        return None


class Invalid(KyrosError):
    """A field breaks a rule."""

    code = "invalid_field"
    kind = Kind.INVALID

    def __init__(self, field: str, rule: str, *, allowed: Any = None, fix: str = "") -> None:
        super().__init__(f"{field}: {rule}.", fix=fix, field=field, rule=rule, allowed=allowed)


class UnknownField(KyrosError):
    """A field is not part of this call."""

    code = "unknown_field"
    kind = Kind.INVALID

    def __init__(self, field: str, allowed: list[str], nearest: str | None = None) -> None:
        fix = f"Did you mean {nearest}?" if nearest else "Leave it out."
        super().__init__(
            "The call has a field that it does not take.",
            fix=fix,
            field=field,
            rule="unknown",
            allowed=allowed,
            nearest=nearest,
        )


class TooLarge(KyrosError):
    """The call is larger than its bound."""

    code = "too_large"
    kind = Kind.INVALID

    def __init__(self, field: str, limit: int, unit: str) -> None:
        super().__init__(
            f"{field} is larger than {limit} {unit}.",
            fix="Send less, or split it.",
            field=field,
            rule="too_large",
            allowed=limit,
        )


class NotFound(KyrosError):
    """There is no such thing here, or it is not yours to see."""

    code = "not_found"
    kind = Kind.NOT_FOUND

    def __init__(self, thing: str) -> None:
        where = "" if thing == "workspace" else " in this workspace"
        super().__init__(f"No such {thing}{where}.", thing=thing)


class InsufficientScope(KyrosError):
    """The credentials do not carry the scope that the operation needs."""

    code = "insufficient_scope"
    kind = Kind.FORBIDDEN

    def __init__(self, needed: list[str]) -> None:
        super().__init__(
            f"Needs the scope {' and '.join(needed)}.",
            fix="Ask an admin for a key with these scopes.",
            scopes_needed=needed,
        )


class Unauthenticated(KyrosError):
    """No valid credentials came with the call."""

    code = "unauthenticated"
    kind = Kind.UNAUTHENTICATED


class IdempotencyConflict(KyrosError):
    """This idempotency key was used for another call."""

    code = "idempotency_conflict"
    kind = Kind.INVALID

    def __init__(self) -> None:
        super().__init__(
            "The key stands for a call with other arguments.",
            fix="Take a new key for a new call.",
            field="Idempotency-Key",
            rule="reused",
        )


class InProgress(KyrosError):
    """A call with this idempotency key is still running."""

    code = "in_progress"
    kind = Kind.CONFLICT
    retryable = True

    def __init__(self) -> None:
        super().__init__(
            "The first call with this key has not ended.",
            fix="Repeat with the same key after a second.",
            retry_after_seconds=1,
        )


class EtagMismatch(KyrosError):
    """The thing changed since the caller read it."""

    code = "etag_mismatch"
    kind = Kind.PRECONDITION_FAILED

    def __init__(self, etag: str, current: Any, diff: Any, next_call: str) -> None:
        super().__init__(
            "if_match names an older version.",
            fix=next_call,
            etag=etag,
            current=current,
            diff=diff,
        )


class IfMatchRequired(KyrosError):
    """The call must name the version that it changes."""

    code = "if_match_required"
    kind = Kind.PRECONDITION_REQUIRED

    def __init__(self, etag: str) -> None:
        super().__init__("Send the etag that you read.", fix=f"if_match={etag}", etag=etag)


class NotAvailable(KyrosError):
    """This part is not offered by this server."""

    code = "not_available"
    kind = Kind.UNAVAILABLE
    status = 501

    def __init__(self, feature: str, fix: str = "") -> None:
        super().__init__(f"{feature} is not available.", fix=fix, feature=feature)


class WriterStalled(KyrosError):
    """Another process has held the write lock for too long."""

    code = "writer_stalled"
    kind = Kind.UNAVAILABLE
    retryable = True

    def __init__(self, pid: int | None) -> None:
        super().__init__(
            "The store's writer does not let go of the lock.",
            fix="Look at that process; it may be stopped. The lock is never broken.",
            pid=pid,
            retry_after_seconds=1,
        )


class StorageFull(KyrosError):
    """The disk that holds the store is full or read-only."""

    code = "storage_full"
    kind = Kind.UNAVAILABLE
    status = 507
    retryable = True

    def __init__(self) -> None:
        super().__init__(
            "The write was not made.", fix="Free space on the store's disk.", retry_after_seconds=5
        )


class StoreUnavailable(KyrosError):
    """The store could not say whether the write was made, or could not be reached."""

    code = "store_unavailable"
    kind = Kind.UNAVAILABLE
    retryable = True

    def __init__(self, outcome: str = "not_applied") -> None:
        super().__init__(
            "The store did not answer.",
            fix="Repeat with the same idempotency key.",
            outcome=outcome,
            retry_after_seconds=1,
        )


class StoreConflict(StoreUnavailable):
    """Two writers met in the store; the door tries again."""


class RateLimited(KyrosError):
    """Too many calls in a short time."""

    code = "rate_limited"
    kind = Kind.RATE_LIMITED
    retryable = True

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("Slow down.", retry_after_seconds=retry_after_seconds)


class TooManyStreams(KyrosError):
    """The principal has too many streams open."""

    code = "too_many_streams"
    kind = Kind.RATE_LIMITED
    retryable = True

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"At most {limit} streams at once.",
            fix="Close one.",
            limit=limit,
            retry_after_seconds=5,
        )
