"""The board's rules: the table against a model, turns with ageing, circles by brute force."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kyros_collab_server.features.tasks import rules
from kyros_collab_server.features.tasks.errors import DependencyCycle, Guard, GuardFailed
from kyros_collab_server.features.tasks.model import (
    ChecklistDraft,
    ChecklistItem,
    Link,
    Priority,
    Task,
    TaskDraft,
    TaskStatus,
)
from kyros_collab_server.features.tasks.rules import Claimer
from kyros_collab_server.kernel.errors import Invalid

AT = "2026-01-01T00:00:00.000Z"
AGEING = 600
STATUS = st.sampled_from(list(TaskStatus))
PRIORITY = st.sampled_from(list(Priority))

FORTH = "queued claimed in_progress review approved merging done".split()
LEGAL = {
    *pairwise(FORTH),
    ("claimed", "queued"),
    ("in_progress", "queued"),
    ("review", "in_progress"),
    ("approved", "in_progress"),
    ("merging", "in_progress"),
    ("approved", "review"),
    ("merging", "approved"),
    ("done", "queued"),
    *((status, "cancelled") for status in FORTH if status != "done"),
}
"""product.md §3, written out once more by hand."""


def task_of(**fields: object) -> Task:
    base = {"id": "T-1", "title": "t", "created_by": "x", "created_at": AT, "updated_at": AT}
    return rules.sealed(Task.model_validate({**base, **fields}))


@pytest.mark.parametrize(("old", "new"), list(product(TaskStatus, TaskStatus)))
def test_the_board_has_exactly_the_moves_of_its_contract(old: TaskStatus, new: TaskStatus) -> None:
    if (old.value, new.value) in LEGAL:
        assert rules.check_move(old, new) is rules.MOVES[old, new]
        return
    with pytest.raises(GuardFailed) as refusal:
        rules.check_move(old, new)
    facts = refusal.value.facts
    assert facts["guard"] == Guard.ILLEGAL_MOVE
    assert set(facts["allowed"]) == {to for start, to in LEGAL if start == old.value}


def test_leaving_a_leased_column_needs_the_lease_and_only_that() -> None:
    for (old, _), guards in rules.MOVES.items():
        assert ("lease_required" in guards) == (old in rules.LEASED)


class Journey(RuleBasedStateMachine):
    """A card that travels at random stands where the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.status = TaskStatus.QUEUED
        self.model = "queued"

    @rule(to=STATUS)
    def move(self, to: TaskStatus) -> None:
        try:
            rules.check_move(self.status, to)
        except GuardFailed:
            assert (self.model, to.value) not in LEGAL
            return
        assert (self.model, to.value) in LEGAL
        self.status, self.model = to, to.value

    @invariant()
    def the_card_stands_where_the_model_says(self) -> None:
        assert self.status.value == self.model


TestJourney = Journey.TestCase


@given(PRIORITY, st.integers(0, 10**9), st.integers(0, 10**7))
def test_a_turn_gains_one_class_for_every_ageing_time_waited(
    priority: Priority, ready_t: int, waited_ms: int
) -> None:
    now = ready_t + waited_ms
    place, _, since, task_id = rules.turn(priority, ready_t, "T-1", now, AGEING)
    assert place == max(priority.rank - waited_ms // (AGEING * 1000), -1)
    assert (since, task_id) == (ready_t, "T-1")


@given(st.lists(st.tuples(PRIORITY, st.integers(0, 4_000_000)), min_size=1, max_size=8))
def test_within_a_class_whoever_waits_longest_goes_first(
    queue: list[tuple[Priority, int]],
) -> None:
    now = 4_000_000
    turns = sorted(
        rules.turn(priority, ready_t, f"T-{place}", now, AGEING)
        for place, (priority, ready_t) in enumerate(queue)
    )
    for one, other in pairwise(turns):
        assert one[0] <= other[0]
        if one[0] == other[0]:
            assert one[1] <= other[1]


@given(PRIORITY, PRIORITY, st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_after_its_bound_only_tasks_that_were_ready_earlier_pass_a_waiting_task(
    mine: Priority, others: Priority, ready_t: int, other_ready_t: int, extra_ms: int
) -> None:
    """coordination.md §4: the bound is (class + 1) × 600 s."""
    now = ready_t + (mine.rank + 1) * AGEING * 1000 + extra_ms
    waiting = rules.turn(mine, ready_t, "T-1", now, AGEING)
    other_ready_t = min(other_ready_t, now)
    passing = rules.turn(others, other_ready_t, "T-2", now, AGEING)
    if passing < waiting:
        assert other_ready_t <= ready_t


@given(PRIORITY, PRIORITY, st.integers(0, 10**6))
def test_of_two_fresh_tasks_the_more_urgent_goes_first(
    one: Priority, other: Priority, ready_t: int
) -> None:
    now = ready_t + AGEING * 1000 - 1
    first = rules.turn(one, ready_t, "T-1", now, AGEING)
    second = rules.turn(other, ready_t, "T-2", now, AGEING)
    assert (first < second) == (one.rank <= other.rank)


GRAPHS = st.dictionaries(
    st.integers(0, 6).map(str), st.lists(st.integers(0, 6).map(str), max_size=3), max_size=7
)


def reaches(graph: dict[str, list[str]], start: str, goal: str) -> bool:
    """Brute force: follow every edge until nothing new is found."""
    seen, left = set(), list(graph.get(start, []))
    while left:
        one = left.pop()
        if one == goal:
            return True
        if one not in seen:
            seen.add(one)
            left += graph.get(one, [])
    return False


@given(GRAPHS, st.integers(0, 6).map(str), st.lists(st.integers(0, 6).map(str), max_size=3))
def test_an_edge_is_refused_exactly_when_it_closes_a_circle_and_the_circle_is_real(
    graph: dict[str, list[str]], task_id: str, depends_on: list[str]
) -> None:
    known = {one: others for one, others in graph.items() if one != task_id}
    after = {**known, task_id: depends_on}

    def edges(layer: list[str]) -> dict[str, list[str]]:
        return {one: known[one] for one in layer if one in known}

    try:
        rules.closing_cycle(task_id, depends_on, edges)
    except DependencyCycle as refusal:
        circle = refusal.facts["cycle"]
        assert circle[0] == circle[-1] == task_id
        assert len(set(circle[:-1])) == len(circle) - 1
        for one, other in pairwise(circle):
            assert other in after[one]
    else:
        assert not reaches(after, task_id, task_id)


ELSE: dict[str, object] = {
    "id": "T-2",
    "title": "b",
    "description": "b",
    "status": TaskStatus.DONE,
    "priority": Priority.P0,
    "labels": ["x"],
    "role": "qa",
    "skills": ["py"],
    "depends_on": ["T-3"],
    "resources": ["r"],
    "definition_of_done": [ChecklistItem(id="d1", text="x")],
    "assignee": "agent:ana",
    "lock_id": "lk_0",
    "links": [Link(url="u")],
    "attempts": 2,
    "needs_attention": True,
    "handoff": "b",
    "created_by": "y",
    "created_at": "b",
    "updated_at": "b",
    "version": 2,
}


def test_a_tag_covers_every_public_field_and_nothing_else() -> None:
    task = task_of()
    assert ELSE.keys() == Task.model_fields.keys() - {"etag"}
    for name, value in ELSE.items():
        assert rules.sealed(task.model_copy(update={name: value})).etag != task.etag, name
    assert rules.sealed(task.model_copy(update={"etag": "x"})).etag == task.etag


def test_a_revision_never_has_the_tag_of_the_one_before() -> None:
    task = task_of()
    again = rules.revised(rules.revised(task, AT, title="b"), AT, title="t")
    assert again.version == 3
    assert again.etag != task.etag
    assert again.etag.startswith('"3-')


ROLES = st.none() | st.sampled_from(["dev", "qa"])
SKILLS = st.sets(st.sampled_from(["py", "sql", "ui"]))


@given(ROLES, SKILLS, ROLES, SKILLS, st.booleans(), st.booleans())
def test_a_task_fits_by_role_and_skills_unless_paused_or_held_back(
    role: str | None, skills: set[str], mine: str | None, have: set[str], paused: bool, flag: bool
) -> None:
    task = task_of(role=role, skills=sorted(skills), needs_attention=flag)
    found = rules.misfit(task, Claimer(role=mine, skills=frozenset(have), paused=paused))
    fits = not paused and not flag and role in (None, mine) and skills <= have
    assert (found is None) == fits
    if found and found[0] is Guard.SKILLS:
        assert found[1] == {"missing": sorted(skills - have)}


def test_a_draft_becomes_a_queued_task_without_repeats() -> None:
    draft = TaskDraft(
        title="t", labels=["b", "a", "b"], skills=["z", "a", "z"], depends_on=["T-2", "T-2"]
    )
    task = rules.drafted(draft, "T-9", "agent:ana", AT)
    assert (task.labels, task.skills, task.depends_on) == (["b", "a"], ["a", "z"], ["T-2"])
    assert task.status is TaskStatus.QUEUED
    assert task == rules.sealed(task)


def test_lines_of_a_checklist_get_ids_by_place_and_never_share_one() -> None:
    lines = [ChecklistDraft(text="a"), ChecklistDraft(text="b", id="x"), ChecklistDraft(text="c")]
    items = rules.checklist(lines)
    assert [item.id for item in items] == ["d1", "x", "d3"]
    task = task_of(definition_of_done=[item.model_dump() for item in items])
    assert [item.done for item in rules.ticked(task, ["x"])] == [False, True, False]
    with pytest.raises(Invalid):
        rules.ticked(task, ["d1", "d2"])
    with pytest.raises(Invalid):
        rules.checklist([ChecklistDraft(text="a", id="d2"), ChecklistDraft(text="b")])
    with pytest.raises(GuardFailed) as refusal:
        rules.check_checklist(task)
    assert [line["id"] for line in refusal.value.facts["open"]] == ["d1", "x", "d3"]
