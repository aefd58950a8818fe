"""Path globs: what parses, what matches, and that overlap is exact and shows its witness."""

import itertools
import re
import sys
import unicodedata
from functools import lru_cache
from unittest.mock import Mock

import pathspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kyros_collab_server.features.leases import globs
from kyros_collab_server.features.leases.globs import BadGlob, matches, overlap, parse

ILLEGAL = {"", ".", ".."}


@lru_cache(maxsize=100_000)
def reference(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression, written from the grammar and sharing no code."""
    out, segments = "", pattern.split("/")
    for at, segment in enumerate(segments):
        is_last = at == len(segments) - 1
        if segment == "**":
            out += ".+" if is_last else "(?:[^/]+/)*"
            continue
        tokens = re.findall(r"\[[!^]?\]?[^]]*\]|\\.|\*+|.", segment)
        for token in tokens:
            if token[0] == "*":
                out += "[^/]*"
            elif token == "?":
                out += "[^/]"
            elif token[0] == "[" and len(token) > 2:
                out += "(?!/)[" + ("^" if token[1] in "!^" else "") + token[1:].lstrip("!^")
            else:
                out += re.escape(token[-1])
        out += "" if is_last else "/"
    return re.compile(out, re.DOTALL)


def reference_matches(pattern: str, path: str) -> bool:
    is_legal = ILLEGAL.isdisjoint(path.split("/")) and unicodedata.is_normalized("NFC", path)
    return is_legal and reference(pattern).fullmatch(path) is not None


def is_glob(pattern: str) -> bool:
    try:
        parse(pattern)
    except BadGlob:
        return False
    return True


def meeting(a: str, b: str) -> str | None:
    """The witness of two patterns, after checking that it is one and that order is no matter."""
    one, other = parse(a), parse(b)
    witness = overlap(one, other)
    assert (overlap(other, one) is None) == (witness is None)
    for path in {witness, overlap(other, one)} - {None}:
        assert path is not None
        assert matches(one, path)
        assert matches(other, path)
        assert reference_matches(a, path)
        assert reference_matches(b, path)
        assert path.isprintable()
    return witness


# `.` so that illegal names are met, two letters, sets that hold or exclude each of them.
PIECES = ["a", "b", ".", "*", "?", "[ab]", "[!a]", "[!.]", "[.b]", "a", "**", "b*"]
SEGMENTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)
PATTERNS = (
    st.lists(st.one_of(st.just("**"), SEGMENTS), min_size=1, max_size=5)
    .map("/".join)
    .filter(is_glob)
)
NAMES = st.text("ab.c", min_size=1, max_size=4).filter(lambda name: name not in ILLEGAL)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)


@pytest.mark.parametrize(
    ("a", "b", "witness"),
    [
        ("src/**", "src/a.py", "src/a.py"),
        ("*.py", "src/a.py", None),
        ("**/*.py", "src/a.py", "src/a.py"),
        ("a/*/c", "a/b/*", "a/b/c"),
        ("a/**/z", "a/b/c", None),
        ("src/**", "src", None),
        ("src/**", "src/**", "src/x"),
        ("src/**", "**", "src/x"),
        ("src/**", "srcs/**", None),
        ("**/x", "x", "x"),
        ("a/**/b", "a/b", "a/b"),
        ("a/**/b", "**/c/b", "a/c/b"),
        ("a/**", "**/b", "a/b"),
        ("*", "a/b", None),
        ("*.py", "test_*", "test_.py"),
        ("*.py", "*.js", None),
        ("a**b", "a/b", None),
        ("a**b", "axb", "axb"),
        ("[a-m]", "[k-z]", "k"),
        ("[a-c]", "[!a-c]", None),
        ("[!a]", "[^b]", "x"),
        ("[!xyz]", "[!abc]", "d"),
        ("README", "readme", None),
        ("{a,b}", "a", None),
        ("{a,b}", "{*}", "{a,b}"),
        (r"\*", "*", "*"),
        (r"\*", "a", None),
        (r"a\[b", "a[!x-z]b", "a[b"),
        ("!a", "#a", None),
    ],
)
def test_overlap_says_which_path_both_name(a: str, b: str, witness: str | None) -> None:
    assert meeting(a, b) == witness


@pytest.mark.parametrize(
    ("a", "b", "witness"),
    [
        ("?", "[.x]", "x"),
        ("?", "[.]x", None),
        ("*.", ".*", ".x."),
        ("??", ".*", ".x"),
        ("[.a]", "[.b]", None),
        ("[.a][.b]", "[.c][.d]", None),
        ("..*", "?.?", "..x"),
        ("*", "*", "x"),
    ],
)
def test_a_witness_is_never_a_dot_name(a: str, b: str, witness: str | None) -> None:
    assert meeting(a, b) == witness


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("", "empty_segment"),
        ("/a", "absolute"),
        ("a/", "empty_segment"),
        ("a//b", "empty_segment"),
        ("../a", "parent_segment"),
        ("a/..", "parent_segment"),
        (r"a/\.\.", "parent_segment"),
        ("./a", "dot_segment"),
        ("a/[.]", "dot_segment"),
        ("a\0b", "control_character"),
        ("a\nb", "control_character"),
        ("a\x85b", "control_character"),
        ("a\ud800b", "control_character"),
        ("a[b", "bad_class"),
        ("a[]", "bad_class"),
        ("a[!]", "bad_class"),
        ("[a/b]", "bad_class"),
        ("[z-a]", "bad_class"),
        ("[[:alpha:]]", "bad_class"),
        ("[\u4e00-\u9fff]", "bad_class"),
        ("[q\u0331]", "bad_class"),
        ("a\\", "bad_escape"),
        ("a\\/b", "bad_escape"),
        ("*\u0301", "combining_mark"),
        ("e\\\u0301", "combining_mark"),
        ("a" * 513, "too_long"),
        ("\u00e9" * 257, "too_long"),
        ("*" * 100_000, "too_long"),
        ("**/" * 250 + "a", "too_long"),
        ("*a" * 65, "too_many_wildcards"),
        ("?" * 65, "too_many_wildcards"),
    ],
)
def test_a_text_that_is_no_glob_is_refused_by_its_rule(pattern: str, rule: str) -> None:
    with pytest.raises(BadGlob) as refused:
        parse(pattern)
    assert refused.value.rule == rule


@pytest.mark.parametrize(
    ("pattern", "normal"),
    [("**/**/a/**/**", "**/a/**"), ("e\u0301/*", "\u00e9/*"), ("A/b.PY", "A/b.PY"), ("a*", "a*")],
)
def test_a_glob_is_known_by_its_normal_form(pattern: str, normal: str) -> None:
    assert parse(pattern).pattern == normal
    assert parse(pattern) == parse(normal)


@pytest.mark.parametrize("path", ["", ".", "..", "a/../b", "/a", "a/", "a//b", "a\0", "a\ud800"])
def test_an_illegal_path_is_matched_by_nothing(path: str) -> None:
    assert not matches(parse("**"), path)


def test_bounds_are_inclusive() -> None:
    assert parse("a" * 512).sample == "a" * 512
    assert matches(parse("*a" * 64), "ba" * 64)


def test_a_path_is_read_in_nfc_and_a_witness_is_written_in_it() -> None:
    assert matches(parse("caf\u00e9"), "cafe\u0301")
    assert not matches(parse("e?"), "e\u0301")
    assert meeting("q\u0331*", "??") == "q\u0331"
    assert meeting("e*", "?\u00e9") == "e\u00e9"
    assert meeting("[\u02f0-\u0370]*", "?[!a-z]") == "\u02f00"


def test_every_character_that_nfc_could_move_is_kept_from_free_choices() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    decomposed = {c: d for c in characters if (d := unicodedata.normalize("NFD", c)) != c}
    moving = {c for c in characters if unicodedata.combining(c)}
    moving |= {d[-1] for c, d in decomposed.items() if unicodedata.is_normalized("NFC", c)}
    moving |= {c for c in decomposed if not unicodedata.is_normalized("NFC", c)}
    assert len(moving) > 2_000
    assert [c for c in moving if not globs._joins(c)] == []
    assert [c for c in globs._FREE if globs._joins(c)] == []


@given(PATTERNS, PATHS)
def test_matching_agrees_with_a_matcher_written_apart(pattern: str, path: str) -> None:
    assert matches(parse(pattern), path) == reference_matches(pattern, path)


@given(PATTERNS.filter(lambda p: "[" not in p and "***" not in p), PATHS)
def test_matching_agrees_with_anchored_gitignore(pattern: str, path: str) -> None:
    spec = pathspec.GitIgnoreSpec.from_lines(["/" + pattern])
    # Git also ignores what lies below a directory that matches.
    above = itertools.accumulate(path.split("/"), "{}/{}".format)
    assert spec.match_file(path) == any(matches(parse(pattern), name) for name in above)


@given(PATTERNS, PATTERNS, PATHS)
@example("**/a", "a/**", "a/a")
def test_globs_that_share_a_path_overlap(a: str, b: str, path: str) -> None:
    if matches(parse(a), path) and matches(parse(b), path):
        assert meeting(a, b) is not None


@given(PATTERNS, PATTERNS)
def test_a_witness_is_matched_by_both_in_either_order(a: str, b: str) -> None:
    meeting(a, b)


@given(PATHS, st.data())
def test_two_globs_loosened_from_one_path_overlap(path: str, data: st.DataObject) -> None:
    def loosened(name: str) -> str:
        at = data.draw(st.integers(0, len(name) - 1))
        looser = [name, "**", "*", "?" * len(name), name[:at] + "*", "*" + name[at:]]
        return data.draw(st.sampled_from(looser))

    a, b = ("/".join(map(loosened, path.split("/"))) for _ in range(2))
    assert matches(parse(a), path)
    assert meeting(a, b) is not None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("*a" * 64 + "a" * 380, "a*" * 64 + "a" * 384),
        ("**/" + "a/" * 250 + "b", "a/" * 250 + "**/b"),
        ("/".join(["**", "?*a"] * 21), "/".join(["**", "*?"] * 21)),
        ("[!a]*" * 32, "*[!b]" * 32),
    ],
)
def test_the_worst_globs_take_one_step_a_token(
    a: str, b: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = parse(a), parse(b)
    steps = Mock(wraps=globs._sharing)
    monkeypatch.setattr(globs, "_sharing", steps)
    globs._shared_name.cache_clear()
    assert overlap(one, other) is not None
    assert 0 < steps.call_count <= globs.MAX_BYTES


def words(alphabet: list[str], most: int) -> list[str]:
    return [
        "".join(word)
        for size in range(1, most + 1)
        for word in itertools.product(alphabet, repeat=size)
    ]


@pytest.mark.parametrize(("letters", "tokens"), [("ab", 3), ("a.", 4)])
def test_overlap_is_exact_for_all_small_globs(letters: str, tokens: int) -> None:
    # A shortest witness owes each character to a token of its own: to one that is no star, or
    # to a star for the one character that keeps a name from being empty or dots.
    longest = 2 * tokens
    paths = [w for w in words([*letters, "/"], longest) if ILLEGAL.isdisjoint(w.split("/"))]
    patterns = sorted({p for p in words([*letters, "*", "?", "**", "/"], tokens) if is_glob(p)})
    taken = {}
    for pattern in patterns:
        fullmatch = reference(pattern).fullmatch
        taken[pattern] = sum(1 << at for at, path in enumerate(paths) if fullmatch(path))
    wrong = [
        (a, b)
        for a, b in itertools.combinations(patterns, 2)
        if (overlap(parse(a), parse(b)) is not None) != bool(taken[a] & taken[b])
    ]
    assert wrong == []
