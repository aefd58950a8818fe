"""`kyros task`: the cards of the board, read, made and edited."""

import shlex
import sys
from typing import Annotated, Any

import typer

from kyros_collab_server.cli import looks, task_moves
from kyros_collab_server.cli.command import Call, built, command, group
from kyros_collab_server.cli.conflicts import explained
from kyros_collab_server.cli.failures import not_yet, usage
from kyros_collab_server.cli.output import Column
from kyros_collab_server.cli.session import actor_of, open_session
from kyros_collab_server.cli.task_moves import IfMatch, TaskArgument, Token, row_of, token_for
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import (
    CreateTasks,
    ListAllTasks,
    Priority,
    ReadTask,
    Task,
    TaskDraft,
    TaskPatch,
    TaskStatus,
    UpdateTask,
)

app = group("The board: tasks and their moves.")

COLUMNS = [
    Column("id", "ID"),
    Column("status", "STATUS", looks.status),
    Column("priority", "PRI", looks.priority),
    Column("title", "TITLE", shrinks=True),
    Column("assignee", "ASSIGNEE"),
    Column("depends_on", "DEPENDS ON"),
    Column("updated_at", "UPDATED", looks.since),
]
Many = list[str]
Title = Annotated[str | None, typer.Option("--title", help="One line, 200 characters at most.")]
Description = Annotated[
    str | None, typer.Option("--description", "-d", help="Markdown; - reads standard input.")
]
Urgency = Annotated[Priority | None, typer.Option("--priority", "-p", help="P0 goes first.")]
Labels = Annotated[Many | None, typer.Option("--label", help="Repeat for more.")]
RoleOption = Annotated[str | None, typer.Option("--role", help="Role that may claim it.")]
Skills = Annotated[Many | None, typer.Option("--skill", help="Repeat for more.")]
DependsOn = Annotated[Many | None, typer.Option("--depends-on", help="Task id; repeat for more.")]
Resources = Annotated[
    Many | None, typer.Option("--resource", help="Leased together with it; repeat for more.")
]
DoneWhen = Annotated[
    Many | None, typer.Option("--done-when", help="A line of the definition of done; repeat.")
]


@command(app, "list")
async def list_tasks(
    call: Call,
    status: Annotated[list[TaskStatus] | None, typer.Option("--status", help="Repeat.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Assigned to you.")] = False,
    label: Annotated[str | None, typer.Option("--label")] = None,
    query: Annotated[str | None, typer.Option("--query", help="Text in id or title.")] = None,
    board: Annotated[bool, typer.Option("--board", help="Group by column.")] = False,
) -> None:
    """List the tasks of the board."""
    async with open_session(call.settings) as session:
        found = (await session.perform(tasks.list_all, ListAllTasks())).data
        me = await actor_of(session) if mine else None
    words = (query or "").casefold()
    shown = [
        task
        for task in found
        if (not status or task.status in status)
        and (me is None or task.assignee == me)
        and (label is None or label in task.labels)
        and words in f"{task.id} {task.title}".casefold()
    ]
    if board:
        order = list(TaskStatus)
        shown.sort(key=lambda task: order.index(task.status))
    at_risk = sum(task.needs_attention for task in shown)
    footer = looks.counted(len(shown), "task") + (f", {at_risk} at risk" if at_risk else "")
    call.output.items([row_of(task) for task in shown], COLUMNS, footer=footer)


@command(app, "show")
async def show(call: Call, task: TaskArgument) -> None:
    """Show one task in full."""
    async with open_session(call.settings) as session:
        found = await session.perform(tasks.read_task, built(ReadTask, task_id=task))
    call.output.record(row_of(found), _in_full(found))


@command(app, "new", writes=True)
async def new(
    call: Call,
    title: Annotated[str, typer.Argument(show_default=False)],
    id_: Annotated[str | None, typer.Option("--id", help="Absent: the next T-<n>.")] = None,
    description: Description = None,
    priority: Urgency = None,
    label: Labels = None,
    role: RoleOption = None,
    skill: Skills = None,
    depends_on: DependsOn = None,
    resource: Resources = None,
    done_when: DoneWhen = None,
) -> None:
    """Put a new task on the board."""
    draft = built(
        TaskDraft,
        title=title,
        id=id_,
        description=_text(description),
        priority=priority,
        labels=label or None,
        role=role,
        skills=skill or None,
        depends_on=depends_on or None,
        resources=resource or None,
        definition_of_done=done_when or None,
    )
    if call.dry_run:
        row = draft.model_dump(mode="json")
        call.output.changed(f"created {id_ or 'a task'} {title!r}", row, dry_run=True)
        return
    async with open_session(call.settings, creates=True) as session:
        made = (await session.perform(tasks.create, CreateTasks(tasks=[draft]))).tasks[0]
    undo = f"kyros task move {made.id} cancelled"
    call.output.changed(f"created {made.id} {made.title!r}", row_of(made), undo=undo)


@command(app, "edit", writes=True)
async def edit(
    call: Call,
    task: TaskArgument,
    title: Title = None,
    description: Description = None,
    priority: Urgency = None,
    label: Labels = None,
    role: RoleOption = None,
    skill: Skills = None,
    depends_on: DependsOn = None,
    resource: Resources = None,
    done_when: DoneWhen = None,
    handoff: Annotated[str | None, typer.Option("--handoff", help="Markdown.")] = None,
    tick: Annotated[Many | None, typer.Option("--tick", help="Done item; repeat.")] = None,
    clear: Annotated[Many | None, typer.Option("--clear", help="Field to empty; repeat.")] = None,
    cleared_attention: Annotated[
        bool, typer.Option("--attention-cleared", help="Hand it out again.")
    ] = False,
    if_match: IfMatch = None,
    fencing_token: Token = None,
) -> None:
    """Change fields of a task; a list given replaces the old one."""
    given: dict[str, Any] = {
        "title": title,
        "description": _text(description),
        "priority": priority,
        "labels": label or None,
        "role": role,
        "skills": skill or None,
        "depends_on": depends_on or None,
        "resources": resource or None,
        "definition_of_done": done_when or None,
        "handoff": _text(handoff),
        "needs_attention": False if cleared_attention else None,
    }
    fields = {name: value for name, value in given.items() if value is not None}
    patch = built(TaskPatch, **fields).model_copy(update=dict.fromkeys(_clearable(clear)))
    if not patch.model_fields_set and not tick:
        raise usage("Nothing to change.", "kyros task edit --help lists the fields.")
    async with open_session(call.settings) as session:
        before = await session.perform(tasks.read_task, built(ReadTask, task_id=task))
        update = UpdateTask(
            task_id=task,
            if_match=if_match or before.etag,
            patch=patch,
            tick=tick or [],
            fencing_token=fencing_token or await token_for(session, before),
        )
        if call.dry_run:
            named = ", ".join(
                [*sorted(patch.model_fields_set), *(f"✓ {one}" for one in tick or [])]
            )
            call.output.changed(f"changed {task}: {named}", row_of(before), dry_run=True)
            return
        async with explained(session, call.output, f"task:{task}"):
            after = await session.perform(tasks.update, update)
    named = ", ".join(_differing(before, after)) or "nothing"
    call.output.changed(f"changed {task}: {named}", row_of(after), undo=_way_back(before, after))


@command(app, "history")
async def history(_call: Call, task: TaskArgument) -> None:
    """Show a task's revisions (not available yet)."""
    hint = f"kyros events tail --target task:{task} --since 0 --no-follow"
    raise not_yet("kyros task history", hint)


@command(app, "graph")
async def graph(_call: Call) -> None:
    """Draw the dependencies (not available yet)."""
    raise not_yet("kyros task graph", "kyros task list --fields id,depends_on")


task_moves.add_to(app)


def _text(value: str | None) -> str | None:
    return sys.stdin.read() if value == "-" else value


def _clearable(names: Many | None) -> list[str]:
    wanted = [name.replace("-", "_") for name in names or []]
    for name in wanted:
        if name not in TaskPatch.model_fields:
            raise usage(
                f"There is no field {name}.", "fields: " + ", ".join(TaskPatch.model_fields)
            )
    return wanted


def _differing(before: Task, after: Task) -> list[str]:
    old, new = row_of(before), row_of(after)
    unsaid = {"version", "etag", "updated_at"}
    return [name for name in new if old[name] != new[name] and name not in unsaid]


_FLAGS = {"labels": "--label", "skills": "--skill", "resources": "--resource"}


def _way_back(before: Task, after: Task) -> str:
    """The command that restores the fields; empty when a flag cannot say them."""
    words = ["kyros", "task", "edit", after.id, "--if-match", after.etag]
    old = row_of(before)
    for name in _differing(before, after):
        if name in ("definition_of_done", "needs_attention", "links"):
            return ""
        value, flag = old[name], _FLAGS.get(name, "--" + name.replace("_", "-"))
        if value in (None, [], ""):
            words += ["--clear", name]
        else:
            for one in value if isinstance(value, list) else [value]:
                words += [flag, str(one)]
    return shlex.join(words) if len(words) > 6 else ""


def _in_full(task: Task) -> str:
    lines = [f"{task.id}  {task.title}", f"status    {task.status}", f"priority  {task.priority}"]
    optional = {
        "assignee": task.assignee,
        "role": task.role,
        "skills": ", ".join(task.skills),
        "labels": ", ".join(task.labels),
        "depends": ", ".join(task.depends_on),
        "resources": ", ".join(task.resources),
        "lease": task.lock_id,
        "attempts": str(task.attempts) if task.attempts else "",
    }
    lines += [f"{name:<9} {value}" for name, value in optional.items() if value]
    if task.needs_attention:
        lines.append("needs attention: kyros task edit --attention-cleared hands it out again")
    lines += [f"etag      {task.etag}", f"updated   {task.updated_at}"]
    for title, text in (("", task.description), ("Handoff", task.handoff)):
        if text:
            lines += ["", *([title] if title else []), *text.splitlines()]
    if task.definition_of_done:
        lines += ["", "Definition of done"]
        lines += [f"  [{'x' if i.done else ' '}] {i.id}: {i.text}" for i in task.definition_of_done]
    return "\n".join(lines)
