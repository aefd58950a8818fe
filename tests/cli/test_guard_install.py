"""`kyros guard install`: hooks beside whatever is there, shown first, undone by a copy."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, WAIT, Kyros, environment


def git(top: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    identity = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME",)}
    identity |= {"GIT_AUTHOR_EMAIL": "x@x", "GIT_COMMITTER_EMAIL": "x@x"}
    return subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *words],
        cwd=top,
        env={**environment(**more), **identity, "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh repository with `kyros` on its path; the test stands in it."""
    place = tmp_path / "repository"
    (place / "src").mkdir(parents=True)
    assert git(place, "init", "-q").returncode == 0
    programs = tmp_path / "bin"
    programs.mkdir()
    kyros = programs / "kyros"
    kyros.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m kyros_collab_server "$@"\n'
    )
    kyros.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.chdir(place)
    return place


def pre_commit(top: Path) -> Path:
    return top / ".git" / "hooks" / "pre-commit"


def test_both_hooks_are_shown_and_written_once(kyros: Kyros, top: Path) -> None:
    told = kyros("guard", "install", "--dry-run")
    assert told.code == 0
    assert '+            "command": "kyros guard --hook",' in told.err
    assert "+# >>> kyros guard >>>" in told.err
    assert not (top / ".claude").exists()
    assert not pre_commit(top).exists()
    assert kyros("guard", "install").code == 0
    (entry,) = json.loads((top / ".claude" / "settings.json").read_text())["hooks"]["PreToolUse"]
    assert entry["hooks"][0]["command"] == "kyros guard --hook"
    assert stat.S_IMODE(pre_commit(top).stat().st_mode) == 0o755
    before = [(top / ".claude" / "settings.json").read_text(), pre_commit(top).read_text()]
    again = kyros("guard", "install")
    assert again.out.count("unchanged") == 2
    assert before == [(top / ".claude" / "settings.json").read_text(), pre_commit(top).read_text()]
    assert list(top.rglob("*kyros-backup*")) == []


def test_other_hooks_stay_and_a_copy_is_kept(kyros: Kyros, top: Path) -> None:
    settings = top / ".claude" / "settings.json"
    settings.parent.mkdir()
    other = {"matcher": "Bash", "hooks": [{"type": "command", "command": "check"}]}
    shared = {
        "matcher": "Write",
        "hooks": [
            {"type": "command", "command": "kyros guard --hook --agent old"},
            {"type": "command", "command": "fmt"},
        ],
    }
    held = {"model": "x", "hooks": {"PreToolUse": [other, shared], "Stop": []}}
    settings.write_text(json.dumps(held))
    pre_commit(top).write_text("#!/usr/bin/env bash\nset -e\nexec lint\n")
    assert kyros("guard", "install", "--agent", "ana", "--require-lease").code == 0
    after = json.loads(settings.read_text())
    assert after["model"] == "x"
    assert after["hooks"]["Stop"] == []
    first, ours, theirs = after["hooks"]["PreToolUse"]
    assert first == other
    assert ours["hooks"][0]["command"] == "kyros guard --agent ana --require-lease --hook"
    assert theirs == {**shared, "hooks": shared["hooks"][1:]}
    assert settings.with_name("settings.json.kyros-backup").read_text() == json.dumps(held)
    script = pre_commit(top).read_text()
    assert script.startswith("#!/usr/bin/env bash\n# >>> kyros guard >>>\n")
    assert script.endswith("# <<< kyros guard <<<\nset -e\nexec lint\n")
    assert kyros("guard", "install", "--git").code == 0
    assert "--agent" not in pre_commit(top).read_text()
    assert pre_commit(top).read_text().endswith("# <<< kyros guard <<<\nset -e\nexec lint\n")
    assert pre_commit(top).read_text().count(">>>") == 2
    assert pre_commit(top).with_name("pre-commit.kyros-backup-2").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"hooks": []}', '{"hooks": {"PreToolUse": 1}}'])
def test_a_file_that_is_not_understood_stays_as_it_is(kyros: Kyros, top: Path, text: str) -> None:
    settings = top / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text(text)
    assert kyros("guard", "install").code == 9
    assert settings.read_text() == text
    assert not pre_commit(top).exists()


def test_a_hook_that_is_no_shell_script_stays_as_it_is(kyros: Kyros, top: Path) -> None:
    pre_commit(top).write_text("#!/usr/bin/env python3\n")
    said = kyros("guard", "install", "--git")
    assert said.code == 9
    assert "kyros guard --stdin" in said.err
    assert kyros("guard", "install", "--claude").code == 0


def test_outside_a_repository_there_is_no_git_hook(
    kyros: Kyros, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert kyros("guard", "install", "--git").code == 3
    assert kyros("guard", "install", "now").code == 2


def test_a_commit_of_what_another_holds_is_refused(kyros: Kyros, top: Path, tmp_path: Path) -> None:
    assert kyros("guard", "install", "--git").code == 0
    store = {"KYROS_DATA_DIR": str(tmp_path / "data"), "KYROS_AGENT": "ana"}
    (top / "src" / "a b.py").write_text("one")
    assert git(top, "add", "-A", **store).returncode == 0
    first = git(top, "commit", "-qm", "no board yet", **store)
    assert first.returncode == 0, first.stderr
    assert kyros("lease", "acquire", "path:src/**", "--agent", "bo").code == 0
    (top / "src" / "a b.py").write_text("two")
    refused = git(top, "commit", "-qam", "held", **store)
    assert refused.returncode == 1
    assert "agent:bo holds path:src/**, which covers src/a b.py" in refused.stderr
    assert git(top, "commit", "-qam", "mine", **{**store, "KYROS_AGENT": "bo"}).returncode == 0
