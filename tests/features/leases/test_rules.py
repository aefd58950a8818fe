"""Leases: the boundary of life, equal tokens, one spelling for each resource."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.features.leases import rules
from kyros_collab_server.features.leases.errors import UseClaim
from kyros_collab_server.features.leases.model import LeaseMode, LeaseState
from kyros_collab_server.features.leases.rules import LeaseRecord, Obstacle
from kyros_collab_server.kernel.errors import Invalid, TooLarge

T = st.integers(0, 10**13)
TTL = st.integers(5, 3_600).map(lambda seconds: seconds * 1000)
AT = "2026-01-01T00:00:00.000Z"


def lease_of(
    heartbeat_t: int = 0, ttl_ms: int = 5_000, token: int = 7, resource: str = "r"
) -> LeaseRecord:
    return LeaseRecord(
        lock_id="lk_" + "0" * 16,
        resource=resource,
        mode=LeaseMode.EXCLUSIVE,
        holder="agent:ana",
        task_id=None,
        acquired_at=AT,
        ttl_ms=ttl_ms,
        heartbeat_t=heartbeat_t,
        heartbeat_at=AT,
        fencing_token=token,
    )


@given(T, TTL)
def test_a_lease_lives_to_the_last_instant_of_its_ttl_and_no_longer(beat: int, ttl: int) -> None:
    lease = lease_of(beat, ttl)
    assert rules.is_live(lease, beat + ttl)
    assert rules.state_of(lease, beat + ttl) is LeaseState.ACTIVE
    assert not rules.is_live(lease, beat + ttl + 1)
    assert rules.state_of(lease, beat + ttl + 1) is LeaseState.STALE


@given(T, TTL, st.sampled_from([LeaseState.RELEASED, LeaseState.RECLAIMED]))
def test_an_ended_lease_is_never_live_again(beat: int, ttl: int, how: LeaseState) -> None:
    over = rules.ended(lease_of(beat, ttl), how, beat + 1, AT)
    assert not rules.is_live(over, beat)
    assert not rules.is_live(rules.renewed(over, beat + 1, AT, None), beat + 1)
    assert rules.state_of(over, beat) is how
    assert rules.published(over, beat, 0).expires_in_ms == 0


@given(TTL)
def test_a_renewal_is_due_at_a_third_of_the_ttl_and_a_stall_past_two_thirds(ttl: int) -> None:
    lease = lease_of(0, ttl)
    third = -(-ttl // 3)
    assert rules.renewal_is_due(lease, third)
    assert not rules.renewal_is_due(lease, third - 1)
    assert rules.is_stalled(lease, 2 * ttl // 3 + 1)
    assert not rules.is_stalled(lease, 2 * ttl // 3)


@given(T, TTL, T)
def test_a_renewed_lease_lives_its_ttl_from_the_heartbeat(beat: int, ttl: int, now: int) -> None:
    renewed = rules.renewed(lease_of(beat, ttl), now, AT, None)
    assert rules.is_live(renewed, now + ttl)
    assert not rules.is_live(renewed, now + ttl + 1)
    assert renewed.fencing_token == 7
    assert rules.renewed(renewed, now, AT, 60).ttl_ms == 60_000


@given(st.none() | st.integers(0, 20), st.sampled_from(["agent:ana", "agent:ben", "system"]))
def test_only_the_holder_with_the_equal_token_passes_the_fence(
    offered: int | None, writer: str
) -> None:
    passes = rules.passes_fence(lease_of(token=7), writer, offered)
    assert passes == (offered == 7 and writer == "agent:ana")


@given(T, TTL, st.integers(-10_000, 4_000_000))
def test_what_is_published_of_a_lease_agrees_with_its_state(
    beat: int, ttl: int, after: int
) -> None:
    now, wall = beat + max(after, 0), 1_790_000_000_000
    shown = rules.published(lease_of(beat, ttl), now, wall)
    assert shown.expires_in_ms == max(0, beat + ttl - now)
    assert (shown.state is LeaseState.ACTIVE) == (now <= beat + ttl)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("port:8000", "port:8000"),
        ("path:src//a.py", None),
        ("path:src/**", "path:src/**"),
        ("path:cafe\u0301.py", "path:caf\u00e9.py"),
        ("cafe\u0301", "caf\u00e9"),
        ("path:SRC/**", "path:SRC/**"),
    ],
)
def test_a_resource_has_one_spelling(written: str, canonical: str | None) -> None:
    if canonical is None:
        with pytest.raises(Invalid):
            rules.canonical_resource(written)
        return
    assert rules.canonical_resource(written) == canonical
    assert rules.canonical_resource(canonical) == canonical


@pytest.mark.parametrize(
    "resource",
    ["path:../x", "path:/etc/passwd", "path:a/../b", "path:", "a\x00b", "a\u202eb",
     "a\nb", "  "],
)  # fmt: skip
def test_a_path_that_leaves_the_root_or_an_unseen_name_is_refused(resource: str) -> None:
    with pytest.raises(Invalid):
        rules.canonical_resource(resource)


def test_a_resource_of_more_than_512_bytes_is_refused() -> None:
    assert rules.canonical_resource("x" * 512)
    for long in ("x" * 513, "é" * 257):
        with pytest.raises(TooLarge):
            rules.canonical_resource(long)


def test_a_task_is_granted_by_claiming_alone() -> None:
    for resource in ("task:T-1", "task:", "task:T-1/x"):
        with pytest.raises(UseClaim):
            rules.canonical_resource(resource)


NAMES = st.sampled_from(["b", "a", "path:x/**", "path:x/y", "cafe\u0301", "caf\u00e9"])


@given(st.lists(NAMES))
def test_a_set_is_in_canonical_order_without_repeats(resources: list[str]) -> None:
    found = rules.canonical_resources(resources)
    assert found == sorted(set(found))
    assert set(found) == {unicodedata.normalize("NFC", one) for one in resources}


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("path:src/**", "path:src/a.py", True),
        ("path:*.py", "path:src/a.py", False),
        ("path:a/*/c", "path:a/b/*", True),
        ("path:a/**/z", "path:a/b/c", False),
        ("path:src/**", "src/a.py", False),
        ("path:x", "PATH:x", False),
    ],
)
def test_resources_meet_when_equal_or_when_some_path_matches_both(
    one: str, other: str, meets: bool
) -> None:
    assert (rules.witness(one, other) is not None) == meets
    assert (rules.witness(other, one) is not None) == meets
    held = [lease_of(resource=other)]
    assert bool(list(rules.meeting(one, held))) == meets


def test_the_refusal_names_the_lease_in_the_way_and_when_to_come_back() -> None:
    lease = replace(lease_of(resource="path:src/**", ttl_ms=10_000), holder="agent:ben")
    refusal = rules.held_by_another(Obstacle("path:src/a.py", "path:src/a.py", lease), 1, 0)
    assert refusal.facts["holder"] == "agent:ben"
    assert refusal.facts["expires_in_ms"] == 9_999
    assert refusal.retry_after_seconds == 10
    other = rules.held_by_another(Obstacle("path:src/*", "path:src/x", lease), 9_999, 0)
    assert other.facts["witness"] == "src/x"
    assert other.retry_after_seconds == 1
