"""Renewing: heartbeats by the holder while live, by any call at a third of the TTL, never after."""

import asyncio

import pytest

from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import RenewLeases
from tests.callers import Caller, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def test_a_lease_lives_up_to_the_last_instant_of_its_ttl(board: Board, ana: Caller) -> None:
    (lease,) = await ana.acquire("r", ttl=5)
    for _ in range(3):
        board.clock.advance(5)
        renewed = await ana.renew(lease.lock_id)
        assert (renewed.state, renewed.expires_in_ms) == ("active", 5_000)
        assert renewed.fencing_token == lease.fencing_token
    board.clock.advance(5.001)
    with refused("lease_lost", lock_id=lease.lock_id, holder=None, resource="r"):
        await ana.renew(lease.lock_id)
    assert (await ana.lease(lease.lock_id)).state == "stale"


async def test_a_lost_lease_names_the_new_holder_and_token(
    board: Board, ana: Caller, ben: Caller
) -> None:
    (old,) = await ana.acquire("r", ttl=5)
    later(board, 6)
    (new,) = await ben.acquire("r")
    reclaimed_at = (await ana.log("lease_reclaimed"))[0].ts
    with refused(
        "lease_lost",
        holder="agent:ben",
        fencing_token=new.fencing_token,
        reclaimed_at=reclaimed_at,
    ):
        await ana.renew(old.lock_id)
    with refused("lease_lost", holder="agent:ben"):
        await ana.release(old.lock_id)
    answer = await ana.call(leases.renew, RenewLeases(lock_ids=[old.lock_id]))
    assert answer.leases == []
    assert (answer.lost[0].lock_id, answer.lost[0].holder) == (old.lock_id, "agent:ben")


async def test_a_renewal_may_change_the_ttl_and_is_no_event(board: Board, ana: Caller) -> None:
    (lease,) = await ana.acquire("r", ttl=5)
    head = await ana.head()
    board.clock.advance(1)
    assert (await ana.renew(lease.lock_id, ttl=3_600)).expires_in_ms == 3_600_000
    board.clock.advance(3_600)
    assert (await ana.renew(lease.lock_id, ttl=5)).expires_in_ms == 5_000
    assert await ana.head() == head


async def test_only_the_holder_or_an_operator_renews(
    ana: Caller, ben: Caller, boss: Caller
) -> None:
    (lease,) = await ana.acquire("r", ttl=60)
    with refused("lease_held", holder="agent:ana"):
        await ben.renew(lease.lock_id)
    with refused("lease_held", holder="agent:ana"):
        await ben.call(leases.renew, RenewLeases(lock_ids=[lease.lock_id]))
    renewed = await boss.renew(lease.lock_id)
    assert renewed.holder == "agent:ana"
    for missing in ("lk_" + "0" * 16,):
        with refused("not_found"):
            await ana.renew(missing)
        with refused("not_found"):
            await ana.call(leases.renew, RenewLeases(lock_ids=[lease.lock_id, missing]))


async def test_all_of_ones_leases_are_renewed_and_the_lost_ones_listed(
    board: Board, ana: Caller
) -> None:
    (short,) = await ana.acquire("short", ttl=5)
    (long,) = await ana.acquire("long", ttl=60)
    board.clock.advance(6)
    answer = await ana.call(leases.renew, RenewLeases())
    assert [lease.lock_id for lease in answer.leases] == [long.lock_id]
    assert [lost.lock_id for lost in answer.lost] == [short.lock_id]
    assert answer.leases[0].expires_in_ms == 60_000


async def test_any_call_renews_at_a_third_of_the_ttl_and_not_before(
    board: Board, ana: Caller
) -> None:
    (lease,) = await ana.acquire("r", ttl=60)
    later(board, 19.999)
    await ana.head()
    assert (await ana.lease(lease.lock_id)).expires_in_ms == 40_001
    later(board, 0.001)
    await ana.head()
    assert (await ana.lease(lease.lock_id)).expires_in_ms == 60_000
    later(board, 20)
    with refused("not_found"):
        await ana.task("nope")
    assert (await ana.lease(lease.lock_id)).expires_in_ms == 60_000, "a refused call renews too"


async def test_any_call_after_expiry_renews_nothing(board: Board, ana: Caller, ben: Caller) -> None:
    (lease,) = await ana.acquire("r", ttl=5)
    later(board, 5.001)
    await ana.head()
    await ana.say("still here")
    assert (await ana.lease(lease.lock_id)).state == "stale"
    assert await ben.acquire("r")


async def test_another_agents_call_renews_nothing(board: Board, ana: Caller, ben: Caller) -> None:
    (lease,) = await ana.acquire("r", ttl=60)
    later(board, 30)
    await ben.say("hello")
    assert (await ben.lease(lease.lock_id)).expires_in_ms == 30_000


async def test_a_heartbeat_rings_a_beat_that_is_not_logged(board: Board, ana: Caller) -> None:
    (lease,) = await ana.acquire("r", ttl=60)
    async with board.kyros.feed.frames("default") as frames:
        await ana.renew(lease.lock_id)
        name, frame = await asyncio.wait_for(anext(frames), 10)
    assert name == "beat"
    assert (frame["lock_id"], frame["holder"]) == (lease.lock_id, "agent:ana")


async def test_a_refused_heartbeat_rings_nothing(board: Board, ana: Caller) -> None:
    (lost,) = await ana.acquire("lost", ttl=5)
    (kept,) = await ana.acquire("kept", ttl=60)
    board.clock.advance(6)
    async with board.kyros.feed.frames("default") as frames:
        with refused("lease_lost"):
            await ana.renew(lost.lock_id)
        with refused("not_found"):
            await ana.call(leases.renew, RenewLeases(lock_ids=[kept.lock_id, "lk_" + "0" * 16]))
        await ana.renew(kept.lock_id)
        _, frame = await asyncio.wait_for(anext(frames), 10)
    assert frame["lock_id"] == kept.lock_id


async def test_heartbeats_change_the_tag_of_all_locks(board: Board, ana: Caller) -> None:
    (lease,) = await ana.acquire("r", ttl=60)
    before = await board.kyros.kind_etag("locks", actor=ana.principal)
    assert await board.kyros.kind_etag("locks", actor=ana.principal) == before
    board.clock.advance(1)
    await ana.renew(lease.lock_id)
    assert await board.kyros.kind_etag("locks", actor=ana.principal) != before
