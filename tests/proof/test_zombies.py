"""A holder whose lease is over is told who holds it now, and none of its late writes gets in."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from http_api.app import build_app
from http_api.serving import listen, server_of
from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import CreateKey
from kyros_collab_server.kernel.principal import Role
from kyros_collab_server.mcp_face.server import build_mcp
from kyros_collab_server.settings import Settings
from tests.conftest import TurnedClock
from tests.proof.agents import Refusal, RestAgent, StdioAgent, over_mcp, over_rest, over_stdio
from tests.proof.ledger import Ledger, tables
from tests.proof.servers import CALL_SECONDS, agent_key, serving

pytestmark = pytest.mark.anyio
TTL_SECONDS = 5
CONTENDED = {"title": "Contended", "resources": ["path:src/**"]}
EXPIRY_SECONDS = 30.0
"""Within this a lease of five seconds must have been given to another."""


@dataclass
class Faces:
    """The whole product on a port, with a clock that the test turns."""

    url: str
    key: str
    clock: TurnedClock


@pytest.fixture
async def faces(store_settings: Settings, clock: TurnedClock) -> AsyncIterator[Faces]:
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    local = ["127.0.0.1:*"]
    async with open_kyros(store_settings, duties=False, clock=clock) as opened:
        admin = await opened.kyros.caller(opened.credentials.token, face="test")
        made = await opened.kyros.perform(
            identity.create_key, CreateKey(name="fleet", role=Role.AGENT), actor=admin
        )
        mcp = build_mcp(
            opened.kyros, store_settings, public_url=url, allowed_hosts=local, allowed_origins=[]
        )
        ready = asyncio.Event()
        app = build_app(opened.kyros, store_settings, mcp=mcp)
        server = server_of(app, drain_seconds=1, on_ready=ready.set)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.wait_for(ready.wait(), CALL_SECONDS)
        yield Faces(url, made.key, clock)
        server.should_exit = True
        await asyncio.wait_for(running, CALL_SECONDS)


def own_lease(claim: dict[str, Any]) -> dict[str, Any]:
    """The lease of the task itself."""
    wanted = f"task:{claim['task']['id']}"
    return next(lease for lease in claim["leases"] if lease["resource"] == wanted)


async def refusal(call: Any) -> dict[str, Any]:
    with pytest.raises(Refusal) as refused:
        await call
    return refused.value.problem


async def create(agent: RestAgent) -> None:
    made = await agent.client.post("/collab/tasks", json=CONTENDED)
    assert made.status_code == 201, made.text


def log_of(settings: Settings) -> list[dict[str, Any]]:
    """The log, checked, as events."""
    with tables(settings.data_dir, settings.database_url) as store:
        Ledger().follow(store)
        return [json.loads(row[2]) for row in store.events(0)]


@pytest.mark.parametrize("door", ["rest", "mcp"])
async def test_a_stale_holder_is_refused_and_told_who_holds_it_now(
    faces: Faces, store_settings: Settings, door: str
) -> None:
    async with AsyncExitStack() as stack:
        bo = await stack.enter_async_context(over_rest(faces.url, faces.key, "bo"))
        ana: Any = await stack.enter_async_context(
            over_rest(faces.url, faces.key, "ana")
            if door == "rest"
            else over_mcp(f"{faces.url}/mcp", faces.key, "ana")
        )
        await create(bo)
        claim = await ana.claim(ttl_seconds=TTL_SECONDS)
        old = own_lease(claim)
        etag = (await ana.move("T-1", "in_progress", old["fencing_token"]))["etag"]
        faces.clock.advance(TTL_SECONDS + 0.001)
        new = own_lease(await bo.claim(task_id="T-1", ttl_seconds=300))
        assert new["fencing_token"] > old["fencing_token"]
        task = (await bo.client.get("/collab/tasks/T-1")).json()
        assert (task["status"], task["attempts"], task["lock_id"]) == ("claimed", 1, new["lock_id"])
        held = (await bo.client.get("/collab/leases")).json()["data"]
        assert [lease["holder"] for lease in held] == ["agent:bo"] * 2

        await bo.move("T-1", "in_progress", new["fencing_token"])
        renewed = await ana.renew(old["lock_id"])
        assert not renewed["leases"]
        (lost,) = renewed["lost"]
        assert (lost["holder"], lost["fencing_token"]) == ("agent:bo", new["fencing_token"])
        assert lost["reclaimed_at"]
        if isinstance(ana, RestAgent):
            problem = await refusal(ana.heartbeat(old["lock_id"]))
            assert problem["code"] == "lease_lost"
            assert problem["holder"] == "agent:bo"
        for write in (
            ana.change("T-1", etag, old["fencing_token"], patch={"title": "Mine"}),
            ana.change("T-1", "*", old["fencing_token"], patch={"title": "Mine"}),
            ana.change("T-1", "*", new["fencing_token"], patch={"title": "Mine"}),
            ana.move("T-1", "review", old["fencing_token"]),
            ana.move("T-1", "review"),
        ):
            problem = await refusal(write)
            assert problem["code"] in {"write_fenced", "etag_mismatch"}
            if problem["code"] == "write_fenced":
                assert problem["holder"] == "agent:bo"
                assert problem["current"] == new["fencing_token"]
        await bo.change("T-1", "*", new["fencing_token"], patch={"title": "Bo's"})
    log = log_of(store_settings)
    fenced = [event for event in log if event["event"] == "write_fenced"]
    assert len(fenced) >= 4
    assert {event["details"]["writer"] for event in fenced} == {"agent:ana"}
    names = [event["event"] for event in log]
    assert names.count("lease_reclaimed") == 2, "the task's lease and that of its path"
    assert names.count("task_requeued") == 1


@pytest.mark.parametrize("door", ["rest", "mcp"])
async def test_a_lease_lives_at_its_boundary_and_never_rises_again(faces: Faces, door: str) -> None:
    async with AsyncExitStack() as stack:
        bo = await stack.enter_async_context(over_rest(faces.url, faces.key, "bo"))
        ana: Any = await stack.enter_async_context(
            over_rest(faces.url, faces.key, "ana")
            if door == "rest"
            else over_mcp(f"{faces.url}/mcp", faces.key, "ana")
        )
        await create(bo)
        lease = own_lease(await ana.claim(ttl_seconds=TTL_SECONDS))
        faces.clock.advance(TTL_SECONDS)
        assert (await refusal(bo.claim(task_id="T-1")))["code"] == "lease_held"
        assert (await ana.renew(lease["lock_id"]))["leases"]
        faces.clock.advance(TTL_SECONDS + 0.001)
        assert not (await ana.renew(lease["lock_id"]))["leases"], "nobody took it, still it is over"
        problem = await refusal(ana.move("T-1", "in_progress", lease["fencing_token"]))
        assert problem["code"] == "write_fenced"


async def test_a_stopped_process_that_wakes_up_cannot_write(tmp_path: Path) -> None:
    """Real time: a `kyros stdio` renews while it runs, loses its lease while it stands still."""
    settings = Settings(data_dir=tmp_path / "store")
    async with serving(settings) as server, AsyncExitStack() as stack:
        key = await agent_key(server, "bo")
        bo = await stack.enter_async_context(over_rest(server.url, key, "bo"))
        zombie = await stack.enter_async_context(over_stdio(settings, "ana", tmp_path))
        await create(bo)
        old = own_lease(await zombie.claim(ttl_seconds=TTL_SECONDS))
        new = await taken_over(zombie, bo)
        problem = await refusal(zombie.move("T-1", "in_progress", old["fencing_token"]))
        assert problem["code"] == "write_fenced"
        assert problem["holder"] == "agent:bo"
        (lost,) = (await zombie.renew(old["lock_id"]))["lost"]
        assert lost["holder"] == "agent:bo"
        await bo.move("T-1", "in_progress", new["fencing_token"])
    names = [event["event"] for event in log_of(settings)]
    assert names.count("lease_reclaimed") == 2, "the task's lease and that of its path"
    assert names.count("task_requeued") == 1
    assert names.count("write_fenced") == 1


async def taken_over(zombie: StdioAgent, other: RestAgent) -> dict[str, Any]:
    """The other's lease on the task, granted while the process stood still."""
    zombie.stop()
    try:
        async with asyncio.timeout(EXPIRY_SECONDS):
            claim = await other.claim(wait_seconds=EXPIRY_SECONDS / 2)
    finally:
        zombie.go_on()
    assert claim["claimed"]
    return own_lease(claim)
