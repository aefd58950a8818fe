"""Whom an address reaches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.features.messages import rules
from kyros_collab_server.features.messages.errors import UnknownRecipient

MEMBERS = [("ana", "tester"), ("ben", "tester"), ("cy", None), ("tester2", "writer")]


@pytest.mark.parametrize(
    ("to", "reached"),
    [
        (["ana"], ["ana"]),
        (["agent:ben"], ["ben"]),
        (["role:tester"], ["ana", "ben"]),
        (["tester"], ["ana", "ben"]),
        (["all"], ["ana", "ben", "cy", "tester2"]),
        (["cy", "all", "cy"], ["cy", "ana", "ben", "tester2"]),
        (["writer", "ana"], ["tester2", "ana"]),
    ],
)
def test_an_address_reaches_names_roles_and_all_each_once(
    to: list[str], reached: list[str]
) -> None:
    assert rules.recipients(to, MEMBERS) == reached


@pytest.mark.parametrize("to", [["nobody"], ["role:nobody"], ["ana", "agent:dan"], ["role:ana"]])
def test_an_address_that_reaches_nobody_is_refused(to: list[str]) -> None:
    with pytest.raises(UnknownRecipient):
        rules.recipients(to, MEMBERS)


def test_all_of_an_empty_board_is_nobody_and_no_refusal() -> None:
    assert rules.recipients(["all"], []) == []


@given(st.lists(st.sampled_from(["ana", "ben", "cy", "role:tester", "all"]), min_size=1))
def test_nobody_is_reached_twice_or_from_outside(to: list[str]) -> None:
    reached = rules.recipients(to, MEMBERS)
    assert len(reached) == len(set(reached))
    assert set(reached) <= {name for name, _ in MEMBERS}
