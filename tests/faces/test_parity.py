"""Every operation is reachable on each face it belongs to, and refusals say the same on each."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kyros_collab_server.kernel.operation import Operation
from tests.house.tree import ROOT, parsed
from tests.mcp_face.conftest import Product, bearer, problem_of

FEATURES = ("events", "identity", "agents", "messages", "leases", "tasks")
REST = "http_api/routes"
MCP = "kyros_collab_server/mcp_face/catalog"
NOT_ON_REST = {
    "tasks.board": "a glance for models; /collab/state gives the whole",
    "leases.read_lease": "GET of a lease also tells who waits for it",
}
"""Operations that REST leaves out, each with its reason."""
NOT_ON_MCP = {
    "identity.whoami": "the tool whoami answers from the caller itself",
    "identity.create_key": "the catalogue has no operation of keys",
    "identity.list_keys": "the catalogue has no operation of keys",
    "identity.revoke_key": "the catalogue has no operation of keys",
    "identity.create_workspace": "the catalogue has no operation of settings",
    "identity.update_workspace": "the catalogue has no operation of settings",
    "identity.list_workspaces": "the workspace comes from the caller",
    "agents.update": "an agent registers itself; others are an operator's business",
    "agents.read_agent": "agent_list tells of all",
    "messages.send": "event_append with `to` writes to an inbox",
    "events.find_seq": "a model goes on from a cursor, not from an instant",
    "events.head": "event_wait gives the cursor",
    "leases.renew_one": "lease_renew takes ids",
    "leases.read_lease": "lease_list tells of all",
    "tasks.list_all": "task_list pages",
    "agents.agents_at": "the past of the board is for people; kyros://log tells it in words",
    "leases.leases_at": "the past of the board is for people; kyros://log tells it in words",
    "tasks.tasks_at": "the past of the board is for people; a task has its history",
    "leases.holds": "who held what in a range is for charts",
    "leases.read_queue": "lease_held tells the place in the line",
    "events.stats": "counts over time are for charts",
    "events.checkpoints": "proofs of the log are checked by kyros verify",
    "events.human_log": "people keep it; kyros://log tells the same events in words",
    "events.append_log": "people keep it; an agent appends an event",
    "events.append_summary": "people keep it; an agent appends an event",
    "tasks.late_results": "task_get with view=full tells them",
    "tasks.why_waiting": "task_get with view=full tells it",
}
"""Operations that the agents' face leaves out, each with its reason."""


def operations() -> dict[str, Operation[Any, Any]]:
    found: dict[str, Operation[Any, Any]] = {}
    for feature in FEATURES:
        service = importlib.import_module(f"kyros_collab_server.features.{feature}.service")
        for value in vars(service).values():
            if isinstance(value, Operation):
                found[value.name.split(".")[0] + "." + value.run.__name__] = value
    return found


def named_in(folder: str) -> Iterator[str]:
    """`feature.operation` for every operation that the folder's modules name."""
    for path in sorted((ROOT / folder).glob("*.py")):
        tree = parsed(Path(path.relative_to(ROOT)))
        services: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "kyros_collab_server.features."
            ):
                feature = (node.module or "").split(".")[2]
                services |= {
                    alias.asname or alias.name: feature
                    for alias in node.names
                    if alias.name == "service"
                }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                feature_of = services.get(node.value.id)
                if feature_of is not None:
                    yield f"{feature_of}.{node.attr}"


@pytest.mark.parametrize(("face", "excused"), [(REST, NOT_ON_REST), (MCP, NOT_ON_MCP)])
def test_every_operation_is_on_each_face_or_excused(face: str, excused: dict[str, str]) -> None:
    known = set(operations())
    reached = set(named_in(face)) & known
    assert known - reached == set(excused)
    assert all(reason.strip() for reason in excused.values())


class Both:
    """One agent at both doors."""

    def __init__(self, product: Product, token: str) -> None:
        self.product = product
        self.token = token

    async def tool(self, name: str, **arguments: Any) -> Any:
        async with self.product.client(self.token) as client:
            return await client.session.call_tool(name, arguments)

    async def rest(self, method: str, path: str, body: Any, **headers: str) -> Any:
        async with self.product.raw(self.token) as http:
            return await http.request(
                method, path, json=body, headers={**bearer(self.token), **headers}
            )


MOVING = {
    "request_id",
    "expires_in_ms",
    "expires_at",
    "retry_after_seconds",
    "detail",
    "fix",
    "errors",
    "instance",
    "allowed",
}
"""What differs from one call to the next, or is said to a program and to a model differently."""


def facts(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name not in MOVING}


CASES: list[tuple[str, str, dict[str, Any], str, str, dict[str, Any]]] = [
    (
        "lease_held",
        "lease_acquire",
        {"resources": ["path:src/a.py"]},
        "POST",
        "/collab/leases/acquire",
        {"resources": ["path:src/a.py"]},
    ),
    (
        "lease_held",
        "task_claim",
        {"task_id": "T-1"},
        "POST",
        "/collab/tasks/claim",
        {"task_id": "T-1"},
    ),
    (
        "guard_failed",
        "task_transition",
        {"task_id": "T-2", "to": "done"},
        "POST",
        "/collab/tasks/T-2/transition",
        {"to": "done"},
    ),
    (
        "write_fenced",
        "task_transition",
        {"task_id": "T-1", "to": "in_progress", "fencing_token": 1},
        "POST",
        "/collab/tasks/T-1/transition",
        {"to": "in_progress", "fencing_token": 1},
    ),
    (
        "use_claim",
        "lease_acquire",
        {"resources": ["task:T-2"]},
        "POST",
        "/collab/leases/acquire",
        {"resources": ["task:T-2"]},
    ),
    (
        "not_found",
        "task_claim",
        {"task_id": "T-99"},
        "POST",
        "/collab/tasks/claim",
        {"task_id": "T-99"},
    ),
    (
        "unknown_field",
        "task_claim",
        {"task": "T-1"},
        "POST",
        "/collab/tasks/claim",
        {"task": "T-1"},
    ),
    (
        "invalid_field",
        "task_claim",
        {"task_id": "T-1", "ttl_seconds": -1},
        "POST",
        "/collab/tasks/claim",
        {"task_id": "T-1", "ttl_seconds": -1},
    ),
    (
        "dependency_cycle",
        "task_create",
        {"tasks": [{"title": "x", "id": "X", "depends_on": ["X"]}]},
        "POST",
        "/collab/tasks",
        {"tasks": [{"title": "x", "id": "X", "depends_on": ["X"]}]},
    ),
]


@pytest.mark.anyio
async def test_the_same_refusal_says_the_same_on_each_face(product: Product) -> None:
    ana = Both(product, await product.key("ana"))
    ben = Both(product, await product.key("ben"))
    await ana.tool("task_create", tasks=[{"title": "one"}, {"title": "two"}])
    await ana.tool("task_claim", task_id="T-1")
    await ana.tool("lease_acquire", resources=["path:src/**"])
    for code, tool, arguments, method, path, body in CASES:
        told = problem_of(await ben.tool(tool, **arguments))
        answer = await ben.rest(method, path, body)
        assert told["code"] == answer.json()["code"] == code, (told, answer.json())
        assert told["status"] == answer.status_code
        assert facts(told) == facts(answer.json())


@pytest.mark.anyio
async def test_an_old_etag_is_taught_alike_on_each_face(product: Product) -> None:
    ana = Both(product, await product.key("ana"))
    await ana.tool("task_create", tasks=[{"title": "one"}])
    patch = {"title": "renamed"}
    told = problem_of(await ana.tool("task_update", task_id="T-1", if_match='"0-0"', patch=patch))
    answer = await ana.rest("PATCH", "/collab/tasks/T-1", patch, **{"If-Match": '"0-0"'})
    assert told["code"] == answer.json()["code"] == "etag_mismatch"
    assert facts(told) == facts(answer.json())
    missing = await ana.rest("PATCH", "/collab/tasks/T-1", patch)
    assert (missing.status_code, missing.json()["code"]) == (428, "if_match_required")
