"""`kyros key`: what agents, clients and channels call with."""

from typing import Annotated, Any

import typer

from kyros_collab_server.cli import looks
from kyros_collab_server.cli.command import Call, built, command, group
from kyros_collab_server.cli.failures import Exit, Failure
from kyros_collab_server.cli.output import Column
from kyros_collab_server.cli.session import open_session
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import CreateKey, Key, ListKeys, RevokeKey
from kyros_collab_server.kernel.principal import Role, Scope

app = group("API keys: shown once, scoped, bound to workspaces, revocable.")

COLUMNS = [
    Column("id", "KEY"),
    Column("name", "NAME"),
    Column("agent", "AGENT"),
    Column("scopes", "SCOPES", shrinks=True),
    Column("workspaces", "WORKSPACES"),
    Column("last_used_at", "USED", looks.since),
    Column("expires_at", "EXPIRES", looks.since),
    Column("revoked_at", "REVOKED", looks.since),
]


def _row(key: Key) -> dict[str, Any]:
    return key.model_dump(mode="json")


@command(app, "new", writes=True, own_agent=True)
async def new(
    call: Call,
    name: Annotated[str, typer.Argument(show_default=False)],
    role: Annotated[Role | None, typer.Option("--role", help="Absent: agent.")] = None,
    scope: Annotated[list[Scope] | None, typer.Option("--scope", help="Repeat.")] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Agent it acts as; absent: its name.")
    ] = None,
    bound_to: Annotated[
        list[str] | None, typer.Option("--bound-to", help="Workspace; repeat. Absent: yours.")
    ] = None,
    expires_in: Annotated[int | None, typer.Option("--expires-in", help="Seconds.")] = None,
) -> None:
    """Make a key; its secret is printed this once."""
    if role is None and not scope:
        role = Role.AGENT
    asked = built(
        CreateKey,
        name=name,
        agent=agent,
        role=role,
        scopes=scope or None,
        workspaces=bound_to or None,
        expires_in_seconds=expires_in,
    )
    if call.dry_run:
        row = asked.model_dump(mode="json", exclude_none=True)
        call.output.changed(f"made the key {name}", row, ident="name", dry_run=True)
        return
    async with open_session(call.settings, creates=True) as session:
        made = await session.perform(identity.create_key, asked)
    call.output.changed(
        f"made the key {made.id} {name}  {made.key}", _row(made), undo=f"kyros key revoke {made.id}"
    )
    call.output.hint("The key is shown this once: keep it as KYROS_TOKEN of its agent.")


@command(app, "list")
async def list_keys(
    call: Call, everything: Annotated[bool, typer.Option("--all", help="Revoked too.")] = False
) -> None:
    """List keys, newest first, without their secrets."""
    async with open_session(call.settings) as session:
        found = (await session.perform(identity.list_keys, ListKeys())).data
    shown = [one for one in found if everything or one.revoked_at is None]
    call.output.items(
        [_row(one) for one in shown], COLUMNS, footer=looks.counted(len(shown), "key")
    )


@command(app, "revoke", writes=True)
async def revoke(
    call: Call, key: Annotated[str, typer.Argument(metavar="KEY", show_default=False)]
) -> None:
    """End a key: its calls fail within five seconds. There is no way back."""
    asked = built(RevokeKey, id=key)
    async with open_session(call.settings) as session:
        known = (await session.perform(identity.list_keys, ListKeys())).data
        found = [one for one in known if one.id == key]
        if not found:
            message = "No such key in this workspace."
            raise Failure(Exit.NOT_FOUND, "not_found", message, "kyros key list")
        call.confirm(f"Revoking {key} ({found[0].name}) cannot be undone.")
        if not call.dry_run:
            found = [await session.perform(identity.revoke_key, asked)]
    call.output.changed(f"revoked {key} {found[0].name}", _row(found[0]), dry_run=call.dry_run)
