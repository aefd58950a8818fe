"""`kyros lease run`: real commands under real leases, to the end of either."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import PROGRAM, WAIT, Kyros, Served, environment

SHELL = ["sh", "-c"]
LONG = "trap 'echo asked; exit 9' TERM; echo up; while :; do sleep 1 & wait $!; done"
STUBBORN = "trap '' TERM; echo up; while :; do sleep 1 & wait $!; done"
GRANDCHILD = "sleep 300 & echo $!; wait"


@contextmanager
def running(data: Path, *words: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A `kyros lease run` as a process of its own."""
    process = subprocess.Popen(
        [*PROGRAM, "lease", "run", *words],
        env=environment(KYROS_DATA_DIR=str(data), **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=WAIT)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def held(kyros: Kyros) -> list[dict[str, Any]]:
    return kyros("lease", "list", "--json").items


@pytest.mark.parametrize("code", [0, 3, 42])
def test_the_command_runs_while_it_holds_and_its_code_is_passed(
    kyros: Kyros, program: Kyros, code: int
) -> None:
    listing = " ".join(PROGRAM) + " lease list --json"
    told = program("lease", "run", "path:a", "b", "--", *SHELL, f"{listing}; exit {code}")
    assert told.code == code
    leases = {one["resource"]: one for one in told.items}
    assert leases.keys() == {"path:a", "b"}
    assert held(kyros) == []


def test_the_command_works_as_the_same_agent_with_its_token(program: Kyros) -> None:
    listing = " ".join(PROGRAM) + " lease list --mine --json"
    script = f'{listing}; echo "$KYROS_AGENT $KYROS_LEASE_ID $KYROS_FENCING_TOKEN"'
    told = program("lease", "run", "path:a", "--agent", "ana", "--", *SHELL, script)
    page, names = told.out.splitlines()
    (lease,) = json.loads(page)["items"]
    assert names == f"ana {lease['lock_id']} {lease['fencing_token']}"


def test_words_after_the_dashes_are_the_commands_own(program: Kyros) -> None:
    echo = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]
    told = program("lease", "run", "a", "--", *echo, "--ttl", "--", "-x", "a=b", "")
    assert told.out == "['--ttl', '--', '-x', 'a=b', '']\n"


def test_what_is_held_by_another_is_waited_for_or_not_run_at_all(
    kyros: Kyros, program: Kyros, tmp_path: Path
) -> None:
    assert program("lease", "acquire", "path:a", "--agent", "bo").code == 0
    mark = tmp_path / "mark"
    run = ["lease", "run", "path:*", "--agent", "ana"]
    told = program(*run, "--", "touch", str(mark))
    assert (told.code, "lease_held" in told.err) == (6, True)
    assert program(*run, "--wait", "0.3", "--", "touch", str(mark)).code == 124
    assert not mark.exists()
    (lease,) = held(kyros)
    with running(tmp_path / "data", *run[2:], "--wait", "20", "--", "touch", str(mark)) as waiting:
        assert program("lease", "release", lease["lock_id"], "--agent", "bo").code == 0
        assert waiting.wait(WAIT) == 0
    assert mark.exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["a"], 2),
        (["a", "--"], 2),
        (["a", "--", "no-such-command"], 127),
        (["a", "--", "/etc/passwd"], 126),
        (["--", "true"], 2),
        (["a", "--ttl", "1", "--", "true"], 9),
        (["task:T-1", "--", "true"], 9),
    ],
)
def test_what_cannot_be_run_leases_nothing(kyros: Kyros, words: list[str], code: int) -> None:
    assert kyros("lease", "run", *words).code == code
    assert kyros("lease", "acquire", "b").code == 0
    assert [one["resource"] for one in held(kyros)] == ["b"]


def test_signals_are_passed_on_and_the_lease_given_back(kyros: Kyros, data: Path) -> None:
    for number, code in ((signal.SIGTERM, 9), (signal.SIGINT, 130), (signal.SIGUSR1, 138)):
        script = LONG if number == signal.SIGTERM else "echo up; exec sleep 300"
        with running(data, "a", "--", *SHELL, script) as process:
            assert said(process) == "up"
            process.send_signal(number)
            assert process.wait(WAIT) == code
        assert held(kyros) == []


def test_a_lease_lives_as_long_as_the_command(kyros: Kyros, data: Path) -> None:
    with running(data, "a", "--ttl", "5", "--agent", "ana", "--", *SHELL, LONG) as process:
        assert said(process) == "up"
        (first,) = held(kyros)
        deadline = _deadline(12)
        while (now := held(kyros)[0])["heartbeat_at"] == first["heartbeat_at"]:
            assert deadline()
        assert now["lock_id"] == first["lock_id"]
        assert now["state"] == "active"


def _deadline(seconds: float) -> Any:
    import time

    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


@pytest.mark.parametrize(("script", "last"), [(LONG, "asked"), (STUBBORN, "")])
def test_a_lost_lease_ends_the_command(
    kyros: Kyros, program: Kyros, data: Path, script: str, last: str
) -> None:
    words = ["a", "--ttl", "5", "--grace", "0.5", "--agent", "ana", "--", *SHELL, script]
    with running(data, *words) as process:
        assert said(process) == "up"
        (lease,) = held(kyros)
        assert program("lease", "release", lease["lock_id"], "-y", "--agent", "op").code == 0
        out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 6
    assert out.strip() == last
    assert "lease_lost" in err


def test_the_commands_own_children_end_with_it(kyros: Kyros, program: Kyros, data: Path) -> None:
    with running(data, "a", "--ttl", "5", "--", *SHELL, GRANDCHILD) as process:
        grandchild = int(said(process))
        (lease,) = held(kyros)
        assert program("lease", "release", lease["lock_id"]).code == 0
        assert process.wait(WAIT) == 6
    deadline = _deadline(5)
    while _lives(grandchild):
        assert deadline()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_killed_host_leaves_its_lease_to_run_out(program: Kyros, data: Path) -> None:
    with running(data, "a", "--ttl", "5", "--", *SHELL, "echo $$; exec sleep 300") as process:
        child = int(said(process))
        process.kill()
        process.wait(WAIT)
        acquired = program("lease", "acquire", "a", "--agent", "bo", "--wait", "15")
        os.kill(child, signal.SIGKILL)
    assert acquired.code == 0


def test_what_was_held_before_is_held_after(kyros: Kyros, program: Kyros) -> None:
    assert program("lease", "acquire", "a").code == 0
    assert program("lease", "run", "a", "b", "--", "true").code == 0
    assert [one["resource"] for one in held(kyros)] == ["a"]


def test_it_runs_against_a_server(remote: Kyros, tmp_path: Path) -> None:
    names = {name: os.environ[name] for name in ("KYROS_URL", "KYROS_TOKEN", "KYROS_WORKSPACE")}
    with running(tmp_path, "a", "--ttl", "5", "--", *SHELL, LONG, **names) as process:
        assert said(process) == "up"
        assert [one["resource"] for one in held(remote)] == ["a"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 9
    assert held(remote) == []


def test_a_server_that_stays_away_ends_the_command_with_its_lease(tmp_path: Path) -> None:
    served = Served("--port", "0", data_dir=tmp_path / "own")
    try:
        names = {"KYROS_URL": served.ready["api_url"], "KYROS_TOKEN": served.ready["token"]}
        with running(tmp_path, "a", "--ttl", "5", "--", *SHELL, LONG, **names) as process:
            assert said(process) == "up"
            served.end(signal.SIGKILL)
            out, err = process.communicate(timeout=WAIT)
        assert process.returncode == 6
        assert "not renewed within 5 s" in err
        assert out.strip() == "asked"
    finally:
        served.end(signal.SIGKILL)
