"""Leases over REST."""

import pytest

from tests.http_api.conftest import Client

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
