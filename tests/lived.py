"""A board that was lived in: something of everything that a projection must keep."""

from typing import Any

from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import ListAgents
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import AppendEvent, ReadAt
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import (
    ListWorkspaces,
    SettingsPatch,
    UpdateWorkspace,
)
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import LeaseMode, ListLeases
from kyros_collab_server.features.messages import service as messages
from kyros_collab_server.features.messages.model import ReadInbox, SendMessage
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import ListAllTasks, ReadHistory
from tests.callers import Caller, admin_of, agent_of, later
from tests.conftest import Board

NAMES = ("ana", "bob", "cy", "dan", "eve")
ODD = {"å": [1, 2.5, 1e21, None, True, {"\U0001f600": "x", "z": "a\nb"}], "n": -(2**53) + 1}
"""Details whose canonical spelling takes more than sorted keys."""


async def live(board: Board) -> None:
    """Tasks, leases, agents and messages of every kind stand on the board."""
    ana, bob, cy, dan, eve = [await agent_of(board, name) for name in NAMES]
    admin = await admin_of(board)
    await ana.create_all(
        {"id": "A", "title": "Bauen – 建てる", "priority": "P1", "definition_of_done": ["x", "y"]},
        {"id": "B", "depends_on": ["A"], "labels": ["später"], "skills": ["python"]},
        {"id": "C", "depends_on": ["B"], "resources": ["path:src/**"]},
        {"id": "D", "priority": "P0", "links": ["https://example.org/"]},
        {"id": "E"},
        {"id": "F", "depends_on": ["E"]},
        {},
        {},
    )
    await bob.register(role="critic", skills=["python", "c"])
    await _finish(ana, bob, "A")
    await _lose(board, dan, "D")
    later(board, 1)
    await cy.claim("E", resources=["path:docs/*.md"])
    back = await dan.hold("D")
    for to in ("in_progress", "review"):
        await dan.move("D", to, back)
    await bob.move("D", "in_progress", reason="not yet")
    shared = await ana.acquire("path:a/**", mode=LeaseMode.SHARED)
    await bob.acquire("path:a/b", mode=LeaseMode.SHARED)
    upgraded = await eve.acquire("machine", mode=LeaseMode.SHARED)
    await eve.acquire("machine", mode=LeaseMode.EXCLUSIVE)
    await eve.renew(upgraded[0].lock_id, 600)
    await ana.release(shared[0].lock_id)
    await _write(ana, bob, cy)
    await ana.call(events.append, AppendEvent(event="ci.odd", details=ODD, target="task:A"))
    await admin.set_agent("eve", paused=True)
    patch = SettingsPatch(max_attempts=7, ageing_seconds=900)
    await admin.call(identity.update_workspace, UpdateWorkspace(id="default", settings=patch))
    await ana.move("T-1", "cancelled")
    await cy.acquire("printer", ttl=5)
    later(board, 6)  # the printer's lease is stale, and nobody has met it yet


async def _finish(ana: Caller, bob: Caller, task_id: str) -> None:
    token = await ana.hold(task_id)
    await ana.move(task_id, "in_progress", token)
    await ana.update(await ana.task(task_id), tick=("d1", "d2"), token=token)
    await ana.move(task_id, "review", token, handoff="All of it.")
    for to in ("approved", "merging", "done"):
        await bob.move(task_id, to)


async def _lose(board: Board, dan: Caller, task_id: str) -> None:
    await dan.claim(task_id, ttl_seconds=10)
    await dan.say("half way", "progress", target=f"task:{task_id}")
    later(board, 11)
    await board.kyros.sweep()


async def _write(ana: Caller, bob: Caller, cy: Caller) -> None:
    first = (await ana.call(messages.send, SendMessage(to=["bob"], text="first"))).seq
    await ana.call(messages.send, SendMessage(to=["role:critic"], text="second\n\n- a line"))
    await bob.call(messages.acknowledge, ReadInbox(ack_through=first))
    await bob.say("to all", "note", to=["all"])
    await cy.call(messages.acknowledge, ReadInbox(ack_through=await cy.head()))


async def told(board: Board) -> dict[str, Any]:
    """All that callers can see of the board, but for what time alone changes."""
    callers = {name: await agent_of(board, name) for name in NAMES}
    ana = callers["ana"]
    held = (await ana.call(leases.list_leases, ListLeases())).data
    passing = {"expires_in_ms", "expires_at", "state", "heartbeat_at"}
    found = await ana.call(agents.list_agents, ListAgents())
    return {
        "tasks": await ana.call(tasks.list_all, ListAllTasks()),
        "history": await ana.call(tasks.history, ReadHistory(task_id="D", limit=100)),
        "at": await ana.call(tasks.tasks_at, ReadAt(at="20")),
        "leases": [lease.model_dump(exclude=passing) for lease in held],
        "agents": [agent.model_dump(exclude={"last_seen"}) for agent in found.data],
        "agents tags": found.etag.partition("-")[2],
        "inboxes": {
            name: await caller.call(messages.inbox, ReadInbox(limit=100))
            for name, caller in callers.items()
        },
        "events": await ana.log(),
        "workspaces": await (await admin_of(board)).call(
            identity.list_workspaces, ListWorkspaces()
        ),
    }
