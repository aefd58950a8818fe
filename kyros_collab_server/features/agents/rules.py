"""Decisions about agents: their status, and what changes of them are changes at all."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kyros_collab_server.features.agents.model import (
    OFFLINE_AFTER_MS,
    SEEN_EVERY_MS,
    Agent,
    AgentStatus,
)
from kyros_collab_server.features.events.model import Event, EventName
from kyros_collab_server.kernel.etag import canonical, etag_of


@dataclass(frozen=True)
class AgentRecord:
    """A stored agent: what is published, and whose it is.

    `seen_t` is when it last called, `active_t` when it last did more than to renew its leases
    (steady milliseconds).
    """

    agent: Agent
    principal: str
    seen_t: int
    active_t: int


def status_of(record: AgentRecord, now: int, holds: bool, stalled: bool) -> AgentStatus:
    """The status of an agent at an instant, first match wins: paused, stalled, busy, available.

    `stalled` says that one of its leases is past two thirds of its TTL without a heartbeat.
    """
    if record.agent.paused:
        return AgentStatus.PAUSED
    if holds:
        return AgentStatus.STALLED if stalled else AgentStatus.BUSY
    if now - record.seen_t <= OFFLINE_AFTER_MS:
        return AgentStatus.AVAILABLE
    return AgentStatus.OFFLINE


def seen_is_due(record: AgentRecord, now: int, active: bool) -> bool:
    """True when `last_seen`, or the last activity, is old enough to be written again."""
    last = record.active_t if active else record.seen_t
    return now - last >= SEEN_EVERY_MS


def revised(agent: Agent, **changes: Any) -> Agent:
    """The agent with these fields, its version one higher, and the tag that follows.

    `last_seen` is no part of the tag: being seen does not change an agent.
    """
    changed = agent.model_copy(update={**changes, "version": agent.version + 1})
    public = changed.model_dump(mode="json", exclude={"etag", "last_seen"})
    return changed.model_copy(update={"etag": etag_of(changed.version, canonical(public))})


def folded(events: Iterable[Event]) -> list[Agent]:
    """The agents that these events tell of, by name."""
    agents: dict[str, Agent] = {}
    for event in events:
        details = event.details
        name = (event.target or "").removeprefix("agent:")
        if event.event == EventName.AGENT_REGISTERED:
            seen = {"version": details["version"], "etag": details["etag"]}
            agents[name] = Agent.model_validate({**details["agent"], **seen})
        elif name in agents:
            changes = {field: both["after"] for field, both in details["changes"].items()}
            known = agents[name].model_dump(mode="json")
            told = {"version": details["version"], "etag": details["etag"], "last_seen": event.ts}
            agents[name] = Agent.model_validate({**known, **changes, **told})
    return [agents[name] for name in sorted(agents)]
