"""`kyros import`: state files into the store."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kyros_collab_server.adapters.state_files import StateFiles, read_state_files
from kyros_collab_server.cli.command import Call, command, single
from kyros_collab_server.cli.failures import Exit, Failure
from kyros_collab_server.cli.first_start import (
    ImportPlan,
    has_no_store,
    ids_on_board,
    import_plan,
    open_store,
    put_on_board,
    system_session,
)
from kyros_collab_server.cli.output import Column
from kyros_collab_server.cli.session import Session, open_session

app = single()


@command(app, "import", writes=True)
async def import_(
    call: Call,
    directory: Annotated[Path, typer.Argument(metavar="DIR", show_default=False)],
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out what this version cannot bring in.")
    ] = False,
) -> None:
    """Bring the tasks of DIR/state into the store; ids that are there stay as they are.

    This version imports tasks that are queued and untouched. Events, leases, agents and tasks
    being worked on follow with the full import.
    """
    if not (directory / "state" / "tasks.json").is_file():
        message = f"There is no {directory}/state/tasks.json."
        raise Failure(Exit.NOT_FOUND, "not_found", message, "Name a data directory.")
    state = read_state_files(directory)
    if call.settings.url:
        async with open_session(call.settings) as session:
            await _import(call, session, state, leave_out)
        return
    if call.dry_run and has_no_store(call.settings):
        _tell(call, import_plan(state, frozenset(), leave_out=leave_out))
        return
    async with open_store(call.settings, fills=False) as opened:
        await _import(call, system_session(opened), state, leave_out)


async def _import(call: Call, session: Session, state: StateFiles, leave_out: bool) -> None:
    plan = import_plan(state, await ids_on_board(session), leave_out=leave_out)
    if not call.dry_run:
        if plan.drafts and call.output.on_terminal and sys.stdin.isatty():
            call.output.hint(_counted(plan, "would be created"))
            call.confirm("Import?")
        await put_on_board(session, plan.drafts)
    _tell(call, plan)


def _tell(call: Call, plan: ImportPlan) -> None:
    verb = "would be created" if call.dry_run else "created"
    outcomes = [
        *((draft.id, verb) for draft in plan.drafts),
        *((one, "skipped") for one in plan.skipped),
        *((one, "left out") for one in plan.left_out),
    ]
    rows = [{"id": one, "outcome": outcome} for one, outcome in outcomes]
    columns = [Column("id", "ID"), Column("outcome", "OUTCOME")]
    call.output.items(rows, columns)
    call.output.hint(_counted(plan, verb))
    if plan.left_out:
        call.output.hint("Left out entries follow with the full import of a later version.")


def _counted(plan: ImportPlan, verb: str) -> str:
    return f"{len(plan.drafts)} {verb}, {len(plan.skipped)} skipped, {len(plan.left_out)} left out"
