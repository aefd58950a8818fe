"""Leases over REST."""

import asyncio

import pytest

from tests.http_api.conftest import WAIT, Board, Client

pytestmark = pytest.mark.anyio


async def test_one_resource_gives_its_lease_at_top_level_too(ada: Client) -> None:
    body = {"resource": "path:src/**", "ttl_seconds": 60}
    granted = await ada.post("/collab/leases/acquire", json=body)
    assert granted.status_code == 200
    lease = granted.json()
    assert lease["leases"] == [{key: lease[key] for key in lease["leases"][0]}]
    assert (lease["holder"], lease["ttl_seconds"]) == ("agent:ada", 60)
    assert 0 < lease["expires_in_ms"] <= 60_000


async def test_several_resources_give_a_list_only(ada: Client) -> None:
    body = {"resources": ["a", "b"]}
    granted = (await ada.post("/collab/leases/acquire", json=body)).json()
    assert set(granted) == {"leases"}
    assert [lease["resource"] for lease in granted["leases"]] == ["a", "b"]


@pytest.mark.parametrize("body", [{}, {"resource": "a", "resources": ["b"]}, {"resources": []}])
async def test_a_call_that_names_no_clear_resource_is_refused(ada: Client, body: object) -> None:
    refused = await ada.post("/collab/leases/acquire", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_field")


async def test_a_held_resource_says_who_and_when_to_ask_again(ada: Client, bob: Client) -> None:
    await ada.post("/collab/leases/acquire", json={"resource": "path:src/**"})
    refused = await bob.post("/collab/leases/acquire", json={"resource": "path:src/a.py"})
    body = refused.json()
    assert (refused.status_code, body["code"], body["holder"]) == (409, "lease_held", "agent:ada")
    assert refused.headers["retry-after"] == str(body["retry_after_seconds"])
    assert body["retryable"] is True


async def test_only_the_holder_renews_and_release_ends_it(ada: Client, bob: Client) -> None:
    lease = (await ada.post("/collab/leases/acquire", json={"resource": "a"})).json()
    url = f"/collab/leases/{lease['lock_id']}"
    beat = await ada.post(f"{url}/heartbeat", json={"ttl_seconds": 30})
    assert (beat.status_code, beat.json()["ttl_seconds"]) == (200, 30)
    assert (await bob.post(f"{url}/heartbeat")).status_code in {403, 404, 409}
    assert (await bob.post(f"{url}/release")).status_code in {403, 404, 409}
    released = await ada.post(f"{url}/release")
    assert (released.status_code, released.json()["ok"]) == (200, True)
    lost = await ada.post(f"{url}/heartbeat")
    assert (lost.status_code, lost.json()["code"]) == (409, "lease_lost")


async def test_a_list_of_leases_is_conditional(ada: Client) -> None:
    lease = (await ada.post("/collab/leases/acquire", json={"resource": "a"})).json()
    listed = await ada.get("/collab/leases")
    assert [one["lock_id"] for one in listed.json()["data"]] == [lease["lock_id"]]
    assert listed.json()["next_cursor"] is None
    again = await ada.get("/collab/leases", headers={"if-none-match": listed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    read = await ada.get(f"/collab/leases/{lease['lock_id']}")
    assert read.json()["fencing_token"] == lease["fencing_token"]


async def test_a_live_lease_is_kept_by_a_reclaim(ada: Client, bob: Client) -> None:
    lease = (await ada.post("/collab/leases/acquire", json={"resource": "a"})).json()
    answer = await bob.post("/collab/leases/reclaim", json={"lock_ids": [lease["lock_id"]]})
    assert answer.json()["reclaimed"] == []
    assert [kept["lock_id"] for kept in answer.json()["kept"]] == [lease["lock_id"]]


async def test_a_shared_lease_keeps_an_exclusive_one_out(ada: Client, bob: Client) -> None:
    shared = {"resource": "a", "mode": "shared"}
    assert (await ada.post("/collab/leases/acquire", json=shared)).status_code == 200
    assert (await bob.post("/collab/leases/acquire", json=shared)).status_code == 200
    refused = await bob.post("/collab/leases/acquire", json={"resource": "a"})
    assert (refused.status_code, refused.json()["holder"]) == (409, "agent:ada")


async def test_an_id_that_cannot_exist_is_not_found(ada: Client) -> None:
    refused = await ada.post("/collab/leases/nonsense/heartbeat")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    unknown = await ada.get("/collab/leases/lk_0123456789abcdef")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_all_ones_leases_are_renewed_in_one_call(ada: Client) -> None:
    await ada.post("/collab/leases/acquire", json={"resources": ["a", "b"]})
    renewed = (await ada.post("/collab/leases/heartbeat", json={})).json()
    assert (len(renewed["leases"]), renewed["lost"]) == (2, [])


async def waiting_for(client: Client, lock_id: str) -> list[str]:
    """Who waits for the lease, once somebody does."""
    async with asyncio.timeout(WAIT):
        while True:
            lease = (await client.get(f"/collab/leases/{lock_id}")).json()
            if lease["waiters"]:
                return [one["holder"] for one in lease["waiters"]]


async def test_a_call_that_waits_is_granted_when_the_holder_lets_go(
    ada: Client, bob: Client
) -> None:
    held = (await ada.post("/collab/leases/acquire", json={"resource": "path:src/**"})).json()
    body = {"resource": "path:src/a.py", "wait_seconds": 30}
    waiting = asyncio.create_task(bob.post("/collab/leases/acquire", json=body, timeout=WAIT))
    assert await waiting_for(ada, held["lock_id"]) == ["agent:bob"]
    await ada.post(f"/collab/leases/{held['lock_id']}/release")
    granted = await asyncio.wait_for(waiting, WAIT)
    assert (granted.status_code, granted.json()["holder"]) == (200, "agent:bob")
    assert (await ada.get(f"/collab/leases/{held['lock_id']}")).json()["waiters"] == []


async def test_a_wait_that_would_close_a_circle_is_refused_with_the_circle(
    ada: Client, bob: Client
) -> None:
    mine = (await ada.post("/collab/leases/acquire", json={"resource": "a"})).json()
    await bob.post("/collab/leases/acquire", json={"resource": "b"})
    body = {"resource": "a", "wait_seconds": 30}
    waiting = asyncio.create_task(bob.post("/collab/leases/acquire", json=body, timeout=WAIT))
    await waiting_for(ada, mine["lock_id"])
    refused = await ada.post("/collab/leases/acquire", json={"resource": "b", "wait_seconds": 30})
    assert (refused.status_code, refused.json()["code"]) == (409, "deadlock")
    assert refused.json()["cycle"] == [
        {"holder": "agent:ada", "waits_for": "agent:bob"},
        {"holder": "agent:bob", "waits_for": "agent:ada"},
    ]
    await ada.post(f"/collab/leases/{mine['lock_id']}/release")
    assert (await asyncio.wait_for(waiting, WAIT)).status_code == 200


async def test_a_wait_longer_than_the_face_allows_is_refused(ada: Client) -> None:
    body = {"resource": "a", "wait_seconds": 30.5}
    refused = await ada.post("/collab/leases/acquire", json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, "wait_seconds")


async def test_a_lease_tells_the_heartbeats_that_were_heard(ada: Client) -> None:
    lease = (await ada.post("/collab/leases/acquire", json={"resource": "a"})).json()
    beat = (await ada.post(f"/collab/leases/{lease['lock_id']}/heartbeat")).json()
    seen = (await ada.get(f"/collab/leases/{lease['lock_id']}")).json()
    assert seen["heartbeats"] == [beat["heartbeat_at"]]


async def test_holds_are_read_by_range_resource_and_holder(ada: Client, bob: Client) -> None:
    lease = (await ada.post("/collab/leases/acquire", json={"resource": "a"})).json()
    await ada.post(f"/collab/leases/{lease['lock_id']}/release")
    await bob.post("/collab/leases/acquire", json={"resource": "b"})
    page = (await ada.get("/collab/leases/history")).json()
    assert [(one["resource"], one["ended"]) for one in page["data"]] == [
        ("b", None),
        ("a", "released"),
    ]
    ended = page["data"][1]["ended_seq"]
    later = await ada.get("/collab/leases/history", params={"from": ended + 1})
    assert [one["resource"] for one in later.json()["data"]] == ["b"]
    hers = await ada.get("/collab/leases/history", params={"holder": "agent:ada", "to": ended})
    assert [one["lock_id"] for one in hers.json()["data"]] == [lease["lock_id"]]
    first = (await ada.get("/collab/leases/history?limit=1")).json()
    rest = {"limit": 1, "cursor": first["next_cursor"]}
    assert (await ada.get("/collab/leases/history", params=rest)).json()["data"] == [
        page["data"][1]
    ]
    for field in ("begin", "end"):
        refused = await ada.get("/collab/leases/history", params={field: "1"})
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_field")
    refused = await ada.get("/collab/leases/history?from=yesterday")
    assert (refused.status_code, refused.json()["field"]) == (422, "from")


async def test_a_cursor_of_another_workspace_is_no_cursor_here(board: Board, ada: Client) -> None:
    await ada.post("/collab/leases/acquire", json={"resources": ["a", "b"]})
    cursor = (await ada.get("/collab/leases/history?limit=1")).json()["next_cursor"]
    async with board.client() as admin:
        await admin.post("/workspaces", json={"id": "other"})
    async with board.client(workspace="other") as elsewhere:
        refused = await elsewhere.get("/collab/leases/history", params={"cursor": cursor})
    assert (refused.status_code, refused.json()["field"]) == (422, "cursor")
