"""An agent's status, and what of it is part of its tag."""

from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.features.agents import rules
from kyros_collab_server.features.agents.model import Agent, AgentStatus
from kyros_collab_server.features.agents.rules import AgentRecord

AT = "2026-01-01T00:00:00.000Z"


def record_of(*, paused: bool = False, seen_t: int = 0) -> AgentRecord:
    agent = Agent(name="ana", paused=paused, registered_at=AT, last_seen=AT)
    return AgentRecord(agent=agent, principal="p", seen_t=seen_t, active_t=0)


@given(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 300_000))
def test_the_first_status_that_holds_is_the_status(
    paused: bool, holds: bool, stalled: bool, idle_ms: int
) -> None:
    status = rules.status_of(record_of(paused=paused), idle_ms, holds, stalled and holds)
    if paused:
        assert status is AgentStatus.PAUSED
    elif holds:
        assert status is (AgentStatus.STALLED if stalled else AgentStatus.BUSY)
    else:
        in_time = idle_ms <= 120_000
        assert status is (AgentStatus.AVAILABLE if in_time else AgentStatus.OFFLINE)


def test_an_agent_is_offline_one_millisecond_after_two_minutes() -> None:
    assert rules.status_of(record_of(), 120_000, False, False) is AgentStatus.AVAILABLE
    assert rules.status_of(record_of(), 120_001, False, False) is AgentStatus.OFFLINE


def test_being_seen_is_written_every_five_seconds_at_most() -> None:
    assert not rules.seen_is_due(record_of(seen_t=1_000), 5_999, active=False)
    assert rules.seen_is_due(record_of(seen_t=1_000), 6_000, active=False)


def test_a_revision_has_the_next_version_and_another_tag() -> None:
    before = rules.revised(record_of().agent)
    after = rules.revised(before, role="tester")
    assert after.version == before.version + 1
    assert after.etag != before.etag
    later = before.model_copy(update={"last_seen": "2027-01-01T00:00:00.000Z", "version": 0})
    assert (
        rules.revised(later, version=0).etag.split("-")[1]
        == (rules.revised(before.model_copy(update={"version": 0}), version=0).etag.split("-")[1])
    )
