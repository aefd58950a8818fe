"""Cursors: opaque, signed, bound to the list that they continue."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.kernel.errors import Invalid
from kyros_collab_server.kernel.paging import CursorSeal

POSITIONS = st.integers() | st.lists(st.integers() | st.text(max_size=5), max_size=3)
SEAL = CursorSeal(b"a secret of the deployment")


@given(st.text(max_size=10), POSITIONS)
def test_a_cursor_gives_back_what_was_sealed_for_its_list(scope: str, position: Any) -> None:
    scope = scope.encode(errors="ignore").decode()
    assert SEAL.open(scope, SEAL.seal(scope, position)) == position


@given(POSITIONS)
def test_a_cursor_of_another_list_or_deployment_is_refused(position: Any) -> None:
    cursor = SEAL.seal("tasks:default", position)
    with pytest.raises(Invalid):
        SEAL.open("tasks:other", cursor)
    with pytest.raises(Invalid):
        CursorSeal(b"another secret").open("tasks:default", cursor)


@given(st.integers(0, 1000), st.integers(0, 200), st.integers(1, 255))
def test_a_cursor_with_one_changed_byte_is_refused(position: int, at: int, flip: int) -> None:
    cursor = SEAL.seal("tasks:default", position)
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[at % len(raw)] ^= flip
    forged = base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
    with pytest.raises(Invalid):
        SEAL.open("tasks:default", forged)


@given(st.text(max_size=60))
def test_text_that_is_no_cursor_is_refused_and_never_fails_otherwise(text: str) -> None:
    with pytest.raises(Invalid):
        SEAL.open("tasks:default", text)
