"""Tasks over REST: cards, their moves, and claiming."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel

from http_api.endpoint import Endpoint
from http_api.reply import Answering
from http_api.request import Call
from kyros_collab_server.features.leases.errors import LeaseHeld, WriteFenced
from kyros_collab_server.features.leases.model import FencingToken
from kyros_collab_server.features.tasks import service
from kyros_collab_server.features.tasks.errors import DependencyCycle, GuardFailed, TaskExists
from kyros_collab_server.features.tasks.model import (
    ClaimTask,
    CreatedTasks,
    CreateTasks,
    Task,
    TaskDraft,
    TaskPage,
    TaskPatch,
    UpdateTask,
)
from kyros_collab_server.kernel.errors import (
    EtagMismatch,
    IfMatchRequired,
    NotFound,
)
from kyros_collab_server.kernel.paging import Page

MERGE_PATCH = ("application/json", "application/merge-patch+json")


class NewTasks(RootModel[TaskDraft | CreateTasks]):
    """One task, or several that are created all or none."""


class CreatedTask(BaseModel):
    """A task that was created."""

    model_config = ConfigDict(frozen=True)

    id: str
    etag: str
    task: Task


class CreatedTaskList(BaseModel):
    """The tasks that were created, in the order of their drafts."""

    model_config = ConfigDict(frozen=True)

    tasks: list[CreatedTask]


class TaskChanges(TaskPatch):
    """A merge patch of the task; beside it the lines to tick and the token of the live lease."""

    tick: Annotated[list[str], Field(max_length=50)] = Field(default=[])
    fencing_token: FencingToken | None = None


class Changed(BaseModel):
    """The change was made; `etag` names the new version."""

    model_config = ConfigDict(frozen=True)

    ok: bool = True
    etag: str


class ClaimBody(ClaimTask):
    """Claim a task: the one named, or the next ready one that fits."""

    wait_seconds: Annotated[
        float, Field(ge=0, le=30, description="Seconds to wait for work; 0 answers at once.")
    ] = 0


def _created(task: Task) -> CreatedTask:
    return CreatedTask(id=task.id, etag=task.etag, task=task)


def _changes(body: TaskChanges, elsewhere: Mapping[str, Any]) -> UpdateTask:
    named = body.model_fields_set - {"tick", "fencing_token"}
    patch = TaskPatch.model_construct(named, **{name: getattr(body, name) for name in named})
    return UpdateTask.model_validate(
        {**elsewhere, "patch": patch, "tick": body.tick, "fencing_token": body.fencing_token}
    )


class _Creation(Endpoint):
    """One draft or several in, one task or several out: the answer follows the question."""

    @cached_property
    def input_fields(self) -> tuple[str, ...]:
        return ("tasks", *TaskDraft.model_fields)

    async def answer_to(self, call: Call) -> Answering:
        sent = await self.input_of(call)
        many = "tasks" in sent
        if many:
            command = self.validated(CreateTasks, sent)
        else:
            command = CreateTasks(tasks=[self.validated(TaskDraft, sent)])
        answer = await call.face.kyros.answer(
            service.create, command, actor=call.principal, key=call.idempotency_key
        )
        made: CreatedTasks = answer.value
        created = [_created(task) for task in made.tasks]
        body = CreatedTaskList(tasks=created) if many else created[0]
        return self.reply(body, call, replayed=answer.replayed)


def _page(page: TaskPage) -> Page[Task]:
    return Page[Task](data=page.tasks, next_cursor=page.next_cursor, total=page.total)


ENDPOINTS = [
    _Creation(
        "POST",
        "/collab/tasks",
        service.create,
        "Create one task, or several all or none.",
        status=201,
        body=NewTasks,
        answer=CreatedTask | CreatedTaskList,
        errors=(TaskExists, DependencyCycle),
        tagged=True,
    ),
    Endpoint(
        "GET",
        "/collab/tasks",
        service.list_tasks,
        "List tasks in order of creation.",
        answer=Page[Task],
        shape=_page,
    ),
    Endpoint(
        "POST",
        "/collab/tasks/claim",
        service.claim,
        "Claim the task named, or the next ready one that fits.",
        body=ClaimBody,
        errors=(GuardFailed, LeaseHeld, NotFound),
        drops_nulls=True,
    ),
    Endpoint(
        "GET",
        "/collab/tasks/{task_id}",
        service.read_task,
        "Read a task.",
        errors=(NotFound,),
        tagged=True,
    ),
    Endpoint(
        "PATCH",
        "/collab/tasks/{task_id}",
        service.update,
        "Change a task's fields by a JSON Merge Patch.",
        body=TaskChanges,
        command=_changes,
        answer=Changed,
        shape=lambda task: Changed(etag=task.etag),
        errors=(NotFound, EtagMismatch, IfMatchRequired, WriteFenced, DependencyCycle),
        takes_if_match=True,
        tagged=True,
        body_types=MERGE_PATCH,
    ),
    Endpoint(
        "GET",
        "/collab/tasks/{task_id}/brief",
        service.read_held,
        "Read a task with everything that a fresh context needs to continue it.",
        errors=(NotFound,),
    ),
    Endpoint(
        "GET",
        "/collab/tasks/{task_id}/history",
        service.history,
        "Read a task's revisions, newest first, each with its changed fields before and after.",
        errors=(NotFound,),
    ),
    Endpoint(
        "GET",
        "/collab/tasks/{task_id}/late-results",
        service.late_results,
        "Read what agents that had lost the task handed in for it.",
        errors=(NotFound,),
    ),
    Endpoint(
        "GET",
        "/collab/tasks/{task_id}/why-waiting",
        service.why_waiting,
        "Say why a queued task was not given out yet.",
        errors=(NotFound,),
    ),
    Endpoint(
        "POST",
        "/collab/tasks/{task_id}/transition",
        service.transition,
        "Move a task to another column.",
        errors=(NotFound, GuardFailed, WriteFenced, EtagMismatch),
        takes_if_match=True,
        tagged=True,
    ),
    Endpoint("GET", "/collab/workflow", service.workflow, "Read the legal moves and their guards."),
]
