"""`kyros workspace`: isolated boards and their settings."""

from typing import Annotated, Any

import typer

from kyros_collab_server.cli import looks
from kyros_collab_server.cli.command import Call, built, command, group
from kyros_collab_server.cli.conflicts import explained
from kyros_collab_server.cli.failures import Exit, Failure, usage
from kyros_collab_server.cli.output import Column
from kyros_collab_server.cli.session import Session, open_session
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import (
    CreateWorkspace,
    ListWorkspaces,
    SettingsPatch,
    UpdateWorkspace,
    Workspace,
    WorkspaceSettings,
)

app = group("Workspaces: isolated boards.")

COLUMNS = [
    Column("id", "WORKSPACE"),
    Column("settings", "SETTINGS", shrinks=True),
    Column("created_at", "CREATED", looks.since),
]
Name = Annotated[str, typer.Argument(metavar="WORKSPACE", show_default=False)]
Review = Annotated[
    bool | None,
    typer.Option("--independent-review/--self-review", help="Who may approve a task."),
]
Attempts = Annotated[
    int | None, typer.Option("--max-attempts", help="Reclaims before a person must look.")
]
Ageing = Annotated[
    int | None, typer.Option("--ageing-seconds", help="Waiting that raises a priority by one.")
]


def _row(workspace: Workspace) -> dict[str, Any]:
    return workspace.model_dump(mode="json")


@command(app, "new", writes=True)
async def new(
    call: Call,
    name: Name,
    review: Review = None,
    max_attempts: Attempts = None,
    ageing_seconds: Ageing = None,
) -> None:
    """Open a new, empty board."""
    chosen = built(
        WorkspaceSettings,
        independent_review=review,
        max_attempts=max_attempts,
        ageing_seconds=ageing_seconds,
    )
    asked = built(CreateWorkspace, id=name, settings=chosen)
    if call.dry_run:
        call.output.changed(f"opened {name}", asked.model_dump(mode="json"), dry_run=True)
        return
    async with open_session(call.settings, creates=True) as session:
        made = await session.perform(identity.create_workspace, asked)
    call.output.changed(f"opened {name}", _row(made))


@command(app, "list")
async def list_workspaces(call: Call) -> None:
    """List the boards that you may enter."""
    async with open_session(call.settings) as session:
        found = (await session.perform(identity.list_workspaces, ListWorkspaces())).data
    call.output.items(
        [_row(one) for one in found], COLUMNS, footer=looks.counted(len(found), "workspace")
    )


@command(app, "set", writes=True)
async def set_(
    call: Call,
    name: Name,
    review: Review = None,
    max_attempts: Attempts = None,
    ageing_seconds: Ageing = None,
    if_match: Annotated[str | None, typer.Option("--if-match")] = None,
) -> None:
    """Change a board's settings."""
    patch = built(
        SettingsPatch,
        independent_review=review,
        max_attempts=max_attempts,
        ageing_seconds=ageing_seconds,
    )
    if not patch.model_fields_set:
        raise usage("Nothing to change.", "kyros workspace set --help lists the settings.")
    async with open_session(call.settings) as session:
        before = await _one(session, name)
        if call.dry_run:
            call.output.changed(f"changed {name}", _row(before), dry_run=True)
            return
        etag = if_match or before.etag
        asked = built(UpdateWorkspace, id=name, settings=patch, if_match=etag)
        async with explained(session, call.output, f"workspace:{name}"):
            after = await session.perform(identity.update_workspace, asked)
    undo = _way_back(before, patch.model_dump(exclude_none=True))
    call.output.changed(f"changed {name}", _row(after), undo=undo)


async def _one(session: Session, name: str) -> Workspace:
    known = (await session.perform(identity.list_workspaces, ListWorkspaces())).data
    for workspace in known:
        if workspace.id == name:
            return workspace
    raise Failure(Exit.NOT_FOUND, "not_found", "No such workspace.", "kyros workspace list")


def _way_back(before: Workspace, changed: dict[str, Any]) -> str:
    words = ["kyros workspace set", before.id]
    for field in changed:
        old = getattr(before.settings, field)
        if field == "independent_review":
            words.append("--independent-review" if old else "--self-review")
        else:
            words += [f"--{field.replace('_', '-')}", str(old)]
    return " ".join(words)
