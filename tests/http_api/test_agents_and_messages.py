"""Agents, and what they are told."""

import pytest

from http_api.recent import AGENTS, BEATS, CALLS, CLIENTS, Recent
from tests.http_api.conftest import Board, Client

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


async def test_the_latest_tool_calls_of_an_agent_are_told_newest_first(
    board: Board, ada: Client
) -> None:
    await ada.post("/collab/agents", json={})
    call = {"client": "probe", "version": "1.2", "transport": "http", "agent": "ada", "ok": True}
    for number in range(CALLS + 5):
        board.kyros.feed.publish(
            "default", "call", {**call, "tool": f"t{number % 3}", "ms": number}
        )
    board.kyros.feed.publish("other", "call", {**call, "tool": "elsewhere", "ms": 1})
    calls = (await ada.get("/collab/agents/ada/calls")).json()["data"]
    assert [one["ms"] for one in calls] == list(range(CALLS + 4, 4, -1))
    assert set(calls[0]) == {"ts", "client", "tool", "ms", "ok"}
    (client,) = (await ada.get("/collab/clients")).json()["data"]
    assert (client["name"], client["version"], client["transport"]) == ("probe", "1.2", "http")
    assert (client["calls"], client["agents"]) == (CALLS + 5, ["ada"])
    assert client["tools"] == ["t0", "t1", "t2"]
    assert client["first_call"] <= client["last_call"]
    assert (await ada.get("/collab/agents/nobody/calls")).status_code == 404


async def test_what_is_remembered_of_callers_is_bounded() -> None:
    recent = Recent()
    call = {"tool": "t", "ms": 1, "ok": True}
    for number in range(AGENTS + 10):
        recent.heard("default", "call", {**call, "client": f"c{number}", "agent": f"a{number}"})
    assert recent.calls_of("default", "a0") == []
    assert len(recent.calls_of("default", f"a{AGENTS + 9}")) == 1
    assert len(recent.clients_of("default")) == CLIENTS
    for number in range(BEATS + 1):
        recent.heard(
            "default", "beat", {"lock_id": "l", "holder": "h", "heartbeat_at": str(number)}
        )
    assert len(recent.beats_of("default", "l")) == BEATS
