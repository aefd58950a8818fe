"""`kyros agent`: the workers that the board knows."""

from typing import Annotated, Any

import typer

from kyros_collab_server.cli import looks
from kyros_collab_server.cli.command import Call, built, command, group
from kyros_collab_server.cli.output import Column
from kyros_collab_server.cli.session import open_session
from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import (
    Agent,
    AgentStatus,
    ListAgents,
    ReadAgent,
    UpdateAgent,
)
from kyros_collab_server.features.messages import service as messages
from kyros_collab_server.features.messages.model import SendMessage

app = group("Agents: who works here, and how to reach them.")

COLUMNS = [
    Column("name", "AGENT"),
    Column("status", "STATUS", looks.status),
    Column("role", "ROLE"),
    Column("skills", "SKILLS", shrinks=True),
    Column("client", "CLIENT"),
    Column("last_seen", "SEEN", looks.since),
]
Name = Annotated[str, typer.Argument(metavar="AGENT", show_default=False)]


def _row(agent: Agent) -> dict[str, Any]:
    return agent.model_dump(mode="json")


@command(app, "list")
async def list_agents(
    call: Call,
    status: Annotated[AgentStatus | None, typer.Option("--status")] = None,
    skill: Annotated[str | None, typer.Option("--skill")] = None,
) -> None:
    """List the agents of the workspace."""
    asked = built(ListAgents, status=status, skill=skill)
    async with open_session(call.settings) as session:
        found = (await session.perform(agents.list_agents, asked)).data
    stalled = sum(one.status is AgentStatus.STALLED for one in found)
    footer = looks.counted(len(found), "agent") + (f", {stalled} stalled" if stalled else "")
    call.output.items([_row(one) for one in found], COLUMNS, ident="name", footer=footer)


@command(app, "message", writes=True)
async def message(
    call: Call,
    to: Annotated[str, typer.Argument(metavar="AGENT|role:ROLE|all", show_default=False)],
    text: Annotated[str, typer.Argument(show_default=False)],
) -> None:
    """Put a message into the inbox of an agent, of a role's agents, or of all."""
    asked = built(SendMessage, to=[to], text=text)
    row: dict[str, Any] = {"to": to, "text": text}
    if call.dry_run:
        call.output.changed(f"sent a message to {to}", {**row, "seq": None}, dry_run=True)
        return
    async with open_session(call.settings) as session:
        sent = await session.perform(messages.send, asked)
    row["seq"] = sent.seq
    call.output.changed(f"sent a message to {to}  seq {sent.seq}", row, ident="seq")


@command(app, "pause", writes=True)
async def pause(call: Call, name: Name) -> None:
    """Give an agent no more work; what it holds stays its own."""
    await _switch(call, name, paused=True)


@command(app, "resume", writes=True)
async def resume(call: Call, name: Name) -> None:
    """Let a paused agent claim again."""
    await _switch(call, name, paused=False)


async def _switch(call: Call, name: str, *, paused: bool) -> None:
    verb, back = ("paused", "resume") if paused else ("resumed", "pause")
    async with open_session(call.settings) as session:
        if call.dry_run:
            agent = await session.perform(agents.read_agent, built(ReadAgent, name=name))
        else:
            asked = built(UpdateAgent, name=name, paused=paused)
            agent = await session.perform(agents.update, asked)
    undo = f"kyros agent {back} {name}"
    call.output.changed(
        f"{verb} {name}", _row(agent), ident="name", undo=undo, dry_run=call.dry_run
    )
