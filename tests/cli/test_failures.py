"""Every refusal has an exit code, on both ways to the board the same."""

import pytest

from kyros_collab_server.cli.failures import Exit, refused, refused_by_server
from kyros_collab_server.features.leases.errors import LeaseLost, WriteFenced
from kyros_collab_server.features.tasks.errors import Guard, GuardFailed
from kyros_collab_server.kernel.errors import (
    EtagMismatch,
    IfMatchRequired,
    InsufficientScope,
    Invalid,
    KyrosError,
    NotAvailable,
    NotFound,
    RateLimited,
    StoreUnavailable,
    Unauthenticated,
)

LOST = LeaseLost(lock_id="lk_0", resource="x", holder="agent:b", fencing_token=2, reclaimed_at=None)
FENCED = WriteFenced(
    resource="x", writer="agent:a", operation="o", offered=1, current=2, holder="agent:b"
)
CASES: list[tuple[KyrosError, int, Exit]] = [
    (NotFound("task"), 404, Exit.NOT_FOUND),
    (Unauthenticated("no"), 401, Exit.AUTHENTICATION),
    (InsufficientScope(["admin"]), 403, Exit.AUTHENTICATION),
    (GuardFailed(Guard.ROLE), 409, Exit.CONFLICT),
    (EtagMismatch("e", {}, {}, "again"), 412, Exit.CONFLICT),
    (IfMatchRequired("e"), 428, Exit.CONFLICT),
    (LOST, 409, Exit.LEASE),
    (FENCED, 409, Exit.LEASE),
    (RateLimited(1), 429, Exit.LIMITED),
    (Invalid("title", "is too long"), 422, Exit.INVALID),
    (StoreUnavailable(), 503, Exit.UNREACHABLE),
    (NotAvailable("Sharing"), 501, Exit.USAGE),
]


@pytest.mark.parametrize(("error", "status", "code"), CASES, ids=lambda case: str(case)[:20])
def test_a_refusal_exits_alike_from_the_store_and_over_rest(
    error: KyrosError, status: int, code: Exit
) -> None:
    problem = {"code": error.code, "detail": error.detail, "fix": error.fix, **error.facts}
    here, there = refused(error), refused_by_server(status, problem)
    assert here.exit_code == there.exit_code == code
    assert (here.code, here.message, here.hint) == (there.code, there.message, there.hint)
    assert here.facts == there.facts == error.facts


def test_an_answer_that_is_no_problem_is_an_unexpected_failure() -> None:
    assert refused_by_server(500, {}).exit_code == Exit.UNEXPECTED
    assert refused_by_server(502, {}).exit_code == Exit.UNREACHABLE
