"""The docs, and how the server says that it is well."""

import re

import pytest

from tests.http_api.conftest import Board, Client

pytestmark = pytest.mark.anyio
OUTSIDE = re.compile(r"""(?:src|href|url|fetch)\s*[=(]\s*["'(]*\s*(?:https?:)?//""")


@pytest.mark.parametrize("path", ["/docs", "/docs/docs.js", "/docs/docs.css"])
async def test_the_docs_ask_nothing_of_another_host(admin: Client, path: str) -> None:
    page = await admin.get(path)
    assert page.status_code == 200
    assert OUTSIDE.search(page.text) is None
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    again = await admin.get(path, headers={"if-none-match": page.headers["etag"]})
    assert again.status_code == 304


async def test_the_page_has_no_inline_script_or_style(admin: Client) -> None:
    page = (await admin.get("/docs")).text
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\son\w+=|\sstyle=", page) == []


async def test_the_served_document_is_the_committed_one(admin: Client) -> None:
    from tests.contract.openapi_snapshot import made

    assert (await admin.get("/openapi.json")).json() == made()


async def test_readiness_names_what_was_checked_and_how_long_it_took(board: Board) -> None:
    async with board.client() as client:
        ready = await client.get("/readyz")
        assert ready.status_code == 200
        assert {"database", "migrations", "disk"} <= {one["name"] for one in ready.json()["checks"]}
        assert all(one["ms"] >= 0 for one in ready.json()["checks"])
        board.app.state.face.rings.close()
        ending = await client.get("/readyz")
    assert (ending.status_code, ending.json()["ok"]) == (503, False)


async def test_health_adds_what_a_person_wants_to_know(admin: Client, board: Board) -> None:
    health = (await admin.get("/health")).json()
    assert health["ok"] is True
    assert (health["version"], health["epoch"]) == (board.kyros.version, board.kyros.epoch)
    assert health["open_streams"] == 0


async def test_metrics_are_labelled_by_route_and_never_by_id(admin: Client) -> None:
    await admin.get("/collab/tasks/T-1")
    await admin.get("/some/unknown/path")
    await admin.request("BREW", "/collab/tasks")
    text = (await admin.get("/metrics")).text
    assert 'route="/collab/tasks/{task_id}",status="404"' in text
    assert 'method="GET",route="unknown",status="404"' in text
    assert 'method="other"' in text
    assert "T-1" not in text
    assert "kyros_http_request_seconds_bucket" in text
