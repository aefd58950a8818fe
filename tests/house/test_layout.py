"""Where files may stand, and what they may be called."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.house.tree import PACKAGES, classes_and_functions, parsed, python_files

CORE = Path("kyros_collab_server")
KERNEL = {"work", "operation", "principal", "errors", "etag", "ids", "paging", "time"}
FEATURE_FILES = {"model", "errors", "rules", "ports", "service"}
ONE_MORE = {
    "events": {
        "accounts",
        "checkpoints",
        "human_log",
        "moments",
        "statistics",
        "summaries",
        "verifying",
    },
    "leases": {"globs", "holding", "pasts", "upkeep", "waiting"},
    "tasks": {"boards", "briefs", "cards", "chains", "choosing", "claims", "moves", "pasts"},
}  # ADR 0002
BAG_FILES = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}
EMPTY_WORDS = {"manager", "handler", "util", "utils", "helper", "data", "info", "process"}
# What a third-party interface or the product's own vocabulary demands, each with its reason.
NAMES_EXCUSED: dict[str, str] = {"data_received": "asyncio.Protocol calls it so"}
PRODUCT = python_files(*PACKAGES)


def words(name: str) -> list[str]:
    """`ReadHTTPBody` and `read_http_body` are both read, http, body."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)
    return [part.lower() for part in parts]


def docstring_only(tree: ast.Module) -> bool:
    return ast.get_docstring(tree) is not None and len(tree.body) == 1


def imported_roots(tree: ast.Module) -> set[str]:
    roots: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])
    return roots


def test_the_kernel_is_a_closed_list() -> None:
    found = {path.stem for path in PRODUCT if path.parent == CORE / "kernel"}
    assert found - {"__init__"} <= KERNEL


def test_the_kernel_imports_the_standard_library_and_pydantic() -> None:
    for path in PRODUCT:
        if path.parent != CORE / "kernel":
            continue
        allowed = {"kyros_collab_server", "pydantic", *sys.stdlib_module_names}
        if path.stem == "etag":
            allowed.add("rfc8785")  # canonical JSON is what an ETag is a digest of
        assert imported_roots(parsed(path)) <= allowed, path


def test_every_feature_holds_the_same_files() -> None:
    features = CORE / "features"
    for path in PRODUCT:
        if features not in path.parents or path.stem == "__init__":
            continue
        feature, *inside = path.relative_to(features).parts
        allowed = FEATURE_FILES | ONE_MORE.get(feature, set())
        assert len(inside) == 1, path
        assert path.stem in allowed, path


def test_no_file_is_a_bag_of_leftovers() -> None:
    everywhere = [*PRODUCT, *python_files("tests", "scripts")]
    assert [path for path in everywhere if path.stem in BAG_FILES] == []


def test_an_init_file_holds_a_docstring_only() -> None:
    packages = [path for path in PRODUCT if path.name == "__init__.py"]
    assert [path for path in packages if not docstring_only(parsed(path))] == []


def test_no_name_is_an_empty_word() -> None:
    named = {node.name for path in PRODUCT for node in classes_and_functions(parsed(path))}
    named |= {path.stem for path in PRODUCT}
    empty = {name for name in named if EMPTY_WORDS & set(words(name.replace("data_dir", "")))}
    assert empty == set(NAMES_EXCUSED), "rename it, or drop the excuse nobody needs"


@pytest.mark.parametrize("path", python_files("tests"), ids=str)
def test_the_name_of_a_test_is_a_sentence(path: Path) -> None:
    tests = [
        node.name
        for node in classes_and_functions(parsed(path))
        if not isinstance(node, ast.ClassDef) and node.name.startswith("test_")
    ]
    assert [name for name in tests if len(words(name)) < 4] == []
