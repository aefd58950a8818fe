"""Completion: what an argument of a prompt or a template may be, from the caller's workspace."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    PromptReference,
)

from kyros_collab_server.application import Kyros
from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import ListAgents
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import ListTasks, Task, TaskStatus
from kyros_collab_server.kernel.errors import KyrosError
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.mcp_face.caller import CALLER
from kyros_collab_server.mcp_face.prompts import Prompts
from kyros_collab_server.mcp_face.reading import Reading
from kyros_collab_server.mcp_face.tool_errors import protocol_error
from kyros_collab_server.mcp_face.wording import visible

MAX_VALUES = 100
MAX_PREFIX = 200
PAGES = 5
"""Pages of tasks that one completion looks at, of 100 each."""


class Completions:
    """Answers `completion/complete`: values that begin with what was typed, at most 100."""

    def __init__(self, kyros: Kyros, prompts: Prompts, reading: Reading) -> None:
        self._kyros = kyros
        self._prompts = prompts
        self._reading = reading
        self._sources: dict[str, Callable[[Principal, str], Awaitable[Iterable[str]]]] = {
            "task_id": self._task_ids,
            "id": self._task_ids,
            "status": self._statuses,
            "role": self._roles,
            "label": self._labels,
            "agent": self._agents,
        }

    async def complete(
        self, message: ServerRequestContext[Any, Any], params: CompleteRequestParams
    ) -> CompleteResult:
        """The values; none for an argument that takes free text."""
        reference, typed = params.ref, params.argument.value[:MAX_PREFIX]
        known = (
            self._prompts.find(reference.name) is not None
            if isinstance(reference, PromptReference)
            else self._reading.has_template(reference.uri)
        )
        if not known:
            raise MCPError(INVALID_PARAMS, "Unknown prompt or template")
        source = self._sources.get(params.argument.name)
        principal = CALLER.get().principal
        try:
            found = sorted(set(await source(principal, typed))) if source is not None else []
        except KyrosError as refusal:
            raise protocol_error(refusal, principal.request_id) from None
        values = [visible(value) for value in found[:MAX_VALUES]]
        more = len(found) > MAX_VALUES
        return CompleteResult(completion=Completion(values=values, total=len(found), has_more=more))

    async def _tasks(self, actor: Principal, query: str | None = None) -> list[Task]:
        found: list[Task] = []
        cursor: str | None = None
        for _ in range(PAGES):
            wanted = ListTasks(limit=100, query=query or None, cursor=cursor)
            page = await self._kyros.perform(tasks.list_tasks, wanted, actor=actor)
            found += page.tasks
            if (cursor := page.next_cursor) is None:
                break
        return found

    async def _task_ids(self, actor: Principal, typed: str) -> Iterable[str]:
        known = await self._tasks(actor, typed)
        return _beginning((task.id for task in known), typed)

    async def _statuses(self, actor: Principal, typed: str) -> Iterable[str]:
        before, comma, last = typed.rpartition(",")
        return (
            f"{before}{comma}{status}"
            for status in _beginning((status.value for status in TaskStatus), last)
        )

    async def _roles(self, actor: Principal, typed: str) -> Iterable[str]:
        known = await self._kyros.perform(agents.list_agents, ListAgents(), actor=actor)
        of_tasks = {task.role for task in await self._tasks(actor)}
        roles = of_tasks | {agent.role for agent in known.data}
        return _beginning((role for role in roles if role is not None), typed)

    async def _labels(self, actor: Principal, typed: str) -> Iterable[str]:
        labels = {label for task in await self._tasks(actor) for label in task.labels}
        return _beginning(labels, typed)

    async def _agents(self, actor: Principal, typed: str) -> Iterable[str]:
        known = await self._kyros.perform(agents.list_agents, ListAgents(), actor=actor)
        return _beginning((agent.name for agent in known.data), typed)


def _beginning(values: Iterable[str], typed: str) -> list[str]:
    """The values that begin with what was typed, upper or lower case."""
    start = typed.casefold()
    return [value for value in values if value.casefold().startswith(start)]
