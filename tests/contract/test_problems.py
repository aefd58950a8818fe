"""Each code has a page, and each page is of a code that the product has."""

from pathlib import Path

import pytest

from http_api.problems import status_of
from tests.contract.reference import by_code
from tests.house.tree import ROOT

PAGES = ROOT / "docs" / "problems"


@pytest.fixture(scope="module")
def statuses() -> dict[str, set[int]]:
    return {code: {status_of(one) for one in known} for code, known in by_code().items()}


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
