"""The top-level help and what is no command."""

import statistics
import subprocess
import sys
import time

import pytest

from kyros_collab_server.__main__ import COMMANDS
from tests.cli.conftest import PROGRAM, ROOT, Kyros, environment

ROUNDS = 9


def test_help_names_every_command(kyros: Kyros) -> None:
    said = kyros("--help")
    assert said.code == 0
    assert all(f"  {name} " in said.out for name in COMMANDS)
    assert kyros().out == kyros("help").out == said.out


def test_every_named_command_has_a_help_of_its_own(kyros: Kyros) -> None:
    for name in COMMANDS:
        said = kyros(name, "--help")
        assert (said.code, said.err) == (0, ""), name
        assert f"kyros {name}" in said.out, name


def test_help_imports_none_of_the_slow_modules() -> None:
    script = (
        "import sys; from kyros_collab_server.__main__ import main; main(['--help']);"
        "print(sorted({m.split('.')[0] for m in sys.modules}"
        " & {'typer', 'pydantic', 'rich', 'asyncio', 'json'}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "[]"


def test_help_takes_at_most_two_and_a_half_bare_starts() -> None:
    def seconds(command: list[str]) -> float:
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment(), cwd=ROOT, check=True)
        return time.perf_counter() - began

    bare, helped = [], []
    for _ in range(ROUNDS):
        bare.append(seconds([sys.executable, "-c", "pass"]))
        helped.append(seconds([*PROGRAM, "--help"]))
    assert statistics.median(helped) <= 2.5 * statistics.median(bare)


@pytest.mark.parametrize("word", ["tsk", "--bogus", ""])
def test_an_unknown_command_is_a_usage_error(kyros: Kyros, word: str) -> None:
    said = kyros(word)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert "\nfix: " in said.err


def test_a_misspelt_command_is_told_the_nearest(kyros: Kyros) -> None:
    assert "kyros task?" in kyros("tsk").err


@pytest.mark.parametrize("words", [["worker"], ["job", "list"], ["schedule"], ["login"]])
def test_a_command_of_a_later_version_says_so(kyros: Kyros, words: list[str]) -> None:
    said = kyros(*words, "--json")
    assert said.code == 2
    assert said.json["error"]["code"] == "not_available"


def test_a_group_without_a_command_prints_its_help_and_is_a_usage_error(kyros: Kyros) -> None:
    said = kyros("task")
    assert said.code == 2
    assert "claim" in said.out


def test_version_says_what_runs(kyros: Kyros) -> None:
    assert kyros("--version").out == kyros("version").out
    assert kyros("version", "--json").items[0].keys() >= {"version", "python", "sqlite"}
