"""`kyros serve --conformance`: who is let in, and what a product without it has not."""

import subprocess
import sys
from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError

from kyros_collab_server.mcp_face.conformance.everything import fixtures_on
from kyros_collab_server.mcp_face.server import CATALOG, state_keys
from kyros_collab_server.mcp_face.subscriptions import Subscriptions
from tests.conformance.product import environment, served
from tests.mcp_face.conftest import Product, modern_body, modern_headers

pytestmark = pytest.mark.anyio


async def test_requests_without_a_key_are_let_in_and_those_with_a_wrong_one_are_not(
    tmp_path: Path,
) -> None:
    import httpx2

    async with (
        served(tmp_path / "board", "--conformance") as one,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{one.port}") as http,
    ):
        body, headers = modern_body("tools/list"), modern_headers("tools/list")
        listed = await http.post("/mcp", json=body, headers=headers)
        names = {tool["name"] for tool in listed.json()["result"]["tools"]}
        assert {"task_claim", "test_simple_text"} <= names
        wrong = {**headers, "Authorization": "Bearer ky_no_no"}
        assert (await http.post("/mcp", json=body, headers=wrong)).status_code == 401
        assert (await http.get("/api-keys")).status_code == 401
        bad_host = {**headers, "Host": "evil.example"}
        assert (await http.post("/mcp", json=body, headers=bad_host)).status_code == 421


def test_it_is_refused_where_others_could_reach_it(tmp_path: Path) -> None:
    options = ("--conformance", "--host", "0.0.0.0", "--data-dir", str(tmp_path), "--port", "0")
    ended = subprocess.run(
        [sys.executable, "-m", "kyros_collab_server", "serve", *options],
        env={
            **environment(),
            "KYROS_SECRET": "s" * 32,
            "KYROS_PUBLIC_URL": "https://kyros.example",
        },
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert b"--conformance" in ended.stderr


async def test_a_product_without_it_has_none_of_the_fixtures(product: Product, era: str) -> None:
    fixtures = fixtures_on(Subscriptions(product.kyros))
    assert not {tool.name for tool in fixtures.tools} & {spec.name for spec in CATALOG}
    async with product.client(product.token, era) as client:
        with pytest.raises(MCPError) as unknown:
            await client.session.call_tool("test_simple_text", {})
        assert unknown.value.code == -32602
        with pytest.raises(MCPError) as absent:
            await client.session.read_resource("test://static-text")
        assert absent.value.code == -32602
        assert not {one.name for one in (await client.list_prompts()).prompts} & {
            prompt.name for prompt in fixtures.prompts
        }


def test_request_state_is_sealed_under_a_key_of_the_deployments_secret() -> None:
    (key,) = state_keys("a" * 32)
    assert len(key) == 32
    assert state_keys("a" * 32) == [key]
    assert state_keys("b" * 32) != [key]
    assert state_keys("") == []
