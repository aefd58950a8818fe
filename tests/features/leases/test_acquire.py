"""Acquiring: all or nothing, overlap with a witness, idempotent for its holder, bounded."""

import asyncio

import pytest
from pydantic import ValidationError

from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import AcquireLease, ListLeases
from tests.callers import Caller, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def test_a_lease_names_its_holder_its_token_and_its_deadline(
    board: Board, ana: Caller
) -> None:
    (lease,) = await ana.acquire("port:8000", ttl=60)
    assert (lease.holder, lease.resource, lease.mode) == ("agent:ana", "port:8000", "exclusive")
    assert (lease.ttl_seconds, lease.expires_in_ms, lease.state) == (60, 60_000, "active")
    (event,) = await ana.log("lease_acquired")
    assert event.seq == lease.fencing_token
    assert event.details["lock_id"] == lease.lock_id
    assert event.target == f"lease:{lease.lock_id}"
    board.clock.advance(1)
    assert (await ana.lease(lease.lock_id)).expires_in_ms == 59_000


async def test_tokens_grow_over_all_resources_of_a_workspace_for_ever(
    board: Board, ana: Caller, ben: Caller
) -> None:
    tokens = [(await ana.acquire("a"))[0].fencing_token, (await ben.acquire("b"))[0].fencing_token]
    for who in (ana, ben, ana):
        later(board, 301)
        tokens += [(await who.acquire("a"))[0].fencing_token]
    assert tokens == sorted(set(tokens))


async def test_a_set_is_granted_whole_in_canonical_order_or_not_at_all(
    ana: Caller, ben: Caller
) -> None:
    granted = await ana.acquire("b", "a", "path:src/**", "a")
    assert [lease.resource for lease in granted] == ["a", "b", "path:src/**"]
    assert len({lease.lock_id for lease in granted}) == 3
    tokens = [lease.fencing_token for lease in granted]
    assert tokens == sorted(set(tokens))
    head = await ana.head()
    with refused("lease_held", resource="b", holder="agent:ana", lock_id=granted[1].lock_id):
        await ben.acquire("0", "b", "c")
    for resource in ("0", "c"):
        assert not (await ana.call(leases.list_leases, ListLeases(resource=resource))).data
    assert await ana.head() == head + 1  # ben was registered


MEETINGS = (
    ("path:src/**", "path:src/a.py", True),
    ("path:src/a.py", "path:src/**", True),
    ("path:*.py", "path:src/a.py", False),
    ("path:**/*.py", "path:src/a.py", True),
    ("path:a/*/c", "path:a/b/*", True),
    ("path:a/**/z", "path:a/b/c", False),
    ("path:src/**", "src/a.py", False),
    ("port:1", "port:1", True),
    ("port:1", "port:10", False),
)


async def test_another_holders_overlapping_lease_is_in_the_way_with_a_witness(
    ana: Caller, ben: Caller
) -> None:
    for held, wanted, meets in MEETINGS:
        mine = await ana.acquire(held)
        if meets:
            with refused("lease_held", holder="agent:ana", held_resource=held) as refusal:
                await ben.acquire(wanted)
            assert refusal.error is not None
            assert refusal.error.retry_after_seconds == 300
            assert refusal.facts.get("witness") or held == wanted
            mine += await ana.acquire(wanted)  # one's own leases are not in one's way
        else:
            (theirs,) = await ben.acquire(wanted)
            await ben.release(theirs.lock_id)
        await ana.release(*(lease.lock_id for lease in mine))


async def test_acquiring_again_renews_and_gives_the_same_lease(board: Board, ana: Caller) -> None:
    (first,) = await ana.acquire("r", ttl=60)
    later(board, 10)
    head = await ana.head()
    (again,) = await ana.acquire("r", ttl=90)
    assert (again.lock_id, again.fencing_token) == (first.lock_id, first.fencing_token)
    assert (again.ttl_seconds, again.expires_in_ms) == (90, 90_000)
    assert again.acquired_at == first.acquired_at
    assert await ana.head() == head


async def test_a_stale_lease_is_reclaimed_by_whoever_needs_it(
    board: Board, ana: Caller, ben: Caller
) -> None:
    (old,) = await ana.acquire("path:src/**", ttl=5)
    later(board, 5)
    with refused("lease_held", expires_in_ms=0, retry_after_seconds=1):
        await ben.acquire("path:src/a.py")
    later(board, 0.001)
    (new,) = await ben.acquire("path:src/a.py")
    assert new.fencing_token > old.fencing_token
    assert (await ana.lease(old.lock_id)).state == "reclaimed"
    (told,) = await ben.log("lease_reclaimed")
    assert told.seq < new.fencing_token
    assert told.details == {
        "lock_id": old.lock_id,
        "resource": "path:src/**",
        "holder": "agent:ana",
        "by": "agent:ben",
        "heartbeat_at": old.heartbeat_at,
        "ttl_seconds": 5,
        "fencing_token": old.fencing_token,
    }


async def test_a_stale_holder_gets_a_new_lease_never_the_old_one(board: Board, ana: Caller) -> None:
    (old,) = await ana.acquire("r", ttl=5)
    later(board, 5.001)
    (new,) = await ana.acquire("r", ttl=5)
    assert new.lock_id != old.lock_id
    assert new.fencing_token > old.fencing_token
    assert (await ana.lease(old.lock_id)).state == "reclaimed"
    with refused("lease_lost", holder="agent:ana", fencing_token=new.fencing_token):
        await ana.renew(old.lock_id)


async def test_a_holder_has_512_live_leases_at_most(board: Board, ana: Caller) -> None:
    for start in range(0, 512, 64):
        await ana.acquire(*(f"r{n}" for n in range(start, start + 64)))
    with refused("too_large", allowed=512):
        await ana.acquire("one more")
    with refused("too_large"):
        await ana.acquire("r1", "one more")
    (again,) = await ana.acquire("r1")
    assert again.resource == "r1"
    await ana.create("T-1", resources=["r2"])
    with refused("too_large"):
        await ana.claim("T-1")
    later(board, 301)
    assert await ana.acquire("one more"), "stale leases are over"


async def test_one_of_many_gets_a_resource_and_the_others_are_told_who(
    board: Board, ana: Caller
) -> None:
    callers = [Caller(board.kyros, await board.agent(f"a{n}")) for n in range(16)]
    answers = await asyncio.gather(
        *(caller.acquire("r", f"own:{n}") for n, caller in enumerate(callers)),
        return_exceptions=True,
    )
    granted = [answer for answer in answers if isinstance(answer, list)]
    assert len(granted) == 1
    held = (await ana.call(leases.list_leases, ListLeases())).data
    assert {lease.lock_id for lease in held} == {lease.lock_id for lease in granted[0]}
    codes = {getattr(answer, "code", None) for answer in answers if not isinstance(answer, list)}
    assert codes == {"lease_held"}


@pytest.mark.parametrize(
    "fields",
    [
        {"resources": []},
        {"resources": ["x"] * 65},
        {"resources": ["x" * 513]},
        {"resources": [""]},
        {"ttl_seconds": 4},
        {"ttl_seconds": 3_601},
        {"ttl_seconds": -300},
        {"ttl_seconds": 10**30},
        {"ttl_seconds": 5.5},
        {"ttl_seconds": "300"},
        {"ttl_seconds": True},
        {"wait_seconds": 61},
        {"wait_seconds": -1},
        {"wait_seconds": float("nan")},
        {"mode": "greedy"},
        {"holder": "agent:ben"},
    ],
)
def test_an_acquire_beyond_its_bounds_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AcquireLease.model_validate({"resources": ["x"], **fields})


async def test_leases_are_listed_by_resource_holder_and_staleness(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.acquire("a", "b", ttl=5)
    await ben.acquire("c", ttl=60)
    later(board, 6)
    for wanted, found in (
        (ListLeases(), ["a", "b", "c"]),
        (ListLeases(holder="agent:ana"), ["a", "b"]),
        (ListLeases(stale=True), ["a", "b"]),
        (ListLeases(stale=False), ["c"]),
        (ListLeases(resource="b"), ["b"]),
    ):
        listed = await ben.call(leases.list_leases, wanted)
        assert [lease.resource for lease in listed.data] == found
    with refused("not_found", thing="lease"):
        await ana.lease("lk_" + "0" * 16)
