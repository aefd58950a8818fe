"""Opens the store; a first start that finds state files brings them in."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from kyros_collab_server.adapters.boards import Board, read_board
from kyros_collab_server.adapters.packages import Directory, holds_a_log
from kyros_collab_server.adapters.state_files import (
    StateFiles,
    draft_of,
    in_order_of_dependence,
    read_state_files,
)
from kyros_collab_server.bootstrap import Opened, open_kyros
from kyros_collab_server.cli.failures import Exit, Failure
from kyros_collab_server.cli.session import LocalSession, Session
from kyros_collab_server.features.identity.model import DEFAULT_WORKSPACE
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.features.tasks.model import (
    CreateTasks,
    ListAllTasks,
    Task,
    TaskDraft,
    TaskStatus,
)
from kyros_collab_server.kernel.ids import new_request_id
from kyros_collab_server.kernel.principal import Principal, Scope
from kyros_collab_server.settings import Settings

BATCH = 50
ATTEMPTS = 3


@dataclass(frozen=True)
class ImportPlan:
    """What an import will make, what is there already, and what this version cannot bring in."""

    drafts: list[TaskDraft]
    skipped: list[str]
    left_out: list[str]


def system_session(opened: Opened) -> Session:
    """A session on the local store that the log shows as `system`."""
    workspace = opened.settings.workspace or DEFAULT_WORKSPACE
    system = Principal(
        id="system",
        scopes=frozenset(Scope),
        workspace=workspace,
        face="cli",
        request_id=new_request_id(),
    )
    return LocalSession(opened.kyros, system)


@asynccontextmanager
async def open_store(
    settings: Settings, *, seed_from: Path | None = None, fills: bool = True, duties: bool = False
) -> AsyncIterator[Opened]:
    """Yield the open store; with `fills`, a new one is filled from a projection or state files.

    Raises:
        StateFileBroken: a file is bad; no store is made.
        Failure: the state files hold what only a whole projection can bring in; no store is made.
    """
    source = seed_from or settings.data_dir
    plan, restores = None, None
    if fills and holds_a_log(source):
        restores = _reading(source, at_once=has_no_store(settings))
    elif fills and has_no_store(settings):
        plan = import_plan(read_state_files(source), frozenset())
    async with open_kyros(settings, duties=duties, restores=restores) as opened:
        if fills and opened.first_start and plan is None and restores is None:
            plan = import_plan(read_state_files(source), frozenset())
        if plan is not None and plan.drafts:
            await put_on_board(system_session(opened), plan.drafts)
        yield opened


def _reading(source: Path, *, at_once: bool) -> Callable[[], Board]:
    """Gives the board of a projection; read now where a bad one must not leave a store behind."""
    if at_once:
        board = read_board(Directory(source))
        return lambda: board
    return lambda: read_board(Directory(source))


def has_no_store(settings: Settings) -> bool:
    """True when opening these settings would make a new SQLite store."""
    return not settings.database_url and not settings.sqlite_path.exists()


async def ids_on_board(session: Session) -> frozenset[str]:
    """The ids of all tasks of the workspace."""
    board = await session.perform(tasks.list_all, ListAllTasks())
    return frozenset(task.id for task in board.data)


def import_plan(state: StateFiles, known: frozenset[str], *, leave_out: bool = False) -> ImportPlan:
    """What brings the state files in beside the tasks that are known.

    Raises:
        Failure: a dependency is nowhere, or an entry cannot be brought in and is not to be left
            out.
    """
    left_out = _unsupported(state, known)
    if left_out and not leave_out:
        raise _cannot_bring_in(left_out, state.directory)
    wanted = [
        task for task in state.tasks if task.id not in known and f"task:{task.id}" not in left_out
    ]
    _check_dependencies(state.directory, wanted, known)
    return ImportPlan(
        drafts=[draft_of(task) for task in in_order_of_dependence(tuple(wanted))],
        skipped=[task.id for task in state.tasks if task.id in known],
        left_out=left_out,
    )


async def put_on_board(session: Session, drafts: Sequence[TaskDraft]) -> list[str]:
    """Every draft's id is on the board; returns those that were not there before."""
    created: list[str] = []
    for _ in range(ATTEMPTS):
        known = await ids_on_board(session)
        missing = [draft for draft in drafts if draft.id not in known]
        try:
            for batch in _batches(missing):
                made = await session.perform(tasks.create, CreateTasks(tasks=batch))
                created += [task.id for task in made.tasks]
        except Failure as failure:
            if failure.code != "already_exists":  # another process brings the same files in
                raise
        else:
            break
    return created


def _batches(drafts: list[TaskDraft]) -> Iterator[list[TaskDraft]]:
    for start in range(0, len(drafts), BATCH):
        yield drafts[start : start + BATCH]


def _is_untouched(task: Task) -> bool:
    return (
        task.status is TaskStatus.QUEUED
        and task.assignee is None
        and task.lock_id is None
        and not (task.attempts or task.needs_attention or task.handoff)
    )


def _unsupported(state: StateFiles, known: frozenset[str]) -> list[str]:
    """What only the import of a whole projection into an empty store brings in."""
    worked_on = [task for task in state.tasks if not _is_untouched(task) and task.id not in known]
    return [
        *(f"task:{task.id}" for task in worked_on),
        *(f"lease:{lease.lock_id}" for lease in state.leases),
        *(f"agent:{agent.name}" for agent in state.agents),
    ]


def _cannot_bring_in(left_out: list[str], directory: Path) -> Failure:
    named = ", ".join(left_out[:5]) + (", …" if len(left_out) > 5 else "")
    return Failure(
        Exit.INVALID,
        "not_available",
        f"{directory} holds {len(left_out)} entries that cannot be brought in: {named}. "
        "Without events, or into a store that is not empty, only queued and untouched tasks can.",
        f"kyros import {directory} --leave-out imports the rest.",
    )


def _check_dependencies(directory: Path, wanted: list[Task], known: frozenset[str]) -> None:
    there = known.union(task.id for task in wanted)
    for task in wanted:
        if lost := [one for one in task.depends_on if one not in there]:
            raise Failure(
                Exit.INVALID,
                "invalid_field",
                f"{directory}/state/tasks.json entry {task.id} depends_on: {lost[0]} is neither "
                "in the file nor on the board.",
                "Add the task, or drop the dependency.",
            )
