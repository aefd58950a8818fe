"""Instants as text, and the steady clock."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.kernel.time import SystemClock, rfc3339, wall_ms_of

WALL = st.integers(0, 253_402_300_799_999)


@given(WALL)
def test_an_instant_as_text_is_the_same_instant(wall_ms: int) -> None:
    text = rfc3339(wall_ms)
    assert wall_ms_of(text) == wall_ms
    assert text.endswith("Z")
    assert len(text) == 24


@given(WALL, WALL)
def test_instants_order_as_their_texts_do(one: int, other: int) -> None:
    assert (one < other) == (rfc3339(one) < rfc3339(other))


@pytest.mark.parametrize("text", ["2026-01-31T10:00:00", "yesterday", "", "2026-13-01T00:00:00Z"])
def test_an_instant_without_a_zone_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        wall_ms_of(text)


def test_the_systems_clock_is_steady_and_near_the_wall() -> None:
    clock = SystemClock()
    assert clock.steady_ms() <= clock.steady_ms()
    assert abs(clock.wall_ms() - datetime.now(UTC).timestamp() * 1000) < 60_000
