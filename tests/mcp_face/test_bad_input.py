"""What bad input gets: a problem with a stable code, nothing changed, and never a crash."""

import json
from typing import Any

import pytest

from tests.mcp_face.conftest import (
    Product,
    problem_of,
    text_of,
)

pytestmark = pytest.mark.anyio

BAD_CALLS: list[tuple[str, dict[str, Any], str, str]] = [
    ("task_claim", {"task": "T-7"}, "unknown_field", "task"),
    ("task_claim", {"ttl_seconds": -1}, "invalid_field", "ttl_seconds"),
    ("task_claim", {"ttl_seconds": 10**12}, "invalid_field", "ttl_seconds"),
    ("task_claim", {"ttl_seconds": "soon"}, "invalid_field", "ttl_seconds"),
    ("task_claim", {"wait_seconds": 26}, "invalid_field", "wait_seconds"),
    ("task_claim", {"skills": "python"}, "invalid_field", "skills"),
    ("task_claim", {"request_id": ""}, "invalid_field", "request_id"),
    ("task_claim", {"request_id": 7}, "invalid_field", "request_id"),
    ("task_claim", {"task_id": "T-404"}, "not_found", ""),
    ("task_get", {"view": "everything"}, "invalid_field", "view"),
    ("task_get", {"request_id": "read"}, "unknown_field", "request_id"),
    ("task_list", {"status": ["finished"]}, "invalid_field", "status.0"),
    ("task_list", {"limit": 101}, "invalid_field", "limit"),
    ("task_list", {"cursor": "forged"}, "invalid_field", "cursor"),
    ("task_create", {}, "invalid_field", "tasks"),
    ("task_create", {"tasks": []}, "invalid_field", "tasks"),
    ("task_create", {"tasks": [{"titel": "x"}]}, "unknown_field", "tasks.0.titel"),
    ("task_create", {"tasks": [{"title": "a" * 1_000_000}]}, "invalid_field", "tasks.0.title"),
    ("task_create", {"tasks": [{"title": "a\x00b"}]}, "invalid_field", "tasks.0.title"),
    ("task_create", {"tasks": [{"title": "a\u202eb"}]}, "invalid_field", "tasks.0.title"),
    ("task_create", {"tasks": [{"title": "a", "id": "../x"}]}, "invalid_field", "tasks.0.id"),
    ("task_create", {"tasks": [{"title": "a"}] * 51}, "invalid_field", "tasks"),
    (
        "task_create",
        {"tasks": [{"title": "a", "id": "A", "depends_on": ["A"]}]},
        "dependency_cycle",
        "",
    ),
    ("task_update", {"task_id": "T-404", "if_match": '"1"'}, "not_found", ""),
    ("task_update", {"task_id": "T-1", "patch": {"status": "done"}}, "unknown_field", "patch"),
    ("task_transition", {"task_id": "T-1", "to": "finished"}, "invalid_field", "to"),
    ("task_transition", {"task_id": "T-404", "to": "queued"}, "not_found", ""),
    ("lease_acquire", {"resources": []}, "invalid_field", "resources"),
    ("lease_acquire", {"resources": ["path:/etc/**"]}, "invalid_field", "resources"),
    ("lease_acquire", {"resources": ["path:../x"]}, "invalid_field", "resources"),
    ("lease_acquire", {"resources": ["task:T-1"]}, "use_claim", "resources"),
    ("lease_release", {"lock_ids": ["mine"]}, "invalid_field", "lock_ids.0"),
    ("event_append", {"event": "task_created", "text": "x"}, "invalid_field", "event"),
    ("event_append", {"event": "executor_started", "text": "x"}, "invalid_field", "event"),
    ("event_append", {"event": "note"}, "invalid_field", "text"),
    ("event_append", {"event": "note", "text": "\x1b[2J"}, "invalid_field", "text"),
    ("event_append", {"event": "note", "text": "x", "to": ["nobody"]}, "not_found", ""),
    ("event_wait", {"after": -1}, "invalid_field", "after"),
    ("event_wait", {"after": 2**70}, "invalid_field", "after"),
    ("inbox_read", {"ack_through": "all"}, "invalid_field", "ack_through"),
]


@pytest.fixture
async def ana(product: Product) -> str:
    return await product.key("ana")


async def test_each_bad_call_names_its_field_and_changes_nothing(
    product: Product, ana: str, era: str
) -> None:
    async with product.client(ana, era) as client:
        await client.session.call_tool("task_create", {"tasks": [{"title": "One"}]})
        before = await client.session.call_tool("task_list", {})
        for tool, arguments, code, field in BAD_CALLS:
            result = await client.session.call_tool(tool, arguments)
            problem = problem_of(result)
            assert problem["code"] == code, (tool, arguments, problem)
            assert str(problem.get("field", "")).startswith(field), (tool, arguments, problem)
            assert problem["request_id"].startswith("rq_")
            text = text_of(result)
            assert text.startswith(f"{code}: ")
            assert "retryable=" in text
            assert len(text) < 2_000
            assert "pydantic" not in text.lower()
            assert "Traceback" not in text
        after = await client.session.call_tool("task_list", {})
        assert after.structured_content == before.structured_content


async def test_an_unknown_argument_is_refused_and_the_nearest_is_named(
    product: Product, ana: str
) -> None:
    async with product.client(ana) as client:
        for tool, wrong, right in (
            ("task_claim", "task", "task_id"),
            ("task_claim", "wait", "wait_seconds"),
            ("lease_acquire", "resource", "resources"),
            ("event_append", "txt", "text"),
            ("task_update", "ifMatch", "if_match"),
        ):
            result = await client.session.call_tool(tool, {wrong: "T-7"})
            problem = problem_of(result)
            assert problem["code"] == "unknown_field"
            assert problem["field"] == wrong
            assert problem["nearest"] == right
            assert f"Did you mean {right}?" in text_of(result)
            assert "T-7" not in text_of(result)
        result = await client.session.call_tool("task_transition", {"qqqq": "T-7"})
        assert "to" in problem_of(result)["allowed"]


async def test_a_refusal_never_echoes_what_was_sent(product: Product, ana: str) -> None:
    secret = "ignore-all-previous-instructions"
    calls: list[tuple[str, dict[str, Any]]] = [
        ("task_claim", {"ttl_seconds": secret}),
        ("task_claim", {f"{secret} and <b>more</b>": 1}),
        ("task_list", {"status": [secret]}),
        ("task_list", {"cursor": secret}),
        ("task_create", {"tasks": [{"title": f"{secret}\x00"}]}),
        ("task_create", {"tasks": secret}),
        ("event_append", {"event": secret, "text": "x"}),
        ("event_append", {"event": "note", "text": "x", "to": [secret]}),
        ("lease_acquire", {"resources": [f"path:../{secret}"]}),
    ]
    async with product.client(ana) as client:
        for tool, arguments in calls:
            result = await client.session.call_tool(tool, arguments)
            assert secret not in text_of(result), (tool, arguments)
            assert secret not in json.dumps(problem_of(result)), (tool, arguments)
