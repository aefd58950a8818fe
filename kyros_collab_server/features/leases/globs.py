r"""Path globs of lease resources, and the exact answer to whether two can name one path.

A glob speaks of a whole relative path: `*` is any run of characters of one name, `?` one,
`[a-z]` and `[!a-z]` one in or outside a set, `\x` the character x, `**` as a whole segment any
number of names, at the end at least one. A path is NFC, no name in it is empty, `.` or `..`.
Source: coordination.md, section 3.

Overlap intersects two automata, twice over: a glob is a chain of names with `**` as its star,
a name a chain of characters with `*` as its star, and one product walk serves both, without
backtracking. A witness is NFC by construction: a mark that could join the character before it
is accepted only right after a literal, and no free choice picks one.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Final, Generic, Self, TypeVar

MAX_BYTES: Final = 512
MAX_WILDCARDS: Final = 64
MAX_SET_CHARACTERS: Final = 256
# What a free choice picks, best first; two sets exclude less than the ideographs at the end.
_FREE: Final = "".join(map(chr, (*b"xyz", *range(97, 120), *b"0123456789", *range(0x4E00, 0x5100))))
_CONTROL: Final = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_TOKEN: Final = re.compile(
    r"(?P<star>\*+)|(?P<any>\?)|\[(?P<outside>[!^]?+)(?P<set>(?:\\.|[^\\])(?:\\.|[^]\\])*)\]"
    r"|\\(?P<escaped>.)|(?P<plain>[^[\\])|(?P<broken>.)"
)
_MEMBER: Final = re.compile(r"\\?(.)(?:-\\?(.))?")


class BadGlob(ValueError):
    """The text is not a glob; `rule` is the stable slug of the rule it breaks.

    One of `too_long`, `too_many_wildcards`, `control_character`, `absolute`, `empty_segment`,
    `dot_segment`, `parent_segment`, `bad_escape`, `combining_mark`, and `bad_class`: unclosed,
    reversed, named, with a mark, or of more than `MAX_SET_CHARACTERS`.
    """

    def __init__(self, rule: str) -> None:
        super().__init__(f"not a path glob: {rule}")
        self.rule = rule


W = TypeVar("W", "_Chars", "_Name")  # a wild token: it stands for at least one literal


class _Chain(Generic[W]):
    """Tokens in order (None is a star, never beside another) and the places of each, as bits."""

    def __init__(self, tokens: Sequence[str | W | None]) -> None:
        self.tokens: Sequence[str | W | None] = tokens
        self.places: dict[str | W | None, int] = {}
        self.wilds: dict[W, int] = {}
        for at, token in enumerate(tokens):
            self.places[token] = self.places.get(token, 0) | 1 << at
            if token is not None and not isinstance(token, str):
                self.wilds[token] = self.places[token]


@dataclass(frozen=True, slots=True)
class _Chars:
    """The listed characters, none a mark, or with `is_outside` all others, marks included."""

    listed: frozenset[str]
    is_outside: bool = False

    def shared(self, other: str | Self) -> str | None:
        if isinstance(other, str):
            return other if (other in self.listed) != self.is_outside else None
        met = self & other
        return next(filter(met.shared, _FREE)) if met.is_outside else min(met.listed, default=None)

    def __and__(self, other: "_Chars") -> "_Chars":
        if self.is_outside and other.is_outside:
            return _Chars(self.listed | other.listed, is_outside=True)
        if other.is_outside:
            return _Chars(self.listed - other.listed)
        return _Chars(other.listed - self.listed if self.is_outside else other.listed & self.listed)


_Token = str | _Chars | None
_ANY: Final = _Chars(frozenset(), is_outside=True)
_NOT_DOT: Final = _Chars(frozenset("."), is_outside=True)


@dataclass(frozen=True, slots=True)
class _Name:
    """A segment with wildcards; its legal names are those of `forms`: no `.`, no `..`."""

    text: str
    chain: _Chain[_Chars] = field(compare=False)
    forms: tuple[tuple[_Token, ...], ...] = field(compare=False)
    prefix: str = field(compare=False)
    suffix: str = field(compare=False)
    is_one_star: bool = field(compare=False)  # nothing but a star between prefix and suffix

    def shared(self, other: str | Self) -> str | None:
        if not isinstance(other, str):
            return _shared_name(self, other)
        if not other.startswith(self.prefix) or not other.endswith(self.suffix):
            return None
        if self.is_one_star:
            return other if len(other) >= len(self.prefix) + len(self.suffix) else None
        return _common(other, self.chain, "")


@dataclass(frozen=True, slots=True)
class PathGlob:
    """A glob, known by its `pattern`: the text in NFC with `**/**` collapsed.

    `sample` is a path of it; all start with `prefix`, end with `suffix`. A subtree asks no more.
    """

    pattern: str
    chain: _Chain[_Name] = field(compare=False, repr=False)
    prefix: str = field(compare=False, repr=False)
    suffix: str = field(compare=False, repr=False)
    sample: str = field(compare=False, repr=False)
    is_subtree: bool = field(compare=False, repr=False)


@lru_cache(maxsize=4096)
def parse(pattern: str) -> PathGlob:
    """The glob that `pattern` spells. Raises BadGlob with the rule it breaks."""
    segments = _segments(pattern)
    names: list[str | _Name | None] = []
    flat: list[_Token] = []
    for text in segments:
        tokens = tuple(_tokens(text))
        # A leading `**` may stand for nothing, and then no slash follows it.
        flat += tokens if text == "**" and not names else (*tokens, "/")
        names.append(None if text == "**" else _name(text, tokens))
    wildcards = sum(not isinstance(token, str) for token in flat)
    if wildcards > MAX_WILDCARDS:
        raise BadGlob("too_many_wildcards")
    if is_deep := names[-1] is None:
        names.append(_name("*", (None,)))
    chain = _Chain(names)
    return PathGlob(
        pattern="/".join(segments),
        chain=chain,
        prefix=_leading(flat[:-1]),
        suffix="" if is_deep else _leading(flat[-2::-1])[::-1],
        sample=_common(names, chain, "/") or "",
        is_subtree=is_deep and wildcards == 1,
    )


def matches(glob: PathGlob, path: str) -> bool:
    """True when `glob` matches all of `path` (taken as NFC); never for an illegal path."""
    names = unicodedata.normalize("NFC", path).split("/")
    is_legal = not _CONTROL.search(path) and {"", ".", ".."}.isdisjoint(names)
    return is_legal and _common(names, glob.chain, "/") is not None


def overlap(a: PathGlob, b: PathGlob) -> str | None:
    """A legal path that both match, or None when no path matches both."""
    is_inside, is_around = a.prefix.startswith(b.prefix), b.prefix.startswith(a.prefix)
    is_ending = a.suffix.endswith(b.suffix) or b.suffix.endswith(a.suffix)
    if not is_ending or not (is_inside or is_around):
        return None
    if a.pattern == b.pattern or (is_inside and b.is_subtree):
        return a.sample
    if is_around and a.is_subtree:
        return b.sample
    return _common(a.chain.tokens, b.chain, "/")


def _sharing(token: str | W, chain: _Chain[W], row: int) -> int:
    """The bits of `row` where `chain` has a token that shares a literal with `token`."""
    bits = chain.places.get(token, 0)
    for other, places in (chain.wilds if isinstance(token, str) else chain.places).items():
        if places & row & ~bits and other is not None and _shared(token, other):
            bits |= places
    return bits & row


def _common(tokens: Sequence[str | W | None], chain: _Chain[W], glue: str) -> str | None:
    """A word in both, its literals glued together, or None."""
    stars = chain.places.get(None, 0)
    row = 1 | (stars & 1) << 1
    rows = [row]  # bit j of row i: some word is in the first i tokens and the first j of `chain`
    for token in tokens:
        if token is None:  # takes whatever the other side needs: all later states are reached
            row = ((2 << len(chain.tokens)) - 1) & -(row & -row)
        else:
            row = (_sharing(token, chain, row) << 1) | (row & stars)
            row |= (row & stars) << 1
        if not row:
            return None
        rows.append(row)
    if not row >> len(chain.tokens):
        return None
    # Read a word back from the end. Each step lowers i or j, so a star takes no more than it must.
    word: list[str | None] = []
    i, j = len(tokens), len(chain.tokens)
    while i or j:
        mine, theirs = tokens[i - 1] if i else "", chain.tokens[j - 1] if j else ""
        if mine is None and rows[i - 1] >> j & 1:
            i -= 1
        elif theirs is None:
            j -= 1
        elif mine is None:
            word.append(_shared(theirs, theirs))
            j -= 1
        elif j and rows[i - 1] >> (j - 1) & 1 and (both := _shared(mine, theirs)):
            word.append(both)
            i, j = i - 1, j - 1
        else:
            word.append(_shared(mine, mine))
            i -= 1
    return glue.join(filter(None, reversed(word)))


def _shared(a: str | W, b: str | W) -> str | None:
    if not isinstance(a, str):
        return a.shared(b)
    if not isinstance(b, str):
        return b.shared(a)
    return a if a == b else None


@lru_cache(maxsize=16384)
def _shared_name(a: _Name, b: _Name) -> str | None:
    a, b = sorted((a, b), key=lambda name: len(name.forms))
    return next(filter(None, (_common(form, b.chain, "") for form in a.forms)), None)


def _leading(tokens: Sequence[_Token]) -> str:
    return "".join(map(str, takewhile(lambda token: isinstance(token, str), tokens)))


def _segments(pattern: str) -> list[str]:
    """The segments of `pattern` in NFC, `**/**` collapsed; length and characters are legal."""
    text = unicodedata.normalize("NFC", pattern[: 4 * MAX_BYTES])  # composing shortens by less
    broken = {
        "too_long": len(text.encode(errors="replace")) > MAX_BYTES,
        "control_character": _CONTROL.search(text),
        "combining_mark": any(a in "*?]\\" and _joins(b) for a, b in pairwise(text)),
        "absolute": text.startswith("/"),
        "empty_segment": "" in text.split("/"),
    }
    for rule in filter(broken.get, broken):
        raise BadGlob(rule)
    return re.sub(r"(?<![^/])\*\*(/\*\*)+(?![^/])", "**", text).split("/")


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        if found["broken"]:
            raise BadGlob("bad_class" if found["broken"] == "[" else "bad_escape")
        in_set = _Chars(_listed(found["set"]), bool(found["outside"])) if found["set"] else None
        yield found["escaped"] or found["plain"] or in_set or (_ANY if found["any"] else None)


def _listed(members: str) -> frozenset[str]:
    """The characters of a class that can stand anywhere in a name."""
    spans = [range(ord(low), ord(high or low) + 1) for low, high in _MEMBER.findall(members)]
    is_sized = all(spans) and sum(map(len, spans)) <= MAX_SET_CHARACTERS
    if not is_sized or "[:" in members or any(map(_joins, members)):
        raise BadGlob("bad_class")
    chars = (chr(code) for span in spans for code in span)
    return frozenset(c for c in chars if c != "/" and not _CONTROL.match(c) and not _joins(c))


def _name(text: str, tokens: tuple[_Token, ...]) -> str | _Name:
    forms = tuple(_legal_forms(tokens))
    if not forms:
        raise BadGlob("dot_segment" if len(tokens) == 1 else "parent_segment")
    start, end = _leading(tokens), _leading(tokens[::-1])[::-1]
    if len(start) == len(tokens):
        return start
    is_one_star = None in tokens and len(start) + len(end) + 1 == len(tokens)
    return _Name(text, _Chain(tokens), forms, start, end, is_one_star)


def _legal_forms(tokens: tuple[_Token, ...], dots: str = "") -> Iterator[tuple[_Token, ...]]:
    """Rows of tokens that add up to `dots` and `tokens`, less the names ``, `.` and `..`."""
    if not tokens:
        return
    head, rest = (_ANY, tokens) if tokens[0] is None else (tokens[0], tokens[1:])
    if len(dots) == 2:
        yield (*dots, head, *rest)
    elif _shared(head, _NOT_DOT):
        yield (*dots, head if isinstance(head, str) else head & _NOT_DOT, *rest)
    if len(dots) < 2 and _shared(head, "."):
        yield from _legal_forms(rest, dots + ".")
    if tokens[0] is None:
        yield from _legal_forms(tokens[1:], dots)


def _joins(char: str) -> bool:
    """True when NFC may merge or swap `char` with the one before it, or never contains it."""
    is_mark = unicodedata.category(char)[0] == "M" or not unicodedata.is_normalized("NFC", char)
    is_letter = "\u1100" <= char <= "\u11ff" or "\U00016d63" <= char <= "\U00016d6a"
    return char >= "\u0300" and (is_mark or is_letter)
