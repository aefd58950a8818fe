"""What leases refuse."""

from collections.abc import Mapping
from typing import Any

from kyros_collab_server.kernel.errors import Kind, KyrosError


class LeaseHeld(KyrosError):
    """Another holder's lease on this resource is alive."""

    code = "lease_held"
    kind = Kind.CONFLICT
    retryable = True

    def __init__(
        self,
        *,
        resource: str,
        held_resource: str,
        holder: str,
        expires_in_ms: int,
        expires_at: str,
        lock_id: str | None = None,
        fencing_token: int | None = None,
        witness: str | None = None,
        queue_position: int | None = None,
    ) -> None:
        how = f"is leased to {holder}" if lock_id else f"is waited for by {holder}, who was first,"
        handle = f" ({lock_id})" if lock_id else ""
        super().__init__(
            f"{held_resource} {how} until {expires_at}{handle}.",
            fix="Repeat with wait_seconds, or lease other resources.",
            resource=resource,
            held_resource=held_resource,
            lock_id=lock_id,
            holder=holder,
            fencing_token=fencing_token,
            expires_in_ms=expires_in_ms,
            expires_at=expires_at,
            retry_after_seconds=max(1, -(-expires_in_ms // 1000)),
            witness=witness,
            queue_position=queue_position,
        )


class Deadlock(KyrosError):
    """Waiting for this would close a circle of holders that wait for each other."""

    code = "deadlock"
    kind = Kind.CONFLICT

    def __init__(self, cycle: list[dict[str, str]]) -> None:
        super().__init__(
            "Everybody in the circle would wait for ever.",
            fix="Release what the others wait for, then acquire the whole set at once.",
            cycle=cycle,
        )


class LeaseLost(KyrosError):
    """The lease is over for the caller."""

    code = "lease_lost"
    kind = Kind.CONFLICT

    def __init__(
        self,
        *,
        lock_id: str,
        resource: str,
        holder: str | None,
        fencing_token: int | None,
        reclaimed_at: str | None,
    ) -> None:
        now_held = f"{holder} holds {resource} now" if holder else f"nobody holds {resource} now"
        super().__init__(
            f"The lease {lock_id} is over; {now_held}.",
            fix="Stop writing. Claim or acquire again for a new fencing token.",
            lock_id=lock_id,
            resource=resource,
            holder=holder,
            fencing_token=fencing_token,
            reclaimed_at=reclaimed_at,
        )


_YOURS = "Repeat with the fencing_token of your live lease, which is `current`."
_STOP = (
    "Stop: your lease is not the live one. Claim again, or append your output with event_append."
)


class WriteFenced(KyrosError):
    """The write does not come from the live lease's holder with the live token."""

    code = "write_fenced"
    kind = Kind.CONFLICT

    def __init__(
        self,
        *,
        resource: str,
        writer: str,
        operation: str,
        offered: int | None,
        current: int | None,
        holder: str | None,
    ) -> None:
        whose = f"{holder} holds it" if holder else "nobody holds it"
        super().__init__(
            f"The write to {resource} was fenced off: {whose}.",
            fix=_YOURS if holder == writer else _STOP,
            resource=resource,
            offered=offered,
            current=current,
            holder=holder,
        )
        self._resource = resource
        self._writer = writer
        self._operation = operation

    def event(self) -> Mapping[str, Any]:
        """`write_fenced`: who wrote what with which token, and the token that is current."""
        return {
            "event": "write_fenced",
            "target": self._resource,
            "details": {
                "writer": self._writer,
                "operation": self._operation,
                "resource": self._resource,
                "offered": self.facts.get("offered"),
                "current": self.facts.get("current"),
                "holder": self.facts.get("holder"),
            },
        }


class UseClaim(KyrosError):
    """A task is leased by claiming it, not by acquiring its resource."""

    code = "use_claim"
    kind = Kind.INVALID

    def __init__(self, task_id: str) -> None:
        super().__init__(
            "task:<id> is granted by claiming only.",
            fix=f"task_claim(task_id={task_id})",
            field="resources",
            rule="use_claim",
            task_id=task_id,
        )
