"""What guard decides about globs by itself, held against the leases' own automata."""

from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.cli import guard
from kyros_collab_server.features.leases import globs
from tests.properties import settings

_GLOBS = st.lists(
    st.sampled_from(["a", "b", ".", "/", "*", "**", "?", "[ab]", "[!a]", "\\*", "]", "é"]),
    min_size=1,
    max_size=7,
).map("".join)
_PATHS = st.lists(
    st.sampled_from(["a", "b", ".", "/", "*", "]", "é", " "]), min_size=1, max_size=6
).map("".join)


@given(glob=_GLOBS, path=_PATHS)
@settings(max_examples=500)
def test_what_guard_decides_without_an_automaton_is_what_the_automaton_says(
    glob: str, path: str
) -> None:
    try:
        held = globs.parse(glob)
    except globs.BadGlob:
        return
    if {"", ".", ".."}.isdisjoint(path.split("/")):
        met = guard._witness(guard.Asked(path, False), held.pattern)
        assert (met is not None) is globs.matches(held, path)
