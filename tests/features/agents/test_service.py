"""Agents: known at first use under one principal, seen at every call, changed by themselves."""

import pytest

from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import ListAgents
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import RevokeKey
from kyros_collab_server.kernel.principal import Role
from tests.callers import Caller, caller_of, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def test_an_agent_is_registered_by_its_first_call(ana: Caller, boss: Caller) -> None:
    with refused("not_found", thing="agent"):
        await boss.agent("ana")
    await ana.head()
    agent = await boss.agent("ana")
    assert (agent.name, agent.status, agent.role, agent.version) == ("ana", "available", None, 1)
    (event,) = await boss.log("agent_registered", target="agent:ana")
    assert event.actor == "agent:ana"
    assert event.details["etag"] == agent.etag
    await ana.register()
    assert await boss.agent("ana") == agent


async def test_registering_is_idempotent_and_tells_what_changed(board: Board, ana: Caller) -> None:
    first = await ana.register(role="dev", skills=["py"])
    again = await ana.register(role="dev", skills=["py"])
    assert again == first
    changed = await ana.register(role="qa")
    assert (changed.role, changed.skills, changed.version) == ("qa", ["py"], first.version + 1)
    events = await ana.log("agent_status_changed")
    assert events[-1].details["changes"] == {"role": {"before": "dev", "after": "qa"}}
    assert events[-1].details["etag"] == changed.etag
    listed = await ana.call(agents.list_agents, ListAgents(skill="py"))
    assert [agent.name for agent in listed.data] == ["ana"]
    assert (await ana.call(agents.list_agents, ListAgents(skill="sql"))).data == []
    assert (await ana.call(agents.list_agents, ListAgents(status="offline"))).data == []
    assert listed.etag == await board.kyros.kind_etag("agents", actor=ana.principal)


async def test_being_seen_is_written_every_five_seconds_and_changes_no_tag(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.head()
    first = await ben.agent("ana")
    later(board, 4.999)
    await ana.head()
    assert (await ben.agent("ana")).last_seen == first.last_seen
    later(board, 0.001)
    await ana.head()
    seen = await ben.agent("ana")
    assert seen.last_seen > first.last_seen
    assert (seen.etag, seen.version) == (first.etag, first.version)


async def test_a_name_belongs_to_one_principal_while_its_key_lives(
    board: Board, boss: Caller
) -> None:
    one = await boss.make_key("one", role=Role.AGENT)
    two = await boss.make_key("two", role=Role.AGENT)
    mine = await caller_of(board, one.key, agent="worker")
    other = await caller_of(board, two.key, agent="worker")
    (lease,) = await mine.acquire("r", ttl=3_600)
    head = await boss.head()
    for call in (other.head(), other.create(), other.release(lease.lock_id)):
        with refused("agent_name_taken", agent="worker"):
            await call
    assert await boss.head() == head
    await boss.call(identity.revoke_key, RevokeKey(id=one.id))
    later(board, 5)
    await other.head()
    assert len(await boss.log("agent_registered", target="agent:worker")) == 1
    with refused("agent_name_taken"):
        await mine.head()


async def test_an_expired_keys_names_are_free_and_the_local_users_never(
    board: Board, boss: Caller, ana: Caller
) -> None:
    one = await boss.make_key("one", expires_in_seconds=60)
    two = await boss.make_key("two")
    await (await caller_of(board, one.key, agent="worker")).head()
    later(board, 60)
    await (await caller_of(board, two.key, agent="worker")).head()
    await ana.head()
    with refused("agent_name_taken", agent="ana"):
        await (await caller_of(board, two.key, agent="ana")).head()


async def test_an_agent_that_an_operator_entered_is_free_for_its_own_key(
    board: Board, boss: Caller
) -> None:
    entered = await boss.register(name="worker", role="dev")
    assert (entered.name, entered.role) == ("worker", "dev")
    key = await boss.make_key("worker")
    worker = await caller_of(board, key.key)
    await worker.head()
    assert (await boss.agent("worker")).role == "dev"
    other = await caller_of(board, (await boss.make_key("other")).key, agent="worker")
    with refused("agent_name_taken"):
        await other.head()


async def test_only_an_operator_changes_another_agent(
    ana: Caller, ben: Caller, boss: Caller
) -> None:
    await ana.register(role="dev", skills=["py"])
    with refused("insufficient_scope", scopes_needed=["operate"]):
        await ben.set_agent("ana", role="qa")
    with refused("insufficient_scope"):
        await ben.register(name="ana")
    with refused("not_found", thing="agent"):
        await boss.set_agent("nobody", role="qa")
    paused = await boss.set_agent("ana", paused=True)
    assert (paused.paused, paused.status) == (True, "paused")
    with refused("etag_mismatch", etag=paused.etag) as refusal:
        await ana.set_agent("ana", role="ops", if_match='"1-x"')
    assert refusal.facts["diff"] == {"role": {"before": "dev", "after": "ops"}}
    freed = await ana.set_agent("ana", paused=False, role=None, skills=None, if_match=paused.etag)
    assert (freed.paused, freed.status, freed.role, freed.skills) == (False, "available", None, [])
    head = await boss.head()
    assert await boss.set_agent("ana", paused=None) == freed
    assert await boss.head() == head


async def test_another_client_of_an_agent_gives_it_another_tag(board: Board, boss: Caller) -> None:
    """The client is public: a tag changes exactly when a public field does."""

    def through(client: str) -> Caller:
        return Caller(board.kyros, board.kyros.local_caller(agent="ana", client=client))

    await through("one").head()
    before = await boss.agent("ana")
    later(board, 6)
    await through("two").head()
    after = await boss.agent("ana")
    assert (before.client, after.client) == ("one", "two")
    assert after.etag != before.etag
    later(board, 6)
    await through("two").head()
    assert (await boss.agent("ana")).etag == after.etag
