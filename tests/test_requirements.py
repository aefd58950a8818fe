"""The map from promises to tests, checked both ways."""

import ast
from pathlib import Path

import pytest

from tests.requirements import promises

TESTS = Path(__file__).parent
CORE = ("kernel", "features", "store", "adapters/change_feed")


def names_in(path: Path) -> set[str]:
    """The functions that a file defines."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


@pytest.mark.parametrize("promise", list(promises()))
def test_every_promise_is_held_by_tests_that_exist(promise: str) -> None:
    held_by = promises()[promise]
    assert held_by
    for file, test in held_by:
        assert test.startswith("test_")
        assert test in names_in(TESTS / file), file


def test_no_test_file_of_the_core_stands_outside_the_map() -> None:
    named = {file for held_by in promises().values() for file, _ in held_by}
    files = {
        path.relative_to(TESTS).as_posix()
        for folder in CORE
        for path in (TESTS / folder).rglob("test_*.py")
    }
    assert files - named == set()
