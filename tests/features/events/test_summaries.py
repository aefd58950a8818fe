"""Summaries: the same events give the same text, every line cites, and nothing quoted is markup."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.features.events.model import Event
from kyros_collab_server.features.events.summaries import MAX_BYTES, cited, compose
from tests.properties import settings


def event(seq: int, name: str, target: str | None = None, **details: Any) -> Event:
    return Event(
        seq=seq,
        ts=f"2026-01-31T10:{seq // 60 % 60:02}:{seq % 60:02}.000Z",
        event=name,
        actor="agent:ana" if seq % 2 else "agent:bo",
        target=target,
        details=details,
        workspace="default",
        request_id="rq",
        prev_hash="",
        hash="",
    )


def moved(seq: int, before: str, after: str, name: str = "task_transitioned") -> Event:
    changes = {"status": {"before": before, "after": after}}
    return event(seq, name, "task:T-1", changes=changes)


STORY = [
    event(1, "task_created", "task:T-1", task={"title": "Fix it"}),
    moved(2, "queued", "claimed", "task_claimed"),
    event(3, "lease_acquired", "lease:lk_1", resource="task:T-1", holder="agent:bo"),
    moved(4, "claimed", "in_progress"),
    event(5, "decision", "task:T-1", text="Use SSE,\nnot polling"),
    event(6, "lease_reclaimed", "lease:lk_1", resource="task:T-1", holder="agent:bo"),
    moved(7, "in_progress", "queued", "task_requeued"),
    event(8, "write_fenced", "task:T-1", resource="task:T-1", writer="agent:bo"),
    event(9, "task_needs_attention", "task:T-1", attempts=4),
    event(10, "build.passed"),
    event(11, "build.passed"),
]
TOLD = """\
## default, seq 1 to 11
2026-01-31 10:00 to 2026-01-31 10:00 UTC: 11 events by 2 actors.

### Needs a person
- `task:T-1` after 4 attempts [#9]

### Tasks
- **T-1** “Fix it”: created by agent:ana [#1]; claimed by agent:bo [#2]; claimed → in_progress by \
agent:bo [#4]; back in the queue [#7]

### Decisions
- agent:ana on `task:T-1`: “Use SSE, not polling” [#5]

### Refused writes
- agent:bo on `task:T-1` [#8]

### Leases lost
- agent:bo lost `task:T-1` [#6]

### Also
- 2 `build.passed` [#10, #11]
- 1 lease granted [#3]
"""


def test_a_summary_tells_what_became_of_tasks_and_cites_every_event() -> None:
    assert compose(STORY, "default", is_whole=True) == TOLD
    assert cited(TOLD) == list(range(1, 12))


def test_nothing_is_told_of_nothing_and_less_is_said_to_be_less() -> None:
    assert compose([], "default", is_whole=True) == "## default: nothing happened\n"
    assert "left out" in compose(STORY, "default", is_whole=False)


@given(st.text(max_size=300))
@settings(max_examples=200)
def test_what_others_wrote_stays_one_quoted_line_and_is_no_markup(text: str) -> None:
    events = [
        event(1, "note", f"task:{text}", text=text),
        event(2, "task_created", "task:T-1", task={"title": text}),
        event(3, "write_fenced", None, resource=text, writer=text),
    ]
    told = compose(events, "default", is_whole=True)
    lines = told.splitlines()
    assert lines[0].startswith("## default")
    assert {line[0] for line in lines[2:] if line} <= {"#", "-"}
    assert [line for line in lines if line.startswith("### ")] == [
        "### Tasks",
        "### Notes",
        "### Refused writes",
    ]
    assert set(cited(told)) <= {1, 2, 3}
    without_code = re.sub(r"(?<!\\)`[^`]*`", "", told)
    assert not re.search(r"(?<!\\)[<>\[][^#\]]", without_code.replace("[#", ""))


def test_a_summary_fits_into_an_entry_of_the_human_log() -> None:
    events = [
        event(seq, "task_created", f"task:T-{seq % 70}", task={"title": "€" * 200})
        for seq in range(1, 5_001)
    ]
    events += [event(5_000 + n, "decision", text="€" * 1_000) for n in range(1, 200)]
    told = compose(events, "default", is_whole=True)
    assert len(told.encode()) <= MAX_BYTES + 100
    assert told.rstrip().endswith("more lines.")


def test_shapes_that_are_not_known_are_no_crash() -> None:
    odd = [
        event(1, "task_updated", "task:T-1", changes="x"),
        event(2, "task_updated", "task:T-1", changes={"title": 1, "status": []}),
        event(3, "task_created", "task:T-1", task=[1]),
        event(4, "task_claimed"),
        event(5, "decision", text={"a": 1}),
        event(6, "write_fenced"),
        event(7, "lease_reclaimed", "lease:x", holder=None),
        event(8, "task_needs_attention"),
    ]
    assert cited(compose(odd, "default", is_whole=True)) == [1, 2, 3, 5, 6, 7, 8]
