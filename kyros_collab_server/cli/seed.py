"""`kyros seed`: the project's own backlog on the board."""

from kyros_collab_server.cli.backlog import backlog
from kyros_collab_server.cli.command import Call, command, single
from kyros_collab_server.cli.first_start import (
    has_no_store,
    ids_on_board,
    open_store,
    put_on_board,
    system_session,
)
from kyros_collab_server.cli.output import Column
from kyros_collab_server.cli.session import Session, open_session

app = single()
COLUMNS = [Column("id", "ID"), Column("outcome", "OUTCOME"), Column("title", "TITLE", shrinks=True)]


@command(app, "seed", writes=True)
async def seed(call: Call) -> None:
    """Put T-100 … T-105 and T-200 … T-204 on the board; those that are there stay as they are."""
    if call.settings.url:
        async with open_session(call.settings) as session:
            await _seed(call, session)
    elif call.dry_run and has_no_store(call.settings):
        _tell(call, {draft.id or "" for draft in backlog()})
    else:
        async with open_store(call.settings) as opened:
            await _seed(call, system_session(opened))


async def _seed(call: Call, session: Session) -> None:
    drafts = backlog()
    if call.dry_run:
        known = await ids_on_board(session)
        _tell(call, {draft.id or "" for draft in drafts if draft.id not in known})
    else:
        _tell(call, set(await put_on_board(session, drafts)))


def _tell(call: Call, created: set[str]) -> None:
    verb = "would be created" if call.dry_run else "created"
    rows = [
        {
            "id": draft.id,
            "outcome": verb if draft.id in created else "skipped",
            "title": draft.title,
        }
        for draft in backlog()
    ]
    call.output.items(rows, COLUMNS)
    call.output.hint(f"{len(created)} {verb}, {len(rows) - len(created)} skipped")
