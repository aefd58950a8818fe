"""Exactly once: the same key and call, the same answer."""

import pytest

from tests.http_api.conftest import Client

pytestmark = pytest.mark.anyio


async def test_the_same_key_and_call_give_the_same_answer(ada: Client) -> None:
    headers = {"idempotency-key": "k-1"}
    first = await ada.post("/collab/tasks", json={"title": "one"}, headers=headers)
    again = await ada.post("/collab/tasks", json={"title": "one"}, headers=headers)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["etag"] == first.headers["etag"]
    assert (await ada.get("/collab/tasks")).json()["total"] == 1


async def test_the_same_key_for_another_call_is_refused(ada: Client) -> None:
    headers = {"idempotency-key": "k-1"}
    await ada.post("/collab/tasks", json={"title": "one"}, headers=headers)
    refused = await ada.post("/collab/tasks", json={"title": "two"}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_conflict")


async def test_another_agents_key_is_its_own(ada: Client, bob: Client) -> None:
    headers = {"idempotency-key": "k-1"}
    await ada.post("/collab/tasks", json={"title": "one"}, headers=headers)
    other = await bob.post("/collab/tasks", json={"title": "one"}, headers=headers)
    assert "idempotent-replayed" not in other.headers
    assert (await ada.get("/collab/tasks")).json()["total"] == 2


async def test_a_refusal_is_judged_afresh(ada: Client, bob: Client) -> None:
    lease = (await ada.post("/collab/leases/acquire", json={"resource": "a"})).json()
    headers = {"idempotency-key": "k-2"}
    refused = await bob.post("/collab/leases/acquire", json={"resource": "a"}, headers=headers)
    assert refused.status_code == 409
    await ada.post(f"/collab/leases/{lease['lock_id']}/release")
    granted = await bob.post("/collab/leases/acquire", json={"resource": "a"}, headers=headers)
    assert granted.status_code == 200


async def test_a_patch_is_replayed_too(ada: Client) -> None:
    task = (await ada.post("/collab/tasks", json={"title": "one"})).json()
    headers = {"idempotency-key": "k-3", "if-match": task["etag"]}
    url = f"/collab/tasks/{task['id']}"
    first = await ada.patch(url, json={"priority": "P0"}, headers=headers)
    again = await ada.patch(url, json={"priority": "P0"}, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
