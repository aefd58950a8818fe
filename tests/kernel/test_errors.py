"""Refusals: a stable code, a kind, facts that are JSON, and no text from outside."""

import json
from collections.abc import Iterator

import pytest

import kyros_collab_server.application  # noqa: F401 - loads every feature and its refusals
from kyros_collab_server.kernel import errors
from kyros_collab_server.kernel.errors import Kind, KyrosError


def refusals(base: type[KyrosError] = KyrosError) -> Iterator[type[KyrosError]]:
    for one in base.__subclasses__():
        yield one
        yield from refusals(one)


@pytest.mark.parametrize("refusal", list(refusals()), ids=lambda one: one.__name__)
def test_every_refusal_has_a_code_a_kind_and_a_title(refusal: type[KyrosError]) -> None:
    assert refusal.code.replace("_", "").isalpha()
    assert refusal.kind in Kind
    assert refusal.__doc__


def test_two_refusals_share_a_code_only_when_they_share_a_kind() -> None:
    kinds: dict[str, set[Kind]] = {}
    for refusal in refusals():
        kinds.setdefault(refusal.code, set()).add(refusal.kind)
    assert {code for code, found in kinds.items() if len(found) > 1} == set()


@pytest.mark.parametrize(
    "refusal",
    [
        errors.Invalid("title", "is blank", allowed=["x"]),
        errors.UnknownField("titel", ["title"], "title"),
        errors.UnknownField("x", []),
        errors.TooLarge("body", 3, "bytes"),
        errors.NotFound("task"),
        errors.InsufficientScope(["admin", "operate"]),
        errors.Unauthenticated("no"),
        errors.IdempotencyConflict(),
        errors.InProgress(),
        errors.EtagMismatch('"1-a"', {"x": 1}, {"x": {"before": 1, "after": 2}}, "again"),
        errors.IfMatchRequired('"1-a"'),
        errors.NotAvailable("Shared leases"),
        errors.WriterStalled(12),
        errors.WriterStalled(None),
        errors.StorageFull(),
        errors.StoreUnavailable("unknown"),
        errors.StoreConflict(),
        errors.RateLimited(3),
        errors.TooManyStreams(64),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_refusals_facts_are_json_and_its_title_is_one_line(refusal: KyrosError) -> None:
    json.dumps(refusal.facts, allow_nan=False)
    assert refusal.title
    assert "\n" not in refusal.title
    assert not refusal.title.endswith(".")
    assert refusal.event() is None
    waits = refusal.retry_after_seconds
    assert waits is None or waits >= 1
    if refusal.retryable:
        assert waits is not None
