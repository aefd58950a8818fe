"""State files are read whole or refused with the file and the entry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kyros_collab_server.adapters.state_files import (
    StateFileBroken,
    in_order_of_dependence,
    read_state_files,
    state_file_text,
)
from kyros_collab_server.features.tasks.model import Task
from kyros_collab_server.features.tasks.rules import sealed

TS = "2026-01-05T09:00:00.000Z"
Alter = Callable[[dict[str, Any]], object]


def task(ident: str, **fields: Any) -> Task:
    return sealed(
        Task(id=ident, title=ident, created_by="system", created_at=TS, updated_at=TS, **fields)
    )


def written(directory: Path, *tasks: Task) -> Path:
    path = directory / "state" / "tasks.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [(one.id, one.etag, one.model_dump(mode="json")) for one in tasks]
    path.write_text(state_file_text("tasks", 7, 12, entries), encoding="utf-8")
    return path


def altered(path: Path, alter: Alter) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    alter(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    tasks = (task("A"), task("B", depends_on=["A"]))
    written(tmp_path, *tasks)
    state = read_state_files(tmp_path)
    assert state.tasks == tasks
    assert state.has_entries


def test_a_directory_without_state_files_says_nothing(tmp_path: Path) -> None:
    assert not read_state_files(tmp_path).has_entries


def test_a_file_torn_anywhere_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, task("A"))
    whole = path.read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        with pytest.raises(StateFileBroken) as refused:
            read_state_files(tmp_path)
        assert "tasks.json line 1" in refused.value.detail


def swap(value: dict[str, Any]) -> None:
    value["data"].reverse()


def twice(value: dict[str, Any]) -> None:
    value["data"].append(value["data"][-1])


ALTERATIONS: dict[str, tuple[Alter, str]] = {
    "unknown version": (lambda v: v.update(version="2"), "version"),
    "negative version": (lambda v: v.update(version=-1), "version"),
    "other kind": (lambda v: v.update(kind="agents"), "kind"),
    "unknown member": (lambda v: v.update(extra=1), "extra"),
    "missing member": (lambda v: v.pop("seq"), "seq"),
    "wrong kind etag": (lambda v: v.update(etag='"7-0"'), "etag"),
    "reordered": (swap, "entry 1 (A)"),
    "twice": (twice, "entry 2 (B)"),
    "entry is no object": (lambda v: v["data"].__setitem__(0, 3), "entry 0"),
    "unknown field": (lambda v: v["data"][1].update(colour="red"), "entry 1 (B) colour"),
    "bad field": (lambda v: v["data"][1].update(status="lost"), "entry 1 (B) status"),
    "altered field": (lambda v: v["data"][0].update(title="Other"), "entry 0 (A) etag"),
    "lost entry": (lambda v: v["data"].pop(), "etag"),
}


@pytest.mark.parametrize(("alter", "where"), ALTERATIONS.values(), ids=ALTERATIONS)
def test_an_altered_file_is_refused_with_the_place(
    tmp_path: Path, alter: Alter, where: str
) -> None:
    path = written(tmp_path, task("A"), task("B"))
    altered(path, alter)
    with pytest.raises(StateFileBroken) as refused:
        read_state_files(tmp_path)
    assert str(path) in refused.value.detail
    assert where in refused.value.detail


@pytest.mark.parametrize(
    "bad", [{"title": ""}, {"labels": ["x"] * 65}, {"description": "a\u202eb"}], ids=str
)
def test_a_task_that_could_not_be_created_is_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    written(tmp_path, sealed(task("A").model_copy(update=bad)))
    with pytest.raises(StateFileBroken) as refused:
        read_state_files(tmp_path)
    assert f"entry 0 (A) {next(iter(bad))}" in refused.value.detail


def test_dependencies_in_a_circle_are_refused_with_the_circle(tmp_path: Path) -> None:
    written(
        tmp_path,
        task("A", depends_on=["B"]),
        task("B", depends_on=["C"]),
        task("C", depends_on=["B"]),
    )
    with pytest.raises(StateFileBroken) as refused:
        read_state_files(tmp_path)
    assert "B → C → B" in refused.value.detail


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    written(tmp_path, task("A")).write_bytes(b"\xff\xfe")
    with pytest.raises(StateFileBroken):
        read_state_files(tmp_path)


def test_tasks_keep_their_order_but_come_after_what_they_depend_on() -> None:
    tasks = (task("A", depends_on=["C"]), task("B"), task("C", depends_on=["X"]))
    assert [one.id for one in in_order_of_dependence(tasks)] == ["C", "A", "B"]
