"""Answers: boards, pages, resources, what others wrote, and what a crash gives."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from mcp.shared.exceptions import MCPError

from kyros_collab_server.settings import Settings
from tests.conftest import TurnedClock
from tests.mcp_face.conftest import Product, answer_of, problem_of, serving, text_of
from tests.mcp_face.test_work import DRAFT, call, checked

pytestmark = pytest.mark.anyio


async def test_an_unchanged_board_costs_one_word(product: Product, era: str) -> None:
    token = await product.key("ana")
    async with product.client(token, era) as ana:
        await call(ana, "task_create", tasks=[{"title": "One"}])
        board = await call(ana, "board_show")
        same = await ana.session.call_tool("board_show", {"if_none_match": board["etag"]})
        assert answer_of(same) == {"unchanged": True}
        assert text_of(same) == "unchanged"


async def test_pages_of_tasks_are_followed_by_their_cursor(product: Product, era: str) -> None:
    token = await product.key("ana")
    async with product.client(token, era) as ana:
        await call(ana, "task_create", tasks=[{"title": f"Task {n}"} for n in range(5)])
        seen: list[str] = []
        page = checked("task_list", await call(ana, "task_list", limit=2))
        while True:
            assert page["total"] == 5
            seen += [task["id"] for task in page["tasks"]]
            if "next_cursor" not in page:
                break
            page = await call(ana, "task_list", limit=2, cursor=page["next_cursor"])
        assert seen == ["T-1", "T-2", "T-3", "T-4", "T-5"]


async def test_the_team_tools_answer_as_their_types_say(product: Product, era: str) -> None:
    token = await product.key("ana")
    async with product.client(token, era, path="/mcp/x/all") as ana:
        lease = (await call(ana, "lease_acquire", resources=["path:a"]))["leases"][0]
        me = checked("whoami", await call(ana, "whoami"))
        assert me["agent"] == "ana"
        assert me["holding"][0]["lock_id"] == lease["lock_id"]
        agent = checked("agent_register", await call(ana, "agent_register", role="critic"))
        assert agent["agent"]["role"] == "critic"
        assert checked("agent_list", await call(ana, "agent_list"))["agents"][0]["name"] == "ana"
        renewed = checked("lease_renew", await call(ana, "lease_renew"))
        assert [one["lock_id"] for one in renewed["leases"]] == [lease["lock_id"]]
        assert checked("lease_list", await call(ana, "lease_list"))["leases"][0]["state"]
        kept = checked("lease_reclaim", await call(ana, "lease_reclaim"))
        assert kept["reclaimed"] == []


async def test_resources_answer_the_same_as_the_tools(product: Product, era: str) -> None:
    token = await product.key("ana")
    async with product.client(token, era) as ana:
        await call(ana, "task_create", tasks=[DRAFT, {"title": "Two"}])
        listed = {resource.uri for resource in (await ana.list_resources()).resources}
        assert {"kyros://board", "kyros://workflow", "kyros://tasks", "kyros://events"} <= listed

        async def read(uri: str) -> str:
            (content,) = (await ana.session.read_resource(uri)).contents
            return content.text  # type: ignore[union-attr]

        assert json.loads(await read("kyros://board"))["columns"][0]["count"] == 2
        assert json.loads(await read("kyros://workflow"))["moves"]
        assert json.loads(await read("kyros://tasks"))["total"] == 2
        assert json.loads(await read("kyros://tasks?limit=1"))["next_cursor"]
        assert json.loads(await read("kyros://tasks?status=done,review"))["total"] == 0
        assert json.loads(await read("kyros://tasks/T-1"))["title"] == "Parse globs"
        assert (await read("kyros://briefs/T-1")).startswith("# T-1")
        assert json.loads(await read("kyros://events?after=0&limit=1"))["items"][0]["seq"] == 1
        assert json.loads(await read("kyros://leases")) == {"leases": []}
        assert json.loads(await read("kyros://agents"))["agents"][0]["name"] == "ana"
        assert json.loads(await read("kyros://inbox"))["unread"] == 0
        whole = await read("kyros://log")
        assert "ana" in whole
        assert "#1" in whole
        assert await read("kyros://log?after=1&before=3") != whole
        for unknown in (
            "kyros://log?after=x",
            "kyros://tasks/T-9",
            "kyros://nope",
            "kyros://tasks?limti=1",
        ):
            with pytest.raises(MCPError) as absent:
                await ana.session.read_resource(unknown)
            assert absent.value.code == -32602
            assert absent.value.data["uri"] == unknown


async def test_the_history_of_a_task_is_read_page_by_page(product: Product, era: str) -> None:
    token = await product.key("ana")
    async with product.client(token, era) as ana:
        await call(ana, "task_create", tasks=[DRAFT])
        claim = await call(ana, "task_claim")
        fence = claim["leases"][0]["fencing_token"]
        await call(ana, "task_transition", task_id="T-1", to="in_progress", fencing_token=fence)

        async def read(uri: str) -> dict[str, Any]:
            (content,) = (await ana.session.read_resource(uri)).contents
            page: dict[str, Any] = json.loads(content.text)  # type: ignore[union-attr]
            return page

        whole = (await read("kyros://tasks/T-1/history"))["revisions"]
        assert [one["event"] for one in whole] == [
            "task_transitioned",
            "task_claimed",
            "task_created",
        ]
        assert whole[0]["changes"]["status"] == {"before": "claimed", "after": "in_progress"}
        first = await read("kyros://tasks/T-1/history?limit=2")
        assert first["revisions"] == whole[:2]
        rest = await read(f"kyros://tasks/T-1/history?cursor={quote(first['next_cursor'])}")
        assert rest == {"revisions": whole[2:]}
        with pytest.raises(MCPError) as absent:
            await read("kyros://tasks/T-9/history")
        assert absent.value.code == -32602


async def test_a_task_tells_why_it_waits_and_what_came_too_late(
    settings: Settings, clock: TurnedClock, era: str
) -> None:
    async with serving(settings, clock) as product:
        ana_key, bob_key = await product.key("ana"), await product.key("bob")
        async with product.client(ana_key, era) as ana, product.client(bob_key, era) as bob:
            await call(ana, "task_create", tasks=[DRAFT, {"title": "Two", "depends_on": ["T-1"]}])
            waits = await bob.session.call_tool("task_get", {"task_id": "T-2", "view": "full"})
            why = checked("task_get", answer_of(waits))["why_waiting"]
            assert why == [{"reason": "open_dependencies", "facts": {"open": ["T-1"]}}]
            assert 'waits: open_dependencies {"open":["T-1"]}' in text_of(waits)
            await call(ana, "task_claim", task_id="T-1")
            clock.advance(400)
            await product.kyros.sweep()
            late = {"event": "late_result", "text": "done anyway", "target": "task:T-1"}
            await call(ana, "event_append", **late)
            for view in ("brief", "full"):
                seen = await bob.session.call_tool("task_get", {"task_id": "T-1", "view": view})
                (result,) = checked("task_get", answer_of(seen))["late_results"]
                assert (result["author"], result["text"]) == ("agent:ana", "done anyway")
                assert f"late result #{result['seq']}" in text_of(seen)
            card = await call(bob, "task_get", task_id="T-1")
            assert set(card) == {"task"}


async def test_another_workspace_is_as_absent_as_an_unknown_one(product: Product) -> None:
    from kyros_collab_server.features.identity import service as identity
    from kyros_collab_server.features.identity.model import CreateWorkspace

    admin = await product.caller(product.token)
    await product.kyros.perform(identity.create_workspace, CreateWorkspace(id="other"), actor=admin)
    token = await product.key("ana", workspaces=["default"])
    async with product.raw(token) as http:
        answers = [
            await http.post("/mcp", json={}, headers={"X-Kyros-Workspace": name})
            for name in ("other", "nowhere")
        ]
    assert [answer.status_code for answer in answers] == [404, 404]
    bodies = [answer.json()["error"]["message"] for answer in answers]
    assert bodies[0] == bodies[1]


async def test_what_others_wrote_is_labelled_and_free_of_hidden_characters(
    product: Product, era: str
) -> None:
    ana_key, bob_key = await product.key("ana"), await product.key("bob")
    hidden = {"note": "safe\u202eevil\u200b", "deep": {"list": ["\u2066x", None]}}
    async with product.client(ana_key, era) as ana, product.client(bob_key, era) as bob:
        await ana.session.call_tool(
            "event_append", {"event": "note", "text": "look", "details": hidden}
        )
        result = await bob.session.call_tool("event_wait", {"actor": "agent:ana"})
        said = json.dumps(answer_of(result), ensure_ascii=False) + text_of(result)
        for character in "\u202e\u200b\u2066":
            assert character not in said
        assert "by agent:ana" in text_of(result)


async def test_a_crash_gives_an_incident_and_nothing_else(
    product: Product, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret path and text")

    async with product.client(product.token, era) as ana:
        monkeypatch.setattr(product.kyros, "answer", broken)
        result = await ana.session.call_tool("board_show", {})
        problem = problem_of(result)
        assert problem["code"] == "incident"
        assert problem["status"] == 500
        assert problem["incident_id"] in text_of(result)
        assert "secret" not in result.model_dump_json()
        with pytest.raises(MCPError) as crashed:
            await ana.session.read_resource("kyros://board")
        assert "secret" not in str(crashed.value)
        assert crashed.value.code == -32603
        assert crashed.value.data["kyros/problem"]["incident_id"]
