"""`kyros import` and first starts: the state files come in whole, or not at all."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from kyros_collab_server.adapters.state_files import state_file_text
from kyros_collab_server.features.tasks.model import Task
from kyros_collab_server.features.tasks.rules import sealed
from tests.cli.conftest import PROGRAM, ROOT, WAIT, Kyros, environment

SEED = str(ROOT / "collaboration")
TS = "2026-01-05T09:00:00.000Z"


def directory(place: Path, *tasks: dict[str, Any]) -> str:
    made = [
        sealed(
            Task.model_validate(
                {"title": "x", "created_by": "system", "created_at": TS, "updated_at": TS, **one}
            )
        )
        for one in tasks
    ]
    entries = [(one.id, one.etag, one.model_dump(mode="json")) for one in made]
    (place / "state").mkdir(parents=True)
    (place / "state" / "tasks.json").write_text(state_file_text("tasks", 1, 0, entries))
    return str(place)


def test_an_import_creates_skips_and_counts(kyros: Kyros) -> None:
    planned = kyros("import", SEED, "--dry-run")
    assert "11 would be created, 0 skipped, 0 left out" in planned.err
    assert kyros("task", "list").code == 3
    assert "11 created, 0 skipped, 0 left out" in kyros("import", SEED).err
    again = kyros("import", SEED)
    assert (again.code, "0 created, 11 skipped" in again.err) == (0, True)
    assert len(kyros("task", "list").rows) == 11


def test_the_first_command_that_makes_a_store_fills_it_from_its_state_files(
    kyros: Kyros, tmp_path: Path
) -> None:
    directory(tmp_path / "data", {"id": "A", "title": "From the file"})
    assert kyros("task", "new", "By hand").code == 0
    titles = [row[0] for row in kyros("task", "list", "--fields", "title").rows]
    assert titles == ["From the file", "By hand"]


def test_processes_that_start_at_once_bring_the_files_in_once(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    directory(data_dir, *({"id": f"A{n:02}"} for n in range(60)))
    env = environment(KYROS_DATA_DIR=str(data_dir))
    started = [
        subprocess.Popen(
            [*PROGRAM, "task", "new", "Mine"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    ended = [(one.communicate(timeout=WAIT), one.returncode) for one in started]
    assert [code for _, code in ended] == [0, 0, 0, 0], ended
    listed = subprocess.run(
        [*PROGRAM, "task", "list", "--quiet"], env=env, capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 64


def test_more_than_one_batch_comes_in_dependants_after_what_they_need(
    kyros: Kyros, tmp_path: Path
) -> None:
    tasks = [
        {"id": f"A{n:03}", "depends_on": [f"A{n + 1:03}"] if n < 119 else []} for n in range(120)
    ]
    assert kyros("import", directory(tmp_path / "big", *tasks)).code == 0
    assert len(kyros("task", "list").rows) == 120


def test_a_broken_file_leaves_no_store_behind(kyros: Kyros, tmp_path: Path) -> None:
    place = directory(tmp_path / "data", {"id": "A"})
    path = Path(place) / "state" / "tasks.json"
    path.write_text(path.read_text()[:-20])
    for words in (["import", place], ["task", "new", "x"], ["seed"]):
        said = kyros(*words)
        assert said.code == 9, words
        assert "tasks.json line 1" in said.err
    assert not (tmp_path / "data" / "kyros.db").exists()


@pytest.mark.parametrize(
    "task",
    [
        {"id": "A", "status": "in_progress", "assignee": "agent:ana"},
        {"id": "A", "status": "done"},
        {"id": "A", "handoff": "half way"},
    ],
    ids=["in progress", "done", "handed over"],
)
def test_a_task_that_was_worked_on_is_refused_or_left_out_with_a_notice(
    kyros: Kyros, tmp_path: Path, task: dict[str, Any]
) -> None:
    place = directory(tmp_path / "old", task, {"id": "B"})
    refused = kyros("import", place)
    assert (refused.code, "task:A" in refused.err) == (9, True)
    assert kyros("task", "list", "--quiet").out == ""
    left = kyros("import", place, "--leave-out")
    assert (left.code, "1 created, 0 skipped, 1 left out" in left.err) == (0, True)
    assert kyros("task", "list", "--quiet").out == "B\n"


def test_a_dependency_that_is_nowhere_is_refused(kyros: Kyros, tmp_path: Path) -> None:
    said = kyros("import", directory(tmp_path / "old", {"id": "A", "depends_on": ["Z"]}))
    assert (said.code, "entry A depends_on: Z" in said.err) == (9, True)


def test_a_directory_without_state_files_is_not_found(kyros: Kyros, tmp_path: Path) -> None:
    assert kyros("import", str(tmp_path)).code == 3
