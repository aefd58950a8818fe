"""Agents, and what they are told."""

import pytest

from tests.http_api.conftest import Client

pytestmark = pytest.mark.anyio


async def test_registering_is_idempotent_by_name(ada: Client) -> None:
    body = {"role": "dev", "skills": ["python"]}
    first = await ada.post("/collab/agents", json=body)
    assert first.status_code == 200, first.text
    again = await ada.post("/collab/agents", json=body)
    assert again.json()["name"] == first.json()["name"] == "ada"
    listed = (await ada.get("/collab/agents")).json()
    assert [one["skills"] for one in listed["data"] if one["name"] == "ada"] == [["python"]]


async def test_an_agent_is_paused_by_an_operator_only(
    admin: Client, ada: Client, bob: Client
) -> None:
    await ada.post("/collab/agents", json={})
    refused = await bob.patch("/collab/agents/ada", json={"paused": True})
    assert refused.status_code == 403
    paused = await admin.patch("/collab/agents/ada", json={"paused": True})
    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    read = await bob.get("/collab/agents/ada")
    assert read.json()["paused"] is True
    again = await bob.get("/collab/agents/ada", headers={"if-none-match": read.headers["etag"]})
    assert again.status_code == 304


async def test_a_message_waits_in_the_inbox_until_it_is_acknowledged(
    ada: Client, bob: Client
) -> None:
    await bob.post("/collab/agents", json={})
    sent = await ada.post("/collab/agents/bob/messages", json={"text": "look at T-1"})
    assert sent.status_code == 200, sent.text
    inbox = (await bob.get("/collab/inbox")).json()
    assert ([m["text"] for m in inbox["data"]], inbox["unread"]) == (["look at T-1"], 1)
    assert inbox["data"][0]["author"] == "agent:ada"
    after = (await bob.get(f"/collab/inbox?ack_through={sent.json()['seq']}")).json()
    assert (after["data"], after["unread"]) == ([], 0)


async def test_a_message_to_nobody_is_not_found(ada: Client) -> None:
    refused = await ada.post("/collab/agents/nobody/messages", json={"text": "hello"})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


async def test_a_null_leaves_an_agent_as_one_can_read_it(ada: Client) -> None:
    for body in ({"paused": None, "skills": None, "role": None}, {}):
        assert (await ada.post("/collab/agents", json=body)).status_code in {200, 422}
    read = await ada.get("/collab/agents/ada")
    assert read.status_code == 200
    assert (read.json()["paused"], read.json()["skills"]) == (False, [])
