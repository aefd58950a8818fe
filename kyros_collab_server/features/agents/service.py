"""Agents: registered at first use, seen at every call."""

from dataclasses import replace
from typing import Any

from kyros_collab_server.features.agents import rules
from kyros_collab_server.features.agents.errors import AgentNameTaken
from kyros_collab_server.features.agents.model import (
    Agent,
    AgentList,
    AgentStatus,
    ListAgents,
    ReadAgent,
    RegisterAgent,
    UpdateAgent,
)
from kyros_collab_server.features.agents.ports import AgentWork
from kyros_collab_server.features.agents.rules import AgentRecord
from kyros_collab_server.features.events.model import EventName, ReadAt
from kyros_collab_server.features.events.service import seq_of
from kyros_collab_server.kernel.errors import EtagMismatch, NotFound
from kyros_collab_server.kernel.etag import field_diff, kind_etag, matches
from kyros_collab_server.kernel.operation import operation
from kyros_collab_server.kernel.principal import Scope


def seen(work: AgentWork, *, active: bool = True) -> bool:
    """The calling agent is registered under its principal, and `last_seen` is right to 5 s.

    `active` says that the call does more than to renew leases: progress, apart from liveness.
    True when the name went over from a principal that is no more: what it held is not the
    caller's.

    Raises:
        AgentNameTaken: another principal, one that still lives, uses the name.
        NotFound: the caller names a workspace that does not exist.
    """
    if work.workspaces.get(work.workspace) is None:
        raise NotFound("workspace")
    name = work.principal.agent
    if name is None:
        return False
    record = work.agents.get(name)
    if record is None:
        _enter(work, name)
        return False
    adopted = record.principal not in ("", work.principal.id)
    if record.principal != work.principal.id:
        if work.keys.principal_lives(record.principal, work.wall_ms):
            raise AgentNameTaken(name)
        record = replace(record, principal=work.principal.id)
    elif not rules.seen_is_due(record, work.now, active):
        return False
    agent = record.agent.model_copy(update={"last_seen": work.ts})
    active_t = work.now if active else record.active_t
    record = replace(record, agent=agent, seen_t=work.now, active_t=active_t)
    work.agents.save(record)
    if work.principal.client is not None:
        change(work, record, client=work.principal.client)
    return adopted


def _enter(work: AgentWork, name: str) -> AgentRecord:
    """Store a new agent; one that somebody else enters belongs to nobody until its first call."""
    mine = name == work.principal.agent
    agent = rules.revised(
        Agent(
            name=name,
            client=work.principal.client if mine else None,
            registered_at=work.ts,
            last_seen=work.ts,
            version=0,
        )
    )
    owner = work.principal.id if mine else ""
    record = AgentRecord(agent=agent, principal=owner, seen_t=work.now, active_t=work.now)
    work.agents.insert(record)
    work.events.append(
        EventName.AGENT_REGISTERED,
        f"agent:{name}",
        {
            "version": agent.version,
            "etag": agent.etag,
            "agent": agent.model_dump(mode="json", exclude={"etag", "version"}),
        },
    )
    return record


def change(work: AgentWork, record: AgentRecord, **fields: Any) -> AgentRecord:
    """The agent has these fields, and the log says what changed; nothing when nothing does."""
    before = record.agent.model_dump(mode="json")
    if all(before.get(name) == value for name, value in fields.items()):
        return record
    record = replace(record, agent=rules.revised(record.agent, **fields))
    work.agents.save(record)
    after = record.agent.model_dump(mode="json")
    changes = {
        name: both
        for name, both in field_diff(before, after).items()
        if name not in ("version", "etag", "last_seen")
    }
    work.events.append(
        EventName.AGENT_STATUS_CHANGED,
        f"agent:{record.agent.name}",
        {"version": record.agent.version, "etag": record.agent.etag, "changes": changes},
    )
    return record


def _named(work: AgentWork, name: str) -> AgentRecord:
    record = work.agents.get(name)
    if record is None:
        raise NotFound("agent")
    return record


def _named_fields(command: RegisterAgent | UpdateAgent, beside: set[str]) -> dict[str, Any]:
    """The fields that a command names. Null empties role and skills, and leaves a switch alone."""
    fields = command.model_dump(exclude_unset=True, exclude=beside)
    if fields.get("skills", ...) is None:
        fields["skills"] = []
    if fields.get("paused", ...) is None:
        del fields["paused"]
    return fields


def _with_status(record: AgentRecord, fields: dict[str, Any]) -> dict[str, Any]:
    paused = fields.get("paused")
    if paused is True:
        return {**fields, "status": AgentStatus.PAUSED}
    if paused is False and record.agent.status is AgentStatus.PAUSED:
        return {**fields, "status": AgentStatus.AVAILABLE}
    return fields


@operation(Scope.AGENTS_WRITE)
def register(work: AgentWork, command: RegisterAgent) -> Agent:
    """The agent is known under its name, with the role and skills that it names.

    Raises:
        AgentNameTaken: another principal uses the name.
        InsufficientScope: naming an agent other than oneself needs `operate`.
    """
    name = command.name or work.principal.agent
    if name is None:
        raise NotFound("agent")
    if name != work.principal.agent:
        work.principal.require(frozenset({Scope.OPERATE}))
    record = work.agents.get(name) or _enter(work, name)
    fields = _named_fields(command, {"name"})
    return change(work, record, **_with_status(record, fields)).agent


@operation(Scope.AGENTS_WRITE)
def update(work: AgentWork, command: UpdateAgent) -> Agent:
    """The agent has the new role, skills, or is switched off or on.

    Raises:
        NotFound: no such agent.
        InsufficientScope: changing another agent needs `operate`.
        EtagMismatch: `if_match` names an older version.
    """
    record = _named(work, command.name)
    if command.name != work.principal.agent:
        work.principal.require(frozenset({Scope.OPERATE}))
    fields = _named_fields(command, {"name", "if_match"})
    agent = record.agent
    if command.if_match is not None and not matches(command.if_match, agent.etag):
        shown = agent.model_dump(mode="json")
        diff = field_diff({name: shown[name] for name in fields}, fields)
        raise EtagMismatch(agent.etag, shown, diff, f"Send If-Match: {agent.etag}")
    return change(work, record, **_with_status(record, fields)).agent


@operation(Scope.TASKS_READ, read=True)
def read_agent(work: AgentWork, command: ReadAgent) -> Agent:
    """One agent as everybody sees it.

    Raises:
        NotFound: no such agent in this workspace.
    """
    return _named(work, command.name).agent


@operation(Scope.TASKS_READ, read=True)
def agents_at(work: AgentWork, command: ReadAt) -> AgentList:
    """The agents as they were at a moment, by name; `last_seen` is that of their last event."""
    seq = seq_of(work, command.at)
    names = (EventName.AGENT_REGISTERED, EventName.AGENT_STATUS_CHANGED)
    agents = rules.folded(work.events.scan(names, seq))
    return AgentList(data=agents, etag=kind_etag(seq, [(one.name, one.etag) for one in agents]))


@operation(Scope.TASKS_READ, read=True)
def list_agents(work: AgentWork, command: ListAgents) -> AgentList:
    """The agents of the workspace, by name."""
    agents = [record.agent for record in work.agents.all()]
    if command.skill is not None:
        agents = [agent for agent in agents if command.skill in agent.skills]
    if command.status is not None:
        agents = [agent for agent in agents if agent.status is command.status]
    return AgentList(data=agents, etag=work.agents.kind_etag())
