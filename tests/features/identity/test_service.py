"""Keys and workspaces: what a key may, when it ends, and where its secret is not."""

import pytest
from pydantic import ValidationError

from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import ReadAgent
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import (
    CreateKey,
    CreateWorkspace,
    ListKeys,
    ListWorkspaces,
    RevokeKey,
    SettingsPatch,
    UpdateWorkspace,
    WhoAmI,
    WorkspaceSettings,
)
from kyros_collab_server.kernel.principal import Role, Scope
from tests.callers import Caller, caller_of, later, refused
from tests.conftest import Board
from tests.store.tables import raw_connection

pytestmark = pytest.mark.anyio


async def open_workspace(boss: Caller, name: str) -> None:
    await boss.call(identity.create_workspace, CreateWorkspace(id=name))
    boss.kyros._admission.forget()


async def test_a_key_acts_as_the_agent_of_its_name_with_its_roles_scopes(
    board: Board, boss: Caller
) -> None:
    made = await boss.make_key("dora", role=Role.VIEWER)
    dora = await caller_of(board, made.key)
    me = await dora.call(identity.whoami, WhoAmI())
    assert (me.agent, me.actor, me.principal) == ("dora", "agent:dora", f"key:{made.id}")
    assert set(me.scopes) == {Scope.TASKS_READ, Scope.JOBS_READ, Scope.USAGE_READ}
    with refused("insufficient_scope", scopes_needed=["tasks:write"]):
        await dora.create()
    with refused("insufficient_scope", scopes_needed=["leases:write", "tasks:write"]):
        await dora.claim()
    named = await boss.make_key("runner", agent="dan")
    assert (await caller_of(board, named.key)).principal.agent == "dan"
    assert (await caller_of(board, named.key, agent="eve")).principal.agent == "eve"
    with refused("invalid_field", field="agent"):
        await caller_of(board, named.key, agent="not a name")


async def test_a_key_never_exceeds_its_maker(board: Board, boss: Caller) -> None:
    await open_workspace(boss, "one")
    await open_workspace(boss, "two")
    weak = await caller_of(
        board,
        (
            await boss.make_key("weak", scopes=[Scope.ADMIN, Scope.TASKS_READ], workspaces=["one"])
        ).key,
    )
    with refused("insufficient_scope"):
        await weak.make_key("strong", role=Role.ADMIN)
    with refused("invalid_field", field="workspaces"):
        await weak.make_key("wide", scopes=[Scope.TASKS_READ], workspaces=["two"])
    made = await weak.make_key("same", scopes=[Scope.TASKS_READ])
    assert made.workspaces == ["one"]
    with refused("not_found", thing="workspace"):
        await boss.make_key("nowhere", workspaces=["nope"])
    with refused("not_found", thing="workspace"):
        await weak.call(identity.create_workspace, CreateWorkspace(id="three"))


async def test_a_revoked_or_expired_key_opens_nothing_and_does_not_say_why(
    board: Board, boss: Caller
) -> None:
    made = await boss.make_key("temp", expires_in_seconds=60)
    other = await boss.make_key("other")
    await caller_of(board, made.key)
    later(board, 59.999)
    await caller_of(board, made.key)
    later(board, 0.001)
    expired = await _refusal_of(board, made.key)
    await caller_of(board, other.key)
    revoked = await boss.call(identity.revoke_key, RevokeKey(id=other.id))
    assert revoked.revoked_at
    said = [expired, await _refusal_of(board, other.key)]
    forged = ("", "x", "ky_x_y", other.key[:-1], other.key + "x", "ky_\x00_y", "ky_\ud800_y")
    said += [await _refusal_of(board, token) for token in forged]
    assert len(set(said)) == 1
    head = await boss.head()
    again = await boss.call(identity.revoke_key, RevokeKey(id=other.id))
    assert again == revoked
    assert await boss.head() == head
    with refused("not_found", thing="key"):
        await boss.call(identity.revoke_key, RevokeKey(id="nope"))


async def _refusal_of(board: Board, token: str) -> str:
    with refused("unauthenticated") as refusal:
        await caller_of(board, token)
    assert refusal.error is not None
    return f"{refusal.error.detail} {refusal.error.fix} {refusal.facts}"


async def test_a_revoked_key_fails_at_once_though_it_was_just_used(
    board: Board, boss: Caller
) -> None:
    made = await boss.make_key("temp")
    await caller_of(board, made.key)
    await boss.call(identity.revoke_key, RevokeKey(id=made.id))
    with refused("unauthenticated"):
        await caller_of(board, made.key)


async def test_a_secret_is_shown_once_and_is_nowhere_in_the_store(
    board: Board, boss: Caller
) -> None:
    first = await boss.answer(identity.create_key, CreateKey(name="canary"), "k")
    again = await boss.answer(identity.create_key, CreateKey(name="canary"), "k")
    assert first.value.key.startswith("ky_")
    assert (again.replayed, again.value.key, again.value.id) == (True, "", first.value.id)
    listed = await boss.call(identity.list_keys, ListKeys())
    assert first.value.id in [key.id for key in listed.data]
    assert not hasattr(listed.data[0], "key")
    secret = first.value.key.split("_", 2)[2]
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    if not board.opened.settings.database_url:
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
    with raw_connection(board.opened.settings) as raw:
        for (table,) in raw.execute(tables).fetchall():
            for row in raw.execute(f'SELECT * FROM "{table}"').fetchall():
                assert secret not in str(row), table
    (event,) = await boss.log("key_created", target=f"key:{first.value.id}")
    assert secret not in str(event)


async def test_the_last_use_of_a_key_is_known_to_the_minute(board: Board, boss: Caller) -> None:
    made = await boss.make_key("used")

    async def last_used() -> str | None:
        keys = (await boss.call(identity.list_keys, ListKeys())).data
        used: str | None = next(key.last_used_at for key in keys if key.id == made.id)
        return used

    assert await last_used() is None
    await caller_of(board, made.key)
    first = await last_used()
    assert first is not None
    later(board, 59)
    await caller_of(board, made.key)
    assert await last_used() == first
    later(board, 1)
    await caller_of(board, made.key)
    assert await last_used() != first


async def test_keys_are_listed_and_revoked_only_by_who_may_enter_their_workspaces(
    board: Board, boss: Caller
) -> None:
    await open_workspace(boss, "one")
    wide = await boss.make_key("wide")
    bound = await caller_of(
        board, (await boss.make_key("bound", role=Role.ADMIN, workspaces=["one"])).key
    )
    listed = (await bound.call(identity.list_keys, ListKeys())).data
    assert [key.name for key in listed] == ["bound"]
    with refused("not_found", thing="key"):
        await bound.call(identity.revoke_key, RevokeKey(id=wide.id))


async def test_a_workspace_is_a_wall(board: Board, ana: Caller, boss: Caller) -> None:
    """Another workspace's ids answer exactly as unknown ones do."""
    await open_workspace(boss, "one")
    key = (await boss.make_key("far", role=Role.OPERATOR, workspaces=["one"])).key
    far = await caller_of(board, key)
    assert far.principal.workspace == "one"
    task = await ana.create("T-1")
    (lease,) = await ana.acquire("r")
    await ana.say("secret", target="task:T-1")
    calls = (
        lambda one: far.task(one["task"]),
        lambda one: far.claim(one["task"]),
        lambda one: far.move(one["task"], "cancelled"),
        lambda one: far.create("mine", depends_on=[one["task"]]),
        lambda one: far.lease(one["lease"]),
        lambda one: far.renew(one["lease"]),
        lambda one: far.release(one["lease"]),
        lambda one: far.call(agents.read_agent, ReadAgent(name=one["agent"])),
        lambda one: caller_of(board, key, workspace=one["workspace"]),
    )
    foreign = {"task": task.id, "lease": lease.lock_id, "agent": "ana", "workspace": "default"}
    unknown = {"task": "T-9", "lease": "lk_" + "0" * 16, "agent": "nobody", "workspace": "nope"}
    for call in calls:
        said = []
        for ids in (foreign, unknown):
            with refused("not_found") as refusal:
                await call(ids)
            said.append((str(refusal.error), refusal.facts))
        assert said[0] == said[1]
    assert (await far.reclaim(lease.lock_id)).kept[0].reason == "not_found"
    assert {event.workspace for event in await far.log()} == {"one"}
    assert (await far.create("T-1")).id == "T-1"
    assert await far.acquire("r")
    assert (await ana.task("T-1")) == task
    assert (await ana.lease(lease.lock_id)).state == "active"


async def test_each_workspace_counts_its_own_events_from_one(board: Board, boss: Caller) -> None:
    await open_workspace(boss, "one")
    far = await caller_of(board, board.opened.credentials.token, workspace="one", agent="x")
    await far.say("first")
    assert [event.seq for event in await far.log()] == [1, 2]
    assert (await far.log())[0].prev_hash == "0" * 64


async def test_workspaces_are_made_and_tuned_by_an_admin(ana: Caller, boss: Caller) -> None:
    made = await boss.call(
        identity.create_workspace,
        CreateWorkspace(id="one", settings=WorkspaceSettings(max_attempts=1)),
    )
    with refused("already_exists"):
        await boss.call(identity.create_workspace, CreateWorkspace(id="one"))
    with refused("insufficient_scope"):
        await ana.call(identity.create_workspace, CreateWorkspace(id="two"))
    patch = SettingsPatch(ageing_seconds=60)
    with refused("etag_mismatch", etag=made.etag):
        await boss.call(
            identity.update_workspace, UpdateWorkspace(id="one", settings=patch, if_match='"9-x"')
        )
    changed = await boss.call(
        identity.update_workspace,
        UpdateWorkspace(id="one", settings=patch, if_match=made.etag),
    )
    assert changed.settings == WorkspaceSettings(max_attempts=1, ageing_seconds=60)
    assert (changed.version, changed.etag != made.etag) == (2, True)
    same = await boss.call(identity.update_workspace, UpdateWorkspace(id="one", settings=patch))
    assert same == changed
    with refused("not_found", thing="workspace"):
        await boss.call(identity.update_workspace, UpdateWorkspace(id="nope", settings=patch))
    listed = await ana.call(identity.list_workspaces, ListWorkspaces())
    assert [one.id for one in listed.data] == ["default", "one"]
    (event,) = await boss.log("workspace_updated")
    assert event.details["changes"] == {"ageing_seconds": {"before": 600, "after": 60}}


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "workspaces": []},
        {"name": "x", "workspaces": ["*"]},
        {"name": "x", "expires_in_seconds": 59},
        {"name": "x", "expires_in_seconds": -1},
        {"name": "x", "key": "ky_mine"},
    ],
)
def test_a_key_beyond_its_bounds_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CreateKey.model_validate(fields)


async def test_a_use_that_is_written_late_brings_no_revoked_key_back(
    board: Board, boss: Caller
) -> None:
    made = await boss.make_key("dora")
    store = board.kyros._store
    known = await store.read(boss.principal, lambda work: work.keys.get(made.id))
    await boss.call(identity.revoke_key, RevokeKey(id=made.id))
    await store.write(boss.principal, lambda work: work.keys.save_use(known))
    later(board, 0)
    with refused("unauthenticated"):
        await caller_of(board, made.key)


async def test_a_name_that_goes_over_to_another_key_brings_no_leases_along(
    board: Board, boss: Caller
) -> None:
    first, second = await boss.make_key("alice"), await boss.make_key("mallory")
    alice = await caller_of(board, first.key)
    (lease,) = await alice.acquire("a")
    await boss.call(identity.revoke_key, RevokeKey(id=first.id))
    later(board, 1)
    heir = await caller_of(board, second.key, agent="alice")
    (fresh,) = await heir.acquire("a")
    assert fresh.lock_id != lease.lock_id
    assert (await boss.lease(lease.lock_id)).state == "reclaimed"
