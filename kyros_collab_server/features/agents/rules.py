"""Decisions about agents: their status, and what changes of them are changes at all."""

from dataclasses import dataclass
from typing import Any

from kyros_collab_server.features.agents.model import (
    OFFLINE_AFTER_MS,
    SEEN_EVERY_MS,
    Agent,
    AgentStatus,
)
from kyros_collab_server.kernel.etag import canonical, etag_of


@dataclass(frozen=True)
class AgentRecord:
    """A stored agent: what is published, whose it is, and when it was last seen (steady ms)."""

    agent: Agent
    principal: str
    seen_t: int


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


def seen_is_due(record: AgentRecord, now: int) -> bool:
    """True when `last_seen` is old enough to be written again."""
    return now - record.seen_t >= SEEN_EVERY_MS


def revised(agent: Agent, **changes: Any) -> Agent:
    """The agent with these fields, its version one higher, and the tag that follows.

    `last_seen` is no part of the tag: being seen does not change an agent.
    """
    changed = agent.model_copy(update={**changes, "version": agent.version + 1})
    public = changed.model_dump(mode="json", exclude={"etag", "last_seen"})
    return changed.model_copy(update={"etag": etag_of(changed.version, canonical(public))})
