"""`kyros import`: a whole board into an empty store, or state files into any."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kyros_collab_server.adapters.boards import Board, read_board
from kyros_collab_server.adapters.packages import holds_a_log, package_at
from kyros_collab_server.adapters.state_files import StateFiles, path_of, read_state_files
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
    source: Annotated[Path, typer.Argument(metavar="DIR|FILE", show_default=False)],
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out what cannot be brought in.")
    ] = False,
) -> None:
    """Make an empty store the board of a data directory or an export; else add its tasks.

    Into an empty store everything comes in: state, events with their hashes, messages; live leases
    get their whole TTL again. Into another, tasks that are queued and untouched; ids that are there
    stay as they are.
    """
    is_whole = not source.is_dir() or holds_a_log(source)
    if not source.exists() or not (is_whole or path_of(source, "tasks").is_file()):
        message = f"There is no {source}/state/tasks.json."
        raise Failure(Exit.NOT_FOUND, "not_found", message, "Name a data directory or an export.")
    if is_whole and not call.settings.url and await _import_whole(call, source):
        return
    if not source.is_dir():
        raise Failure(
            Exit.CONFLICT,
            "not_empty",
            "The store is not empty, so a whole board cannot be brought in.",
            "Name an empty one with --data-dir.",
        )
    state = read_state_files(source)
    if call.settings.url:
        async with open_session(call.settings) as session:
            await _import(call, session, state, leave_out)
        return
    if call.dry_run and has_no_store(call.settings):
        _tell(call, import_plan(state, frozenset(), leave_out=leave_out))
        return
    async with open_store(call.settings, fills=False) as opened:
        await _import(call, system_session(opened), state, leave_out)


async def _import_whole(call: Call, source: Path) -> bool:
    """True when the store is the board now, or was it; False when it holds another."""
    from kyros_collab_server.stores import restore_board, store_is_empty

    board = read_board(package_at(source))
    if call.dry_run:
        if not has_no_store(call.settings) and not await store_is_empty(call.settings):
            return False
        _tell_counts(call, board, "would be imported")
        return True
    if call.output.on_terminal and sys.stdin.isatty() and has_no_store(call.settings):
        call.output.hint(", ".join(f"{count} {kind}" for kind, count in board.counts.items()))
        call.confirm("Import?")
    outcome = await restore_board(call.settings, board)
    if outcome != "not empty":
        _tell_counts(call, board, "imported" if outcome == "restored" else outcome)
    return outcome != "not empty"


def _tell_counts(call: Call, board: Board, outcome: str) -> None:
    rows = [
        {"kind": kind, "count": count, "outcome": outcome} for kind, count in board.counts.items()
    ]
    columns = [Column("kind", "KIND"), Column("count", "COUNT"), Column("outcome", "OUTCOME")]
    call.output.items(rows, columns, ident="kind")
    call.output.hint(f"events 1 to {board.seq} {outcome}, the last with hash {board.hash}")


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
        call.output.hint("Left out entries come in with their events, into an empty store alone.")


def _counted(plan: ImportPlan, verb: str) -> str:
    return f"{len(plan.drafts)} {verb}, {len(plan.skipped)} skipped, {len(plan.left_out)} left out"
