"""Each code has a page, and each page is of a code that the product has."""

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import http_api
import kyros_collab_server
from http_api.problems import status_of
from kyros_collab_server.kernel.errors import KyrosError
from tests.house.tree import ROOT

PAGES = ROOT / "docs" / "problems"
NOT_IMPORTED = ("__main__", ".migrations.", ".cli.")


def refusals(base: type[KyrosError] = KyrosError) -> Iterator[type[KyrosError]]:
    for one in base.__subclasses__():
        yield one
        yield from refusals(one)


@pytest.fixture(scope="module")
def statuses() -> dict[str, set[int]]:
    for package in (kyros_collab_server, http_api):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in f"{module.name}." for part in NOT_IMPORTED):
                importlib.import_module(module.name)
    found: dict[str, set[int]] = {}
    for refusal in refusals():
        if refusal.__module__.split(".")[0] in {"http_api", "kyros_collab_server"}:
            found.setdefault(refusal.code, set()).add(status_of(refusal))
    return found


def page(code: str) -> Path:
    return PAGES / f"{code}.md"


def test_every_code_has_a_page_that_names_its_statuses(statuses: dict[str, set[int]]) -> None:
    for code, known in statuses.items():
        assert page(code).is_file(), f"docs/problems/{code}.md is missing"
        text = page(code).read_text()
        assert text.startswith(f"# `{code}`")
        assert [status for status in known if str(status) not in text] == [], code


def test_every_page_is_of_a_code_and_listed(statuses: dict[str, set[int]]) -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"README"}
    assert pages == set(statuses)
    listed = (PAGES / "README.md").read_text()
    assert [code for code in pages if f"[`{code}`]({code}.md)" not in listed] == []
