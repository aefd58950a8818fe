"""Prompts, completion and the skill: what a person or a host picks, and what it names."""

import hashlib
import json
import re
from importlib.resources import files
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import PromptReference, ResourceTemplateReference

from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import CreateWorkspace
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.mcp_face.extensions.skills.serving import ROOT, Skills, frontmatter_of
from kyros_collab_server.mcp_face.prompts import PROMPTS
from kyros_collab_server.mcp_face.server import CATALOG
from tests.mcp_face.conftest import Product, modern_body, modern_headers
from tests.mcp_face.test_work import call

pytestmark = pytest.mark.anyio

TOOL = re.compile(r"\b(?:task|lease|event|inbox|board|agent)_[a-z]+\b|\bwhoami\b")
NO_TOOLS = {"task_id", "lease_lost", "lease_held"}
GIVEN = {"goal": "Ship it", "task_id": "T-1"}


async def test_the_five_prompts_are_listed_with_what_they_take(product: Product, era: str) -> None:
    async with product.client(product.token, era) as client:
        listed = (await client.list_prompts()).prompts
        taken = {
            prompt.name: {one.name: bool(one.required) for one in prompt.arguments or []}
            for prompt in listed
        }
        assert taken == {
            "work_next_task": {"role": False},
            "plan_backlog": {"goal": True},
            "critic_review": {"task_id": True},
            "context_reset": {"task_id": False},
            "hand_off": {"task_id": True},
        }
        assert all(prompt.description for prompt in listed)
        for prompt in listed:
            needed = {name: GIVEN[name] for name, must in taken[prompt.name].items() if must}
            got = await client.get_prompt(prompt.name, needed)
            (message,) = got.messages
            assert message.role == "user"
            words = message.content.text  # type: ignore[union-attr]
            assert all(value in words for value in needed.values())


async def test_a_prompt_asked_for_wrongly_says_what_is_wrong(product: Product, era: str) -> None:
    async with product.client(product.token, era) as client:
        for name, given, data in (
            ("nothing", {}, {"allowed": [spec.name for spec in PROMPTS]}),
            ("hand_off", {}, {"field": "task_id", "rule": "is required"}),
            ("hand_off", {"task_id": "  "}, {"field": "task_id", "rule": "is required"}),
            ("hand_off", {"task": "T-1", "task_id": "T-1"}, {"allowed": ["task_id"]}),
            ("plan_backlog", {"goal": "x" * 4_001}, {"field": "goal"}),
        ):
            with pytest.raises(MCPError) as refused:
                await client.get_prompt(name, given)
            assert refused.value.code == -32602
            assert data.items() <= refused.value.data.items()


def test_every_tool_that_a_prompt_or_the_skill_names_exists() -> None:
    known = {spec.name for spec in CATALOG}
    params = [spec.answer for spec in PROMPTS]
    assert len(params) == 5
    texts = [one.text for one in Skills()._files]
    from mcp_types import GetPromptRequestParams

    for spec in PROMPTS:
        asked = GetPromptRequestParams(name=spec.name, arguments=GIVEN | {"role": "critic"})
        texts.append(spec.answer(asked).messages[0].content.text)  # type: ignore[union-attr]
    for text in texts:
        assert set(TOOL.findall(text)) - NO_TOOLS <= known


def test_every_refusal_that_the_skill_names_exists() -> None:
    def codes(of: type[KyrosError]) -> set[str]:
        own = {of.code} if "code" in vars(of) else set()
        return own.union(*(codes(one) for one in of.__subclasses__()))

    text = next(one.text for one in Skills()._files if one.path.endswith("refusals.md"))
    named = set(re.findall(r"^\| `([a-z_]+)`", text, re.MULTILINE))
    assert len(named) > 8
    assert named <= codes(KyrosError)


async def complete(client: Any, ref: Any, argument: str, value: str) -> list[str]:
    result = await client.complete(ref, {"name": argument, "value": value})
    values: list[str] = result.completion.values
    return values


async def test_arguments_are_completed_from_the_callers_workspace_only(
    product: Product, era: str
) -> None:
    admin = await product.caller(product.token)
    await product.kyros.perform(identity.create_workspace, CreateWorkspace(id="other"), actor=admin)
    token = await product.key("ana", workspaces=["default", "other"])
    async with product.client(token, X_Kyros_Workspace="other") as there:
        await call(there, "task_create", tasks=[{"title": "x", "id": "T-100", "labels": ["far"]}])
        await call(there, "agent_register", role="stranger")
    prompt = PromptReference(name="hand_off")
    task = ResourceTemplateReference(uri="kyros://tasks/{id}")
    page = ResourceTemplateReference(uri="kyros://tasks{?status,cursor,limit}")
    async with product.client(token, era) as client:
        drafts = [{"title": "T-title", "labels": ["near"]}, {"title": "Two", "id": "x-1"}]
        await call(client, "task_create", tasks=drafts)
        await call(client, "agent_register", role="critic")
        assert await complete(client, prompt, "task_id", "t-") == ["T-1"]
        assert await complete(client, task, "id", "") == ["T-1", "x-1"]
        assert await complete(client, page, "status", "queued,re") == ["queued,review"]
        assert await complete(client, PromptReference(name="work_next_task"), "role", "") == [
            "critic"
        ]
        assert await complete(client, prompt, "label", "n") == ["near"]
        assert await complete(client, prompt, "agent", "AN") == ["ana"]
        assert await complete(client, PromptReference(name="plan_backlog"), "goal", "any") == []
        for unknown in (
            PromptReference(name="nothing"),
            ResourceTemplateReference(uri="kyros://tasks/{other}"),
        ):
            with pytest.raises(MCPError) as refused:
                await complete(client, unknown, "task_id", "")
            assert refused.value.code == -32602


async def test_a_completion_has_at_most_a_hundred_values(product: Product) -> None:
    async with product.client(product.token) as client:
        for start in (0, 50, 100):
            drafts = [{"title": f"Task {start + n}"} for n in range(50)]
            await call(client, "task_create", tasks=drafts)
        reference = PromptReference(name="hand_off")
        result = await client.complete(reference, {"name": "task_id", "value": "T-"})
        assert len(result.completion.values) == 100
        assert result.completion.total == 150
        assert result.completion.has_more is True


async def test_the_skill_is_listed_and_its_files_are_what_their_digests_say(
    product: Product,
) -> None:
    async with product.raw(product.token) as http:

        async def ask(method: str, name: str | None = None, **params: Any) -> dict[str, Any]:
            answer = await http.post(
                "/mcp", json=modern_body(method, **params), headers=modern_headers(method, name)
            )
            body: dict[str, Any] = answer.json()
            return body

        discovered = (await ask("server/discover"))["result"]["capabilities"]["extensions"]
        assert discovered == {"io.modelcontextprotocol/skills": {"directoryRead": True}}
        listed = (await ask("skills/list"))["result"]
        assert (listed["ttlMs"], listed["cacheScope"]) == (300_000, "public")
        (entry,) = listed["skills"]
        assert entry["uri"] == f"{ROOT}/SKILL.md"
        got = (await ask("skills/get", uri=entry["uri"]))["result"]
        assert got["skill"] == entry
        for one in entry["resources"]:
            read = await ask("resources/read", one["uri"], uri=one["uri"])
            (content,) = read["result"]["contents"]
            served = content["text"].encode()
            assert content["mimeType"] == "text/markdown"
            assert one["size"] == len(served)
            assert one["digest"] == f"sha256:{hashlib.sha256(served).hexdigest()}"
        above = (await ask("resources/directory/read", uri=ROOT))["result"]["resources"]
        assert [one["mimeType"] for one in above] == ["text/markdown", "inode/directory"]
        below = (await ask("resources/directory/read", uri=above[1]["uri"]))["result"]["resources"]
        assert len(below) == len(entry["resources"]) - 1
        for method in ("skills/get", "resources/directory/read"):
            refused = await ask(method, uri="skill://nothing/SKILL.md")
            assert refused["error"]["code"] == -32602
            assert refused["error"]["data"] == {"uri": "skill://nothing/SKILL.md"}
            # Row 9: a routing header that differs from the body.
            differs = await ask(method, f"{ROOT}/other", uri=entry["uri"])
            assert differs["error"]["code"] == -32020


def test_the_manifest_says_what_the_specification_of_skills_asks_for() -> None:
    text = files("kyros_collab_server.mcp_face.extensions.skills").joinpath(
        "kyros-coordination/SKILL.md"
    )
    front = frontmatter_of(text.read_text())
    assert set(front) == {"name", "description"}
    assert front["name"] == "kyros-coordination"
    assert len(front["description"]) <= 1_024
    assert json.loads(json.dumps(front)) == front
    for target in re.findall(r"\]\((references/[^)]+)\)", text.read_text()):
        assert any(one.path == target for one in Skills()._files)
