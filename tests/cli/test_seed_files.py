"""The seeded backlog, in the package and in `collaboration/`."""

import pytest

from kyros_collab_server.adapters.state_files import read_state_files
from kyros_collab_server.cli.backlog import backlog
from kyros_collab_server.features.tasks.rules import sealed
from tests.cli.conftest import ROOT, Kyros
from tests.cli.seed_files import seed_files

IDS = [f"T-{number}" for number in (*range(100, 106), *range(200, 205))]


@pytest.mark.parametrize("name", seed_files())
def test_a_shipped_state_file_is_what_the_backlog_makes(name: str) -> None:
    shipped = (ROOT / name).read_text(encoding="utf-8")
    assert shipped == seed_files()[name], "python -m tests.cli.seed_files"


def test_the_shipped_state_files_load_with_right_etags() -> None:
    state = read_state_files(ROOT / "collaboration")
    assert [task.id for task in state.tasks] == IDS
    assert all(task.etag == sealed(task).etag for task in state.tasks)
    assert (state.leases, state.agents) == ((), ())


def test_every_seeded_task_says_when_it_is_done_and_whom_it_fits() -> None:
    for draft in backlog():
        items = {item.id for item in draft.definition_of_done}
        assert items >= {"tests", "checks", "docs", "review", "events"}, draft.id
        assert len(draft.description) > 300, draft.id
        assert (draft.role, draft.skills) == (None, [])


def test_several_agents_find_work_in_the_seeded_backlog_at_once() -> None:
    assert sum(not draft.depends_on for draft in backlog()) >= 3


def test_seeding_twice_makes_nothing_new(kyros: Kyros) -> None:
    first, second = kyros("seed", "--json"), kyros("seed", "--json")
    assert [one["id"] for one in first.items] == IDS
    assert {one["outcome"] for one in first.items} == {"created"}
    assert {one["outcome"] for one in second.items} == {"skipped"}
    listed = kyros("task", "list", "--json").items
    assert [one["id"] for one in listed] == IDS
    assert {one["created_by"] for one in listed} == {"system"}


def test_a_dry_run_of_the_seed_makes_no_store(kyros: Kyros) -> None:
    said = kyros("seed", "--dry-run", "--json")
    assert {one["outcome"] for one in said.items} == {"would be created"}
    assert kyros("task", "list").code == 3
