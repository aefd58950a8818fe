"""The door: scopes, exactly once, waiting, retries, and the deployment's health."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from kyros_collab_server.application import CONFLICT_RETRIES
from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import RegisterAgent
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import AppendEvent, ReadEvents
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import CreateWorkspace
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import AcquireLease
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import (
    ClaimTask,
    CreateTasks,
    TaskDraft,
    TaskPatch,
    UpdateTask,
)
from kyros_collab_server.kernel.errors import StoreConflict
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Role, Scope
from kyros_collab_server.settings import Settings
from tests.callers import Caller, admin_of, agent_of, caller_of, later, refused
from tests.conftest import Board, TurnedClock
from tests.store.tables import rows

pytestmark = pytest.mark.anyio
BOUND = 20
DAY = 86_400


def named(title: str) -> CreateTasks:
    return CreateTasks(tasks=[TaskDraft(title=title)])


@pytest.fixture
async def ana(board: Board) -> Caller:
    return await agent_of(board, "ana")


async def test_a_success_is_replayed_for_its_key_and_done_once(board: Board, ana: Caller) -> None:
    first = await ana.answer(tasks.create, named("one"), "k")
    head = await ana.head()
    again = await ana.answer(tasks.create, named("one"), "k")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.value == first.value
    assert await ana.head() == head
    with refused("idempotency_conflict"):
        await ana.answer(tasks.create, named("two"), "k")
    assert not (await ana.answer(tasks.create, named("one"), "other")).replayed
    assert len(rows(board.opened.settings, "SELECT key FROM idempotency")) == 2


async def test_a_key_stands_for_one_principal_agent_operation_and_workspace(
    board: Board, ana: Caller
) -> None:
    boss = await admin_of(board, "boss")
    await boss.call(identity.create_workspace, CreateWorkspace(id="one"))
    board.kyros._admission.forget()
    key = await boss.make_key("keyed", role=Role.AGENT)
    callers = (
        ana,
        await agent_of(board, "ben"),
        await agent_of(board, "ana", workspace="one"),
        await caller_of(board, key.key, agent="keyed"),
    )
    command = named("one")
    for caller in callers:
        assert not (await caller.answer(tasks.create, command, "k")).replayed
    for caller in callers:
        assert (await caller.answer(tasks.create, command, "k")).replayed
    other = AcquireLease(resources=["r"])
    assert not (await ana.answer(leases.acquire, other, "k")).replayed


async def test_a_refusal_is_judged_afresh_under_the_same_key(board: Board, ana: Caller) -> None:
    ben = await agent_of(board, "ben")
    (lease,) = await ben.acquire("r")
    command = AcquireLease(resources=["r"])
    for _ in range(2):
        with refused("lease_held"):
            await ana.answer(leases.acquire, command, "k")
    await ben.release(lease.lock_id)
    granted = await ana.answer(leases.acquire, command, "k")
    assert not granted.replayed
    task = await ana.create("T-1")
    update = UpdateTask(task_id="T-1", patch=TaskPatch(title="new"))
    with refused("if_match_required"):
        await ana.answer(tasks.update, update, "u")
    with refused("etag_mismatch"):
        await ana.answer(tasks.update, update.model_copy(update={"if_match": '"9-x"'}), "u")
    done = await ana.answer(tasks.update, update.model_copy(update={"if_match": task.etag}), "u")
    assert (done.replayed, done.value.title) == (False, "new")
    await ana.hold("T-1")
    head = await ben.head()
    for _ in range(2):
        with refused("write_fenced"):
            await ben.answer(tasks.update, update.model_copy(update={"if_match": "*"}), "u")
    events_after = await ben.log(after=head)
    assert [event.event for event in events_after] == ["write_fenced", "write_fenced"]


async def test_null_and_absent_fields_are_different_calls(ana: Caller) -> None:
    task = await ana.create("T-1", description="x", labels=["y"])
    patches = (TaskPatch(description=None), TaskPatch(labels=None), TaskPatch())
    commands = [UpdateTask(task_id="T-1", patch=patch, if_match=task.etag) for patch in patches]
    await ana.answer(tasks.update, commands[0], "k")
    for command in commands[1:]:
        with refused("idempotency_conflict"):
            await ana.answer(tasks.update, command, "k")
    assert (await ana.answer(tasks.update, commands[0], "k")).replayed


async def test_a_replay_ends_after_24_hours_and_the_duty_prunes_it(
    board: Board, ana: Caller
) -> None:
    await ana.answer(tasks.create, named("one"), "k")
    later(board, DAY - 0.001)
    assert (await ana.answer(tasks.create, named("one"), "k")).replayed
    await board.kyros.prune()
    assert rows(board.opened.settings, "SELECT key FROM idempotency") == [("k",)]
    later(board, 0.001)
    fresh = await ana.answer(tasks.create, named("another"), "k")
    assert not fresh.replayed
    later(board, DAY)
    await board.kyros.prune()
    assert rows(board.opened.settings, "SELECT key FROM idempotency") == []


async def test_a_replay_outlives_a_restart(store_settings: Settings, clock: TurnedClock) -> None:
    answers = []
    for _ in range(2):
        async with open_kyros(store_settings, duties=False, clock=clock) as opened:
            ana = await agent_of(Board(opened, clock), "ana")
            answers.append(await ana.answer(tasks.create, named("one"), "k"))
    assert [answer.replayed for answer in answers] == [False, True]
    assert answers[0].value == answers[1].value


async def test_many_calls_with_one_key_do_it_once(ana: Caller) -> None:
    await ana.head()
    answers = await asyncio.gather(
        *(ana.answer(tasks.create, named("one"), "k") for _ in range(20))
    )
    assert sum(not answer.replayed for answer in answers) == 1
    assert {answer.value.tasks[0].id for answer in answers} == {"T-1"}


async def test_a_second_call_is_told_that_the_first_is_still_waiting(ana: Caller) -> None:
    await ana.head()
    waiting = asyncio.create_task(ana.call(tasks.claim, ClaimTask(wait_seconds=BOUND), "k"))
    await asyncio.sleep(0)
    with refused("in_progress", retry_after_seconds=1):
        await ana.call(tasks.claim, ClaimTask(wait_seconds=1), "k")
    await ana.create("T-1")
    assert (await asyncio.wait_for(waiting, BOUND)).claimed
    assert (await ana.answer(tasks.claim, ClaimTask(wait_seconds=1), "k")).replayed


async def test_scopes_are_checked_before_anything_is_touched(board: Board) -> None:
    boss = await admin_of(board, "boss")
    made = await boss.make_key("viewer", role=Role.VIEWER)
    viewer = await caller_of(board, made.key)
    head = await boss.head()
    for op, command in (
        (tasks.create, named("x")),
        (leases.acquire, AcquireLease(resources=["r"])),
        (events.append, AppendEvent(event="note")),
        (agents.register, RegisterAgent()),
        (identity.create_workspace, CreateWorkspace(id="two")),
    ):
        with refused("insufficient_scope") as refusal:
            await viewer.call(op, command)
        assert set(refusal.facts["scopes_needed"]) == {scope.value for scope in op.scopes}
    assert await boss.head() == head
    with refused("insufficient_scope"):
        nobody = Caller(board.kyros, board.kyros.local_caller(agent="x"))
        await nobody.call(identity.create_workspace, CreateWorkspace(id="two"))


async def test_a_conflict_of_the_store_is_tried_again_a_few_times(ana: Caller) -> None:
    tries: list[int] = []

    def clash(times: int) -> Any:
        @operation(Scope.TASKS_WRITE)
        def attempt(_work: Any, _command: RegisterAgent) -> int:
            tries.append(1)
            if len(tries) <= times:
                raise StoreConflict
            return len(tries)

        return attempt

    assert await ana.call(clash(CONFLICT_RETRIES), RegisterAgent()) == CONFLICT_RETRIES + 1
    tries.clear()
    with refused("store_unavailable"):
        await ana.call(clash(99), RegisterAgent())
    assert len(tries) == CONFLICT_RETRIES + 1


async def test_a_refused_operation_still_counts_as_being_seen(board: Board, ana: Caller) -> None:
    with refused("not_found"):
        await ana.task("nope")
    ben = await agent_of(board, "ben")
    assert (await ben.agent("ana")).name == "ana"


async def test_a_person_without_an_agent_is_nobodys_agent(board: Board) -> None:
    ana = await agent_of(board, "ana")
    person = Caller(board.kyros, replace(ana.principal, agent=None, user="u1"))
    task = await person.create("T-1")
    assert task.created_by == "user:u1"
    assert await person.log("agent_registered") == []
    assert (await person.acquire("r"))[0].holder == "user:u1"


async def test_health_names_each_check_with_its_time(board: Board) -> None:
    health = await board.kyros.health()
    names = [check.name for check in health.checks]
    assert names[:2] == ["database", "migrations"]
    assert ("disk" in names) == (not board.opened.settings.database_url)
    assert health.ok
    assert all(check.ms >= 0 for check in health.checks)


async def test_a_waiting_read_is_woken_by_its_own_process(board: Board, ana: Caller) -> None:
    ben = await agent_of(board, "ben")
    start = await ben.head()
    command = ReadEvents(after=start, types=["note"], wait_seconds=BOUND)
    waiting = [asyncio.create_task(ben.call(events.read, command)) for _ in range(5)]
    await asyncio.sleep(0)
    seq = await ana.say("hello")
    batches = await asyncio.wait_for(asyncio.gather(*waiting), BOUND)
    assert {batch.items[0].seq for batch in batches} == {seq}


async def test_the_duties_run_by_themselves_on_a_served_store(
    store_settings: Settings, clock: TurnedClock
) -> None:
    async with open_kyros(store_settings, duties=True, clock=clock) as opened:
        board = Board(opened, clock)
        ana, ben = await agent_of(board, "ana"), await agent_of(board, "ben")
        await ana.create("T-1")
        await ana.hold("T-1", ttl_seconds=5)
        start = await ben.head()
        clock.advance(5.001)
        command = ReadEvents(after=start, types=["task_requeued"], wait_seconds=BOUND)
        batch = await asyncio.wait_for(ben.call(events.read, command), BOUND)
        assert [event.actor for event in batch.items] == ["system"]
