"""Reading: pages with filters, the whole list with its tag, the board at a glance, the table."""

from typing import Any

import pytest

from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import CreateWorkspace
from kyros_collab_server.features.messages import service as messages
from kyros_collab_server.features.messages.model import SendMessage
from kyros_collab_server.features.tasks import rules
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import (
    Board as Shown,
)
from kyros_collab_server.features.tasks.model import (
    ListAllTasks,
    ListTasks,
    ReadWorkflow,
    ShowBoard,
    TaskPage,
    TaskStatus,
)
from tests.callers import Caller, admin_of, agent_of, later, refused
from tests.conftest import Board

pytestmark = pytest.mark.anyio


async def page(caller: Caller, **fields: Any) -> TaskPage:
    found: TaskPage = await caller.call(tasks.list_tasks, ListTasks(**fields))
    return found


async def test_pages_follow_each_other_in_order_of_creation(board: Board, ana: Caller) -> None:
    await ana.create_all(*({"id": f"x{number}"} for number in (5, 1, 4, 2, 3)))
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        found = await page(ana, limit=2, cursor=cursor)
        assert found.total == 5
        seen += [task.id for task in found.tasks]
        cursor = found.next_cursor
        await ana.update(found.tasks[0], labels=["moved"])
    assert (seen, cursor) == (["x5", "x1", "x4", "x2", "x3"], None)
    first = (await page(ana, limit=2)).next_cursor
    boss = await admin_of(board)
    await boss.call(identity.create_workspace, CreateWorkspace(id="elsewhere"))
    far = await agent_of(board, "ana", workspace="elsewhere")
    for who, forged in ((ana, "x" + (first or "")), (ana, "e30"), (far, first), (ana, "\x00")):
        with refused("invalid_field", field="cursor"):
            await page(who, cursor=forged)


async def test_lists_are_filtered_alike_on_both_engines(ana: Caller, ben: Caller) -> None:
    await ana.create("T-1", title="Fix the Parser", labels=["UI", "a%b"])
    await ana.create("T-2", title="50% faster_now", labels=["ui", "b"])
    await ana.create("T-3", title="ÄRGER mit Straße", labels=["a"])
    await ben.hold("T-2")
    for fields, ids in (
        ({}, ["T-1", "T-2", "T-3"]),
        ({"status": ["queued"]}, ["T-1", "T-3"]),
        ({"status": ["claimed", "done"]}, ["T-2"]),
        ({"status": []}, []),
        ({"label": "UI"}, ["T-1"]),
        ({"label": "ui"}, ["T-2"]),
        ({"label": "b"}, ["T-2"]),
        ({"label": "a%b"}, ["T-1"]),
        ({"label": "a_b"}, []),
        ({"query": "parser"}, ["T-1"]),
        ({"query": "50%"}, ["T-2"]),
        ({"query": "r_n"}, ["T-2"]),
        ({"query": "ärger"}, ["T-3"]),
        ({"query": "t-3"}, ["T-3"]),
        ({"query": "~"}, []),
        ({"mine": True}, []),
    ):
        found = await page(ana, **fields)
        assert ([task.id for task in found.tasks], found.total) == (ids, len(ids)), fields
    assert [task.id for task in (await page(ben, mine=True)).tasks] == ["T-2"]


async def test_the_tag_of_all_tasks_changes_with_any_of_them(board: Board, ana: Caller) -> None:
    task = await ana.create("T-1")
    tags = []

    async def tag() -> str:
        listed = await ana.call(tasks.list_all, ListAllTasks())
        assert listed.etag == await board.kyros.kind_etag("tasks", actor=ana.principal)
        return str(listed.etag)

    tags.append(await tag())
    assert await tag() == tags[-1]
    await ana.say("an event changes no task")
    assert await tag() == tags[-1]
    with refused("not_found"):
        await ana.create("T-3", depends_on=["nope"])
    assert await tag() == tags[-1]
    for change in (ana.update(task, labels=["x"]), ana.create("T-2"), ana.claim("T-1")):
        await change
        tags.append(await tag())
    assert len(set(tags)) == 4


async def test_the_board_shows_columns_what_needs_attention_and_who_one_is(
    board: Board, ana: Caller, ben: Caller
) -> None:
    await ana.create_all(*({} for _ in range(14)))
    await ana.create("blocked", depends_on=["T-1"], priority="P0")
    token = await ben.hold("T-2", ttl_seconds=5)
    await ana.call(messages.send, SendMessage(to=["ben"], text="hello"))
    shown: Shown = await ben.call(tasks.board, ShowBoard())
    assert shown.me is not None
    assert (shown.me.actor, shown.me.workspace, shown.me.unread) == ("agent:ben", "default", 1)
    assert [(one.task_id, one.fencing_token) for one in shown.me.holding] == [("T-2", token)]
    columns = {column.status: column for column in shown.columns or []}
    assert list(columns) == list(TaskStatus)
    assert (columns[TaskStatus.QUEUED].count, len(columns[TaskStatus.QUEUED].cards)) == (14, 12)
    assert columns[TaskStatus.CLAIMED].cards[0].assignee == "agent:ben"
    unchanged: Shown = await ben.call(tasks.board, ShowBoard(if_none_match=shown.etag))
    assert (unchanged.unchanged, unchanged.etag, unchanged.columns) == (True, shown.etag, None)
    for _ in range(3):
        later(board, 6)
        await board.kyros.sweep()
        await ben.claim("T-2", ttl_seconds=5)
        later(board, 6)
    shown = await ana.call(tasks.board, ShowBoard(if_none_match=shown.etag))
    assert not shown.unchanged
    assert [(one.kind, one.target[:5]) for one in shown.attention or []] == [
        ("stale_lease", "lease")
    ]
    await board.kyros.sweep()
    shown = await ana.call(tasks.board, ShowBoard())
    assert [(one.kind, one.target) for one in shown.attention or []] == [
        ("needs_attention", "task:T-2")
    ]


async def test_the_table_of_moves_is_served_as_the_data_that_decides(ana: Caller) -> None:
    table = await ana.call(tasks.workflow, ReadWorkflow())
    moves = {(move.from_status, move.to_status): tuple(move.guards) for move in table.moves}
    assert moves == rules.MOVES
    assert table.statuses == list(TaskStatus)
