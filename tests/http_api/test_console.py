"""The plain page: open to everybody, asks nothing of another host, and pretends nothing."""

import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from http_api.routes.console import FILES
from kyros_collab_server.snippets import snippets
from tests.http_api.conftest import Board, Client

pytestmark = pytest.mark.anyio
OUTSIDE = re.compile(r"""(?:src|href|url|fetch|import|from)\s*[=(]?\s*["'(]*\s*(?:https?:)?//""")
SOURCES = resources.files("http_api") / "console_page"
SCRIPTS = [name for name, _ in FILES.values() if name.endswith(".js")]


@pytest.fixture
async def nobody(board: Board) -> Client:
    client = board.client()
    del client.headers["authorization"]
    return client


@pytest.mark.parametrize("path", sorted(FILES))
async def test_the_page_needs_no_credentials_and_nothing_from_outside(
    nobody: Client, path: str
) -> None:
    answer = await nobody.get(path)
    assert answer.status_code == 200
    assert OUTSIDE.search(answer.text) is None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    again = await nobody.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_the_root_leads_to_the_page(nobody: Client) -> None:
    for path in ("/", "/console"):
        answer = await nobody.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/")


async def test_the_page_says_that_it_is_not_the_console(nobody: Client) -> None:
    page = (await nobody.get("/console/")).text
    assert "This is not the console yet." in page
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page) == []


async def test_every_file_of_the_page_is_served(nobody: Client) -> None:
    assert {entry.name for entry in SOURCES.iterdir()} == {name for name, _ in FILES.values()}
    assert (await nobody.get("/console/other.js")).status_code == 404


def test_no_text_becomes_markup_and_no_token_is_kept() -> None:
    for name in SCRIPTS:
        text = (SOURCES / name).read_text()
        unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function"
        assert re.findall(unsafe, text) == [], name
        assert re.findall(r"localStorage|sessionStorage|indexedDB|cookie", text) == [], name
        assert re.findall(r"""(?:POST|PUT|PATCH|DELETE)""", text) == [], name


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_is_a_module_that_parses(name: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    module = tmp_path / name.replace(".js", ".mjs")
    module.write_text((SOURCES / name).read_text())
    subprocess.run([node, "--check", module], check=True, timeout=30)


async def test_what_is_pasted_is_what_the_command_line_writes(nobody: Client) -> None:
    about = (await nobody.get("/console/about.json")).json()
    assert about["mcp_url"] == "http://localhost/mcp"
    shown = [{k: v for k, v in one.items() if k != "asked"} for one in about["snippets"]]
    assert shown == [one.model_dump(mode="json") for one in snippets("http://localhost")]
    assert {one["asked"] for one in about["snippets"]} == {"http", "stdio"}


async def test_another_host_name_gets_no_snippet_that_leads_there(nobody: Client) -> None:
    answer = await nobody.get("/console/about.json", headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (421, "host_refused")
