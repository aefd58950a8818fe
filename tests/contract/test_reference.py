"""The reference says what the code says."""

import pytest

from kyros_collab_server.features.events.model import EventName
from tests.contract.reference import DIRECTORY, PAGES, meanings, path_of, text
from tests.contract.test_problems import PAGES as PROBLEM_PAGES


@pytest.mark.parametrize("page", PAGES)
def test_the_committed_page_is_the_one_the_code_makes(page: str) -> None:
    assert path_of(page).read_text() == text(page), "make reference"


def test_there_is_no_page_that_nothing_makes() -> None:
    assert {path.stem for path in DIRECTORY.glob("*.md")} == set(PAGES)


def test_every_name_of_the_server_says_what_it_means() -> None:
    assert set(meanings()) == {name.value for name in EventName}


def test_every_page_of_a_problem_is_reached_from_the_reference() -> None:
    listed = path_of("problems").read_text()
    pages = {path.stem for path in PROBLEM_PAGES.glob("*.md")} - {"README"}
    assert [code for code in pages if f"(../problems/{code}.md)" not in listed] == []
