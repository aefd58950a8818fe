"""Who one is, workspaces and keys."""

import pytest

from tests.http_api.conftest import Board, Client, agent

pytestmark = pytest.mark.anyio


async def test_the_caller_learns_whom_the_server_takes_it_for(ada: Client) -> None:
    me = (await ada.get("/auth/me")).json()
    assert (me["agent"], me["actor"], me["workspace"]) == ("ada", "agent:ada", "default")
    assert "tasks:write" in me["scopes"]


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(
    board: Board, admin: Client
) -> None:
    made = await admin.post("/api-keys", json={"name": "tmp", "role": "agent"})
    key = made.json()
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    listed = (await admin.get("/api-keys")).json()["data"]
    assert key["id"] in {one["id"] for one in listed}
    assert all("key" not in one for one in listed)
    async with board.client(key["key"]) as client:
        assert (await client.get("/auth/me")).status_code == 200
        revoked = await admin.delete(f"/api-keys/{key['id']}")
        assert revoked.json()["revoked_at"] is not None
        assert (await client.get("/auth/me")).status_code == 401
    again = await admin.post(f"/api-keys/{key['id']}/revoke")
    assert again.status_code == 200


async def test_only_an_admin_makes_keys_and_workspaces(board: Board) -> None:
    async with agent(board, "oscar", role="operator") as operator:
        refused = await operator.post("/api-keys", json={"name": "x", "role": "viewer"})
        assert refused.status_code == 403
        assert (await operator.post("/workspaces", json={"id": "x"})).status_code == 403


async def test_a_workspace_is_made_listed_and_set(admin: Client) -> None:
    made = await admin.post("/workspaces", json={"id": "side"})
    assert (made.status_code, made.json()["id"]) == (201, "side")
    taken = await admin.post("/workspaces", json={"id": "side"})
    assert (taken.status_code, taken.json()["code"]) == (409, "already_exists")
    names = [one["id"] for one in (await admin.get("/workspaces")).json()["data"]]
    assert names == ["default", "side"]
    patch = {"settings": {"max_attempts": 5}}
    changed = await admin.patch(
        "/workspaces/side", json=patch, headers={"if-match": made.headers["etag"]}
    )
    assert changed.json()["settings"]["max_attempts"] == 5
    late = await admin.patch(
        "/workspaces/side", json=patch, headers={"if-match": made.headers["etag"]}
    )
    assert late.status_code == 412


async def test_several_agents_share_a_key_by_naming_themselves(board: Board) -> None:
    async with board.client(agent="one") as one, board.client(agent="two") as two:
        await one.post("/collab/leases/acquire", json={"resource": "a"})
        refused = await two.post("/collab/leases/acquire", json={"resource": "a"})
    assert refused.json()["holder"] == "agent:one"
