"""Resources: what may be read by URI, each through the same operations as the tools."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import ListAgents
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import Seq, Summarise
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.leases.model import ListLeases
from kyros_collab_server.features.messages import service as messages
from kyros_collab_server.features.messages.model import ReadInbox
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import (
    ListTasks,
    ReadHeldTask,
    ReadHistory,
    ReadTask,
    ReadWorkflow,
    ShowBoard,
)
from kyros_collab_server.kernel.operation import Operation
from kyros_collab_server.kernel.principal import Scope
from kyros_collab_server.mcp_face import arguments
from kyros_collab_server.mcp_face.catalog import agents as agent_views
from kyros_collab_server.mcp_face.catalog import leases as lease_views
from kyros_collab_server.mcp_face.catalog.board import board_answer
from kyros_collab_server.mcp_face.catalog.events import WaitCall, wait
from kyros_collab_server.mcp_face.catalog.messages import inbox_reply
from kyros_collab_server.mcp_face.catalog.task_views import ROW, revision_answer, task_answer
from kyros_collab_server.mcp_face.toolbox import Call
from kyros_collab_server.mcp_face.wording import MAX_TEXT, fields, visible

Variables = dict[str, str]
Read = Callable[[Call, Variables], Awaitable[str | bytes]]


@dataclass(frozen=True)
class ResourceSpec:
    """A resource or a template: its URI, its words, and how it is read."""

    uri: str
    name: str
    description: str
    read: Read
    operations: tuple[Operation[Any, Any], ...]
    mime_type: str = "application/json"
    probe: Callable[[Call, Variables], Awaitable[object]] | None = None
    """Refused when what the URI names is not there; None: it always is."""
    is_listed: bool = True
    ttl_ms: int = 0
    """How long any reader may keep it; 0: it is the caller's, and of this moment."""

    @cached_property
    def scopes(self) -> frozenset[Scope]:
        """All that its operations need."""
        return frozenset().union(*(op.scopes for op in self.operations))

    @property
    def is_template(self) -> bool:
        """True when the URI has variables."""
        return "{" in self.uri


def compact(value: Any) -> str:
    """JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def command_from(model: type[BaseModel], given: dict[str, Any]) -> Any:
    """The command that a URI's variables make.

    Raises:
        Invalid: a variable breaks its rule.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise arguments.refusal_of(error, model) from None


async def read_board(call: Call, variables: Variables) -> str:  # noqa: ARG001
    """The board as JSON."""
    board = await call.perform(tasks.board, ShowBoard())
    return compact(board_answer(board, made_up=call.caller.name_is_made_up))


async def read_workflow(call: Call, variables: Variables) -> str:  # noqa: ARG001
    """The transition table as JSON."""
    workflow = await call.perform(tasks.workflow, ReadWorkflow())
    return compact(workflow.model_dump(mode="json"))


async def read_tasks(call: Call, variables: Variables) -> str:
    """A page of tasks as JSON."""
    given: dict[str, Any] = dict(variables)
    if status := given.pop("status", None):
        given["status"] = status.split(",")
    page = await call.perform(tasks.list_tasks, command_from(ListTasks, given))
    shown: dict[str, Any] = {
        "tasks": [task_answer(task, ROW) for task in page.tasks],
        "total": page.total,
    }
    if page.next_cursor is not None:
        shown["next_cursor"] = page.next_cursor
    return compact(shown)


async def probe_task(call: Call, variables: Variables) -> object:
    """The task that the URI names is there."""
    task_id = variables.get("id") or variables.get("task_id")
    return await call.perform(tasks.read_task, command_from(ReadTask, {"task_id": task_id}))


async def read_task(call: Call, variables: Variables) -> str:
    """One task as JSON."""
    command = command_from(ReadTask, {"task_id": variables["id"]})
    return compact(task_answer(await call.perform(tasks.read_task, command)))


async def read_history(call: Call, variables: Variables) -> str:
    """A task's revisions as JSON, newest first."""
    given: dict[str, Any] = dict(variables)
    command = command_from(ReadHistory, {"task_id": given.pop("id"), **given})
    page = await call.perform(tasks.history, command)
    shown: dict[str, Any] = {"revisions": [revision_answer(one) for one in page.data]}
    if page.next_cursor is not None:
        shown["next_cursor"] = page.next_cursor
    return compact(shown)


async def read_brief(call: Call, variables: Variables) -> str:
    """A task's brief as Markdown."""
    command = command_from(ReadHeldTask, {"task_id": variables["task_id"]})
    return visible((await call.perform(tasks.read_held, command)).brief)


async def read_events(call: Call, variables: Variables) -> str:
    """A page of the log as JSON."""
    reply = await wait(call, command_from(WaitCall, dict(variables)))
    return compact(reply.structured)


class LogVariables(BaseModel):
    """Which part of the log: after one seq, before another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: Seq | None = None
    before: Seq | None = None


async def read_log(call: Call, variables: Variables) -> str:
    """What happened as Markdown, each statement with the seqs that it tells of."""
    part: LogVariables = command_from(LogVariables, dict(variables))
    command = Summarise(
        begin=None if part.after is None else str(part.after + 1),
        end=None if part.before is None else str(max(part.before - 1, 0)),
    )
    told = await call.perform(events.summary, command)
    text = visible(told.markdown)
    if len(text) > MAX_TEXT:
        whole = text[: MAX_TEXT - 200].rpartition("\n")[0]
        text = f"{whole}\n\n… more: kyros://log?after=<seq>&before=<seq> for a part"
    return text


async def read_leases(call: Call, variables: Variables) -> str:  # noqa: ARG001
    """The held leases as JSON."""
    held = await call.perform(leases.list_leases, ListLeases())
    return compact({"leases": [fields(one, only=lease_views.SHOWN) for one in held.data]})


async def read_agents(call: Call, variables: Variables) -> str:  # noqa: ARG001
    """The known agents as JSON."""
    known = await call.perform(agents.list_agents, ListAgents())
    return compact({"agents": [fields(one, only=agent_views.SHOWN) for one in known.data]})


async def read_inbox(call: Call, variables: Variables) -> str:  # noqa: ARG001
    """The caller's unread messages as JSON."""
    inbox = await call.perform(messages.inbox, ReadInbox())
    return compact(inbox_reply(inbox).structured)


RESOURCES = (
    ResourceSpec("kyros://board", "board", "The board at a glance.", read_board, (tasks.board,)),
    ResourceSpec(
        "kyros://workflow",
        "workflow",
        "The columns and the moves between them, with their guards.",
        read_workflow,
        (tasks.workflow,),
    ),
    ResourceSpec("kyros://tasks", "tasks", "The first tasks.", read_tasks, (tasks.list_tasks,)),
    ResourceSpec(
        "kyros://tasks{?status,cursor,limit}",
        "tasks_page",
        "Tasks by status (several separated by commas), a page at a time.",
        read_tasks,
        (tasks.list_tasks,),
    ),
    ResourceSpec(
        "kyros://tasks/{id}",
        "task",
        "One task, whole.",
        read_task,
        (tasks.read_task,),
        probe=probe_task,
    ),
    ResourceSpec(
        "kyros://tasks/{id}/history",
        "task_history",
        "The newest revisions of a task: who changed which field, when, from what to what.",
        read_history,
        (tasks.history,),
        probe=probe_task,
    ),
    ResourceSpec(
        "kyros://tasks/{id}/history{?cursor,limit}",
        "task_history_page",
        "A task's revisions, a page at a time, newest first.",
        read_history,
        (tasks.history,),
        probe=probe_task,
    ),
    ResourceSpec(
        "kyros://briefs/{task_id}",
        "brief",
        "What a fresh context needs to go on with a task.",
        read_brief,
        (tasks.read_held,),
        "text/markdown",
        probe=probe_task,
    ),
    ResourceSpec("kyros://events", "events", "The newest events.", read_events, (events.read,)),
    ResourceSpec(
        "kyros://events{?after,limit}",
        "events_page",
        "Events after a cursor.",
        read_events,
        (events.read,),
    ),
    ResourceSpec(
        "kyros://log",
        "log",
        "What happened, in words, with the seqs of the log that say so.",
        read_log,
        (events.summary,),
        "text/markdown",
    ),
    ResourceSpec(
        "kyros://log{?after,before}",
        "log_part",
        "What happened between two seqs, in words.",
        read_log,
        (events.summary,),
        "text/markdown",
    ),
    ResourceSpec("kyros://leases", "leases", "Who holds what.", read_leases, (leases.list_leases,)),
    ResourceSpec("kyros://agents", "agents", "Who works here.", read_agents, (agents.list_agents,)),
    ResourceSpec("kyros://inbox", "inbox", "Your unread messages.", read_inbox, (messages.inbox,)),
)
