"""Ends: release by the holder or an operator, reclaim of stale leases only, by anyone."""

import pytest

from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import CreateWorkspace
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import AcquireLease, ListLeases, ReleaseLeases
from tests.callers import Caller, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def test_a_released_resource_is_free_at_once(ana: Caller, ben: Caller) -> None:
    (lease,) = await ana.acquire("r")
    with refused("lease_held"):
        await ben.release(lease.lock_id)
    released = await ana.release(lease.lock_id)
    assert released.released == [lease.lock_id]
    (event,) = await ana.log("lease_released")
    assert event.details["by"] == event.details["holder"] == "agent:ana"
    (next_one,) = await ben.acquire("r")
    assert next_one.fencing_token > lease.fencing_token
    with refused("lease_lost", holder="agent:ben", reclaimed_at=None):
        await ana.renew(lease.lock_id)


async def test_releasing_twice_changes_nothing(ana: Caller, ben: Caller) -> None:
    (lease,) = await ana.acquire("r")
    await ana.release(lease.lock_id)
    await ben.acquire("r")
    head = await ana.head()
    assert (await ana.release(lease.lock_id, lease.lock_id)).ok
    assert await ana.head() == head
    with refused("lease_lost"):
        await ben.release(lease.lock_id)
    with refused("not_found"):
        await ana.release("lk_" + "0" * 16)


async def test_a_set_is_released_whole_or_not_at_all(ana: Caller, ben: Caller) -> None:
    mine = await ana.acquire("a", "b")
    (others,) = await ben.acquire("c")
    with refused("lease_held", holder="agent:ben"):
        await ana.release(*(lease.lock_id for lease in (*mine, others)))
    assert len((await ana.call(leases.list_leases, ListLeases(holder="agent:ana"))).data) == 2


async def test_an_operator_releases_for_anybody_and_is_named(ana: Caller, boss: Caller) -> None:
    (lease,) = await ana.acquire("r")
    await boss.release(lease.lock_id)
    (event,) = await ana.log("lease_released")
    assert (event.actor, event.details["holder"]) == ("agent:boss", "agent:ana")
    assert (await ana.release(lease.lock_id)).released == [lease.lock_id]


async def test_a_release_with_a_key_is_the_same_release_again(ana: Caller) -> None:
    (lease,) = await ana.acquire("r")
    command = ReleaseLeases(lock_ids=[lease.lock_id])
    first = await ana.answer(leases.release, command, "k")
    again = await ana.answer(leases.release, command, "k")
    assert (first.replayed, again.replayed, again.value) == (False, True, first.value)
    (fresh,) = await ana.acquire("r")
    assert fresh.lock_id != lease.lock_id
    replayed = await ana.answer(leases.acquire, AcquireLease(resources=["r"]), "k")
    assert replayed.value.leases[0].lock_id == fresh.lock_id, "another operation, another scope"


async def test_only_stale_leases_are_reclaimed_and_the_others_kept_with_the_reason(
    board: Board, ana: Caller, ben: Caller
) -> None:
    (stale,) = await ana.acquire("stale", ttl=5)
    (live,) = await ana.acquire("live", ttl=60)
    (ended,) = await ana.acquire("ended")
    await ana.release(ended.lock_id)
    missing = "lk_" + "0" * 16
    board.clock.advance(5)
    assert not (await ben.reclaim()).reclaimed, "the boundary is alive"
    board.clock.advance(0.001)
    ids = [stale.lock_id, live.lock_id, ended.lock_id, missing, stale.lock_id]
    answer = await ben.reclaim(*ids)
    assert [lease.lock_id for lease in answer.reclaimed] == [stale.lock_id]
    assert answer.reclaimed[0].state == "reclaimed"
    kept = {one.lock_id: (one.reason, one.expires_in_ms) for one in answer.kept}
    assert kept == {
        live.lock_id: ("active", 54_999),
        ended.lock_id: ("released", None),
        missing: ("not_found", None),
    }
    again = await ben.reclaim(stale.lock_id)
    assert (again.reclaimed, again.kept[0].reason) == ([], "reclaimed")
    assert len(await ben.log("lease_reclaimed")) == 1


async def test_a_heartbeat_that_wins_is_reported_by_the_reclaim(
    board: Board, ana: Caller, ben: Caller
) -> None:
    (lease,) = await ana.acquire("r", ttl=5)
    board.clock.advance(5)
    await ana.renew(lease.lock_id)
    board.clock.advance(5)
    answer = await ben.reclaim(lease.lock_id)
    assert answer.reclaimed == []
    assert (answer.kept[0].reason, answer.kept[0].expires_in_ms) == ("active", 0)


async def test_the_duty_reclaims_every_stale_lease_of_every_workspace(
    board: Board, ana: Caller, boss: Caller
) -> None:
    await boss.call(identity.create_workspace, CreateWorkspace(id="second"))
    board.kyros._admission.forget()
    far = Caller(board.kyros, await board.agent("ana", workspace="second"))
    await ana.acquire("a", "b", ttl=5)
    await far.acquire("a", ttl=5)
    later(board, 5)
    await board.kyros.sweep()
    assert not await boss.log("lease_reclaimed")
    board.clock.advance(0.001)
    await board.kyros.sweep()
    assert len(await boss.log("lease_reclaimed")) == 2
    (event,) = await far.log("lease_reclaimed")
    assert (event.actor, event.details["by"]) == ("system", "system")
    head = await boss.head()
    await board.kyros.sweep()
    assert await boss.head() == head


async def test_time_that_passes_alone_changes_an_agents_status_by_the_duty(
    board: Board, ana: Caller, boss: Caller
) -> None:
    async def status() -> str:
        await board.kyros.sweep()
        return (await boss.agent("ana")).status

    await ana.head()
    assert await status() == "available"
    await ana.acquire("r", ttl=60)
    assert await status() == "busy"
    tag = await board.kyros.kind_etag("agents", actor=boss.principal)
    board.clock.advance(40)
    assert await status() == "busy"
    board.clock.advance(0.001)
    assert await status() == "stalled"
    assert await board.kyros.kind_etag("agents", actor=boss.principal) != tag
    board.clock.advance(20)
    assert await status() == "available"
    board.clock.advance(61)
    assert await status() == "offline"
    changes = await boss.log("agent_status_changed", target="agent:ana")
    assert [one.details["changes"]["status"]["after"] for one in changes] == [
        "busy", "stalled", "available", "offline",
    ]  # fmt: skip
    assert changes[-1].details["etag"] == (await boss.agent("ana")).etag
