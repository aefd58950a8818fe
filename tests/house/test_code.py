"""What the code may not do, where a linter has no rule for it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import FUNCTION, PACKAGES, ROOT, classes_and_functions, parsed, python_files

PRODUCT = python_files(*PACKAGES)
BROAD = {"Exception", "BaseException"}
BROAD_PER_1000_LINES = 0.5
SLEEPS = {"time.sleep", "asyncio.sleep", "anyio.sleep"}


def lines(path: Path) -> int:
    return len((ROOT / path).read_text().splitlines())


def broad_catches(tree: ast.Module) -> Iterator[int]:
    """The lines of `except:`, `except Exception` and `suppress(Exception)`."""
    for node in ast.walk(tree):
        caught: list[ast.expr] = []
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield node.lineno
            else:
                caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught = node.args
        if any(isinstance(name, ast.Name) and name.id in BROAD for name in caught):
            yield node.lineno


def sleeps(function: FUNCTION) -> list[int]:
    """The lines where a test waits for time to pass; `sleep(0)` only yields."""
    return [
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in SLEEPS
        and not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]


def test_broad_excepts_stay_within_their_budget() -> None:
    found = [f"{path}:{line}" for path in PRODUCT for line in broad_catches(parsed(path))]
    thousands = sum(map(lines, PRODUCT)) / 1000
    assert len(found) <= thousands * BROAD_PER_1000_LINES, found


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        str(path)
        for path in PRODUCT
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {"os.environ", "os.getenv", "os.environb"}
    }
    # guard has 50 ms beyond the interpreter's own start; the settings' models take thrice that
    assert readers <= {
        "kyros_collab_server/settings.py",
        "kyros_collab_server/cli/guard.py",
    }


@pytest.mark.parametrize("path", python_files("tests"), ids=str)
def test_no_test_waits_for_time_to_pass(path: Path) -> None:
    waiting = [
        f"{path}:{line}"
        for node in classes_and_functions(parsed(path))
        if isinstance(node, FUNCTION) and node.name.startswith("test_")
        for line in sleeps(node)
    ]
    assert waiting == [], "wait for the thing itself, with a bound"
