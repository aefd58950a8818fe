"""The loop of an agent through real clients, in both eras: claim, work, hand over, and refusals."""

import json
import re
from typing import Any

import pytest
from mcp import Client
from pydantic import TypeAdapter

from kyros_collab_server.mcp_face.server import CATALOG
from tests.mcp_face.conftest import WAIT, Product, answer_of, problem_of, text_of

pytestmark = pytest.mark.anyio

DRAFT = {
    "title": "Parse globs",
    "priority": "P1",
    "resources": ["path:src/globs/**"],
    "definition_of_done": ["tests pass", "docs say so"],
}


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return answer_of(await client.session.call_tool(tool, arguments, read_timeout_seconds=WAIT))


async def refused(client: Client, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    result = await client.session.call_tool(tool, arguments)
    return text_of(result), problem_of(result)


def checked(tool: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, which holds no null and nothing that its type does not have."""
    assert "null" not in json.dumps(answer).replace('"null"', "")
    spec = next(spec for spec in CATALOG if spec.name == tool)
    strict = TypeAdapter(spec.answer)
    assert strict.validate_python(answer) == answer, f"{tool} answers more than its type says"
    return answer


async def test_an_agent_claims_works_and_hands_over(product: Product, era: str) -> None:
    token = await product.key("ana")
    async with product.client(token, era) as ana:
        created = await ana.session.call_tool("task_create", {"tasks": [DRAFT]})
        assert text_of(created).startswith("created T-1 queued")
        checked("task_create", answer_of(created))

        claimed = await ana.session.call_tool("task_claim", {})
        claim = checked("task_claim", answer_of(claimed))
        text = text_of(claimed)
        fence = claim["leases"][0]["fencing_token"]
        assert claim["claimed"] is True
        assert claim["leases"][0]["resource"] == "task:T-1"
        assert claim["leases"][1]["resource"] == "path:src/globs/**"
        assert f"fencing_token {fence}" in text
        assert re.search(r"renew before \d\d:\d\d:\d\dZ", text)
        assert "task_transition(task_id=T-1, to=in_progress" in text
        assert "tests pass" in claim["brief"]

        moved = await call(
            ana, "task_transition", task_id="T-1", to="in_progress", fencing_token=fence
        )
        checked("task_transition", moved)
        for item in claim["task"]["definition_of_done"]:
            held = checked("task_get", await call(ana, "task_get"))
            done = await call(
                ana,
                "task_update",
                task_id="T-1",
                if_match=held["task"]["etag"],
                tick=[item["id"]],
                fencing_token=fence,
            )
            checked("task_update", done)
        over = await call(
            ana,
            "task_transition",
            task_id="T-1",
            to="review",
            fencing_token=fence,
            handoff="Done and checked.",
        )
        assert over["old_status"] == "in_progress"
        assert over["new_status"] == "review"
        assert len(over["released"]) == 2
        board = checked("board_show", await call(ana, "board_show"))
        assert board["me"]["holding"] == []


async def test_nothing_to_claim_is_an_answer_and_says_why(product: Product, era: str) -> None:
    token = await product.key("ana")
    async with product.client(token, era) as ana:
        result = await ana.session.call_tool("task_claim", {})
    answer = checked("task_claim", answer_of(result))
    assert answer["claimed"] is False
    assert answer["retry_after_seconds"] > 0
    assert text_of(result).startswith("nothing to claim")


async def test_the_critic_may_not_be_the_assignee_but_another_agent_may(product: Product) -> None:
    ana_key, bob_key = await product.key("ana"), await product.key("bob")
    async with product.client(ana_key) as ana, product.client(bob_key) as bob:
        await call(ana, "task_create", tasks=[{"title": "One"}])
        claim = await call(ana, "task_claim")
        fence = claim["leases"][0]["fencing_token"]
        for column in ("in_progress", "review"):
            await call(ana, "task_transition", task_id="T-1", to=column, fencing_token=fence)
        text, problem = await refused(ana, "task_transition", task_id="T-1", to="approved")
        assert problem["code"] == "guard_failed"
        assert problem["guard"] == "self_review"
        assert "guard=self_review" in text
        approved = await call(bob, "task_transition", task_id="T-1", to="approved")
        assert approved["new_status"] == "approved"


async def test_a_held_resource_is_refused_with_its_holder_and_when_to_come_back(
    product: Product, era: str
) -> None:
    ana_key, bob_key = await product.key("ana"), await product.key("bob")
    async with product.client(ana_key, era) as ana, product.client(bob_key, era) as bob:
        granted = await call(ana, "lease_acquire", resources=["path:src/**"])
        lease = checked("lease_acquire", granted)["leases"][0]
        text, problem = await refused(bob, "lease_acquire", resources=["path:src/a.py"])
        assert problem["code"] == "lease_held"
        assert problem["status"] == 409
        assert problem["holder"] == "agent:ana"
        first, second = text.splitlines()[:2]
        assert first.startswith("lease_held: path:src/** is leased to agent:ana until ")
        assert lease["lock_id"] in first
        assert second.startswith("Fix: ")
        assert re.search(r"retryable=true retry_after_seconds=\d+$", second)
        released = await call(ana, "lease_release", lock_ids=[lease["lock_id"]])
        assert checked("lease_release", released)["released"] == [lease["lock_id"]]
        await call(bob, "lease_acquire", resources=["path:src/a.py"])


async def test_two_agents_share_what_both_only_read(product: Product) -> None:
    tokens = await product.key("ana"), await product.key("bob")
    async with product.client(tokens[0]) as ana, product.client(tokens[1]) as bob:
        for agent in (ana, bob):
            answer = await call(agent, "lease_acquire", resources=["path:a"], mode="shared")
            assert len(answer["leases"]) == 1
        _, problem = await refused(ana, "lease_acquire", resources=["path:a"])
        assert (problem["code"], problem["holder"]) == ("lease_held", "agent:bob")


async def test_a_wrong_token_writes_nothing_and_names_the_holder(
    product: Product, era: str
) -> None:
    ana_key, bob_key = await product.key("ana"), await product.key("bob")
    async with product.client(ana_key, era) as ana, product.client(bob_key, era) as bob:
        await call(ana, "task_create", tasks=[{"title": "One"}])
        claim = await call(ana, "task_claim")
        fence = claim["leases"][0]["fencing_token"]
        for client, token in ((ana, fence + 1), (ana, fence - 1), (bob, fence)):
            text, problem = await refused(
                client, "task_transition", task_id="T-1", to="in_progress", fencing_token=token
            )
            assert problem["code"] == "write_fenced"
            assert problem["holder"] == "agent:ana"
            assert text.startswith("write_fenced: ")
        assert (await call(bob, "task_get", task_id="T-1"))["task"]["status"] == "claimed"


async def test_an_older_etag_is_refused_with_what_changed_and_the_next_call(
    product: Product, era: str
) -> None:
    token = await product.key("ana")
    async with product.client(token, era) as ana:
        await call(ana, "task_create", tasks=[{"title": "One"}])
        first = (await call(ana, "task_get", task_id="T-1"))["task"]["etag"]
        await call(ana, "task_update", task_id="T-1", if_match=first, patch={"title": "Two"})
        text, problem = await refused(
            ana, "task_update", task_id="T-1", if_match=first, patch={"title": "Three"}
        )
        current = (await call(ana, "task_get", task_id="T-1"))["task"]["etag"]
        assert problem["code"] == "etag_mismatch"
        assert problem["etag"] == current
        assert problem["current"]["title"] == "Two"
        assert current in text
        assert "diff=" in text
        await call(ana, "task_update", task_id="T-1", if_match=current, patch={"title": "Three"})
        text, problem = await refused(ana, "task_update", task_id="T-1", patch={"title": "Four"})
        assert problem["code"] == "if_match_required"


async def test_a_repeated_request_id_gives_back_the_first_success(
    product: Product, era: str
) -> None:
    token = await product.key("ana")
    async with product.client(token, era) as ana:
        drafts = {"tasks": [{"title": "One"}], "request_id": "once"}
        first = await call(ana, "task_create", **drafts)
        again = await call(ana, "task_create", **drafts)
        assert checked("task_create", again) == {**first, "replayed": True}
        _, problem = await refused(
            ana, "task_create", tasks=[{"title": "Other"}], request_id="once"
        )
        assert problem["code"] == "idempotency_conflict"
        assert (await call(ana, "task_list"))["total"] == 1


async def test_events_are_read_after_a_cursor_and_waited_for(product: Product, era: str) -> None:
    token = await product.key("ana")
    async with product.client(token, era) as ana:
        cursor = (await call(ana, "event_wait"))["cursor"]
        note = await call(ana, "event_append", event="decision", text="We use globs.")
        batch = checked("event_wait", await call(ana, "event_wait", after=cursor))
        assert batch["items"][-1]["details"]["text"] == "We use globs."
        assert batch["items"][-1]["actor"] == "agent:ana"
        assert batch["cursor"] >= note["seq"]
        none = await call(ana, "event_wait", after=batch["cursor"], wait_seconds=0.05)
        assert none["items"] == []


async def test_a_message_lies_in_the_inbox_until_it_is_acknowledged(
    product: Product, era: str
) -> None:
    ana_key, bob_key = await product.key("ana"), await product.key("bob")
    async with product.client(ana_key, era) as ana, product.client(bob_key, era) as bob:
        await call(bob, "event_append", event="note", text="here")
        sent = await call(ana, "event_append", event="question", text="Ready?", to=["bob"])
        inbox = checked("inbox_read", await call(bob, "inbox_read"))
        assert inbox["unread"] == 1
        assert inbox["messages"][0]["author"] == "agent:ana"
        assert (await call(bob, "board_show"))["me"]["unread"] == 1
        left = await call(bob, "inbox_read", ack_through=sent["seq"])
        assert left == {"messages": [], "unread": 0}
