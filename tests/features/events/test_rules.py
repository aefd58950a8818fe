"""The log's rules: names, bounds, and the chain by independent computation."""

import hashlib
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.features.events import rules
from kyros_collab_server.features.events.errors import ReservedEvent
from kyros_collab_server.features.events.model import (
    CLIENT_EVENTS,
    GENESIS,
    MAX_DETAILS_BYTES,
    AppendEvent,
    EventFilter,
    EventName,
)
from kyros_collab_server.kernel.errors import Invalid, TooLarge

VISIBLE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z", "Mn"]), max_size=10)
DETAILS = st.dictionaries(VISIBLE, st.none() | st.booleans() | st.integers(-9, 9) | VISIBLE)


@given(st.lists(DETAILS, min_size=1, max_size=4))
def test_the_chain_is_sha_256_over_the_previous_hash_and_the_canonical_line(
    lines: list[dict[str, Any]],
) -> None:
    previous = GENESIS
    for seq, details in enumerate(lines, start=1):
        line = {"seq": seq, "event": "note", "target": None, "details": details}
        body, digest = rules.chain(previous, line)
        expected = rfc8785.dumps({**line, "prev_hash": previous})
        assert body.encode() == expected
        assert digest == hashlib.sha256(previous.encode("ascii") + expected).hexdigest()
        previous = digest


def test_a_line_of_more_than_64_kib_is_refused() -> None:
    rules.chain(GENESIS, {"x": "a" * 65_000})
    with pytest.raises(TooLarge):
        rules.chain(GENESIS, {"x": "a" * 65_536})
    with pytest.raises(TooLarge):
        rules.chain(GENESIS, {"x": "é" * 33_000})


@pytest.mark.parametrize(
    "name",
    [
        *EventName,
        "job_started",
        "variant_made",
        "schedule_fired",
        "executor_started",
        "job_x.y",
        "task_created.mine",
        "plain",
    ],
)
def test_a_reserved_or_plain_name_is_the_servers(name: str) -> None:
    with pytest.raises(ReservedEvent):
        rules.client_event_name(name)


@pytest.mark.parametrize("name", [*CLIENT_EVENTS, "build.passed", "a.b.c", "note.x"])
def test_a_client_may_write_its_plain_and_dotted_names(name: str) -> None:
    assert rules.client_event_name(name) == name


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"x": value}
    return value


BAD_DETAILS = {
    "an integer beyond 2**53 - 1": {"n": 2**53},
    "an integer below": {"n": -(2**53)},
    "not a number": {"n": float("nan")},
    "infinity": {"n": float("inf")},
    "NUL": {"s": "\x00"},
    "a direction override": {"s": ["\u202e"]},
    "a lone surrogate": {"s": {"k": "\ud800"}},
    "an unseen key": {"\u200b": 1},
    "33 levels": nested(33),
    "5,000 levels": nested(5_000),
}


@pytest.mark.parametrize("details", list(BAD_DETAILS.values()), ids=list(BAD_DETAILS))
def test_details_that_json_or_an_eye_cannot_carry_are_refused(details: dict[str, Any]) -> None:
    command = AppendEvent.model_construct(event="note", details=details, text=None, to=None)
    with pytest.raises(Invalid):
        rules.client_details(command)


def test_details_hold_16_kib_of_canonical_json_and_no_byte_more() -> None:
    room = MAX_DETAILS_BYTES - len('{"x":""}')
    fits = AppendEvent(event="note", details={"x": "a" * room})
    assert rules.client_details(fits) == fits.details
    for more in (
        AppendEvent(event="note", details={"x": "a" * (room + 1)}),
        AppendEvent(event="note", details={"x": "é" * (room // 2 + 1)}),
        AppendEvent(event="note", text="a" * 16_384),
    ):
        with pytest.raises(TooLarge):
            rules.client_details(more)


def test_text_and_recipients_become_part_of_the_details() -> None:
    command = AppendEvent(event="note", text="hello", to=["ben"], details={"text": "x", "k": 1})
    assert rules.client_details(command) == {"text": "hello", "to": ["ben"], "k": 1}
    assert command.details == {"text": "x", "k": 1}


@given(
    st.sampled_from(["task_created", "task_moved", "note", "lease_acquired"]),
    st.none() | st.lists(st.sampled_from(["task_*", "note", "lease_acquired", "*"]), max_size=3),
    st.none() | st.sampled_from(["agent:ana", "agent:ben"]),
)
def test_a_filter_admits_what_each_of_its_parts_does(
    event: str, types: list[str] | None, actor: str | None
) -> None:
    wanted = EventFilter(types=types, actor=actor)
    named = types is None or any(
        one == event or (one[-1] == "*" and event.startswith(one[:-1])) for one in types
    )
    assert wanted.admits(event, "agent:ana", None) == (named and actor in (None, "agent:ana"))
    assert not EventFilter(target="task:T-1").admits(event, "agent:ana", None)


def test_the_longest_legal_details_fit_into_one_line_of_the_log() -> None:
    details = rules.client_details(AppendEvent(event="note", details={"x": '"' * 8_000}))
    body, _ = rules.chain(GENESIS, {"details": details, "target": "task:" + "x" * 250})
    assert json.loads(body)["details"] == details
