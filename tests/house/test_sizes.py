"""Files of at most 300 lines, functions of at most 60, and a short list of excuses that shrinks."""

import statistics

from tests.house.tree import (
    FUNCTION,
    PACKAGES,
    ROOT,
    classes_and_functions,
    parsed,
    python_files,
)

FILE_LINES = 300
FUNCTION_LINES = 60
MEDIAN_FILE_LINES = 120
MOST_EXCUSES = 10
EXCUSES = ROOT / "tests" / "house" / "size_exceptions.txt"
FROZEN = "store/migrations/versions/"  # history is never rewritten to look better


def excuses() -> dict[str, int]:
    """`path 320` or `path::function 75`, one a line: what may be larger, and how large."""
    rows = [row for row in EXCUSES.read_text().splitlines() if row and not row.startswith("#")]
    return {name: int(size) for name, size in (row.split() for row in rows)}


def oversized() -> dict[str, int]:
    found: dict[str, int] = {}
    for path in python_files(*PACKAGES, "tests", "scripts"):
        if FROZEN in path.as_posix():
            continue
        size = len((ROOT / path).read_text().splitlines())
        if size > FILE_LINES:
            found[str(path)] = size
        for node in classes_and_functions(parsed(path)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if isinstance(node, FUNCTION) and length > FUNCTION_LINES:
                found[f"{path}::{node.name}"] = length
    return found


def test_nothing_is_larger_than_its_limit() -> None:
    excused = excuses()
    assert {name: size for name, size in oversized().items() if size > excused.get(name, 0)} == {}


def test_an_excuse_nobody_needs_is_taken_off_the_list() -> None:
    found = oversized()
    assert {name: size for name, size in excuses().items() if found.get(name, 0) < size} == {}


def test_the_list_of_excuses_stays_short() -> None:
    assert len(excuses()) <= MOST_EXCUSES


def test_the_median_file_is_read_in_one_go() -> None:
    sizes = [len((ROOT / path).read_text().splitlines()) for path in python_files(*PACKAGES)]
    assert statistics.median(sizes) <= MEDIAN_FILE_LINES
