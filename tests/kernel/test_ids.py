"""Text that a reader can see, and identifiers."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from kyros_collab_server.kernel import ids

HIDDEN = (
    "\x00", "\x07", "\x1b", "\x7f", "\x85",
    "\u00ad", "\u200b", "\u200e", "\u202a", "\u202e", "\u2066", "\u2069", "\u2060", "\ufeff",
    "\u061c", "\u180e", "\U000e0041", "\ud800", "\udfff", "\u2028", "\u2029",
)  # fmt: skip


@pytest.mark.parametrize("character", HIDDEN, ids=lambda one: f"U+{ord(one):04X}")
def test_a_character_that_nobody_sees_is_refused(character: str) -> None:
    for text in (character, f"a{character}b", f"é{character}é"):
        with pytest.raises(ValueError, match="invisible"):
            ids.clean_text(text)


@pytest.mark.parametrize("text", ["", "plain", "a\tb\nc\r\n", "naïve", "日本語", "👩‍🚀", "क्‍ष", "✔️"])
def test_text_that_can_be_seen_passes_unchanged(text: str) -> None:
    assert ids.clean_text(text) == text


UNSEEN = ["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"]


@given(st.text(st.characters(exclude_categories=UNSEEN, max_codepoint=0xDFFFF)))
def test_every_visible_text_of_any_script_passes(text: str) -> None:
    seen = "".join(one for one in text if one not in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
    assert ids.clean_text(seen) == seen


@given(st.text(max_size=20))
def test_no_passed_text_holds_a_control_or_a_surrogate(text: str) -> None:
    try:
        passed = ids.clean_text(text)
    except ValueError:
        return
    kinds = {unicodedata.category(one) for one in passed if one not in "\t\n\r"}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    passed.encode()


@pytest.mark.parametrize("text", ["", " ", "\t", "a\nb", "a\rb", "a\tb", "\u200b"])
def test_a_line_is_one_visible_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ids.clean_line(text)


@pytest.mark.parametrize("bad", ["", "-x", ".x", "a b", "a/b", "x" * 65, "é", "a\n", "a\x00"])
def test_a_task_id_keeps_its_alphabet_and_length(bad: str) -> None:
    assert TypeAdapter(ids.TaskId).validate_python("T-1.a_B") == "T-1.a_B"
    with pytest.raises(ValidationError):
        TypeAdapter(ids.TaskId).validate_python(bad)


def test_fresh_ids_never_repeat_themselves() -> None:
    for make in (ids.new_lock_id, ids.new_request_id, lambda: ids.new_id("x")):
        assert len({make() for _ in range(100)}) == 100
