"""Canonical JSON, strong tags and merge patches."""

import hashlib
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.kernel.etag import (
    canonical,
    etag_of,
    field_diff,
    kind_etag,
    matches,
    merge_patch,
)

SAFE = 9_007_199_254_740_991
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-SAFE, SAFE)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=4)


@given(JSON)
def test_canonical_text_is_what_rfc_8785_says(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value).decode()


@given(
    st.dictionaries(st.sampled_from("a \ud7ff \ue000 \U0001f600 é zz".split()), st.integers(0, 9))
)
def test_keys_are_ordered_by_their_utf_16_units(value: dict[str, int]) -> None:
    assert canonical(value) == rfc8785.dumps(value).decode()


@pytest.mark.parametrize("value", [SAFE + 1, -SAFE - 1, float("nan"), float("inf"), {1: 2}])
def test_what_json_cannot_carry_has_no_canonical_text(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical({"x": value} if not isinstance(value, dict) else value)


def test_a_tag_is_the_version_and_half_a_digest_in_quotes() -> None:
    digest = hashlib.sha256(b'{"a":1}').hexdigest()
    assert etag_of(7, canonical({"a": 1})) == f'"7-{digest[:32]}"'


@given(st.dictionaries(TEXT, TEXT, min_size=1, max_size=5), st.randoms())
def test_the_tag_of_a_kind_does_not_depend_on_the_order_of_its_members(
    members: dict[str, str], random: Any
) -> None:
    pairs = list(members.items())
    random.shuffle(pairs)
    assert kind_etag(3, pairs) == kind_etag(3, members.items())
    assert kind_etag(4, pairs) != kind_etag(3, pairs)


def test_if_match_compares_strongly_and_takes_lists_and_stars() -> None:
    tag = '"3-abc"'
    assert matches('"1-x", "3-abc"', tag)
    assert matches("*", tag)
    assert matches("3-abc", tag)
    assert not matches('W/"3-abc"', tag)
    assert not matches(None, tag)
    assert not matches("", tag)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_sets_what_it_names_and_drops_what_is_null(
    target: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = canonical(target)
    merged = merge_patch(target, patch)
    assert canonical(target) == before
    for key, value in patch.items():
        if value is None:
            assert key not in merged
        elif not isinstance(value, dict):
            assert merged[key] == value
    for key in target.keys() - patch.keys():
        assert merged[key] == target[key]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": [1]}, {"a": {"b": None}}, {"a": {}}),
        ({"a": 1}, [2], [2]),
        ([1], {"a": 1}, {"a": 1}),
    ],
)
def test_the_examples_of_rfc_7396_hold(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@given(OBJECTS, OBJECTS)
def test_a_diff_names_exactly_the_fields_that_differ(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    diff = field_diff(before, after)
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        assert (key in diff) == (old != new)
        if key in diff:
            assert diff[key] == {"before": old, "after": new}
