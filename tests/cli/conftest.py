"""The command line: in this process on a store of its own, or a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kyros_collab_server.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "kyros_collab_server"]
WAIT = 30


@dataclass(frozen=True)
class Said:
    """How a command line ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def items(self) -> list[dict[str, Any]]:
        page = self.json
        assert page.keys() == {"schema_version", "items", "next_cursor"}
        items: list[dict[str, Any]] = page["items"]
        return items

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]


Kyros = Callable[..., Said]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KYROS_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("KYROS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KYROS_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def kyros(capsys: pytest.CaptureFixture[str]) -> Kyros:
    """Run a command line in this process; keyword arguments are left for `as_agent`."""

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = main(list(words))
        printed = capsys.readouterr()
        return Said(int(code), printed.out, printed.err)

    return run


@pytest.fixture
def program(tmp_path: Path) -> Kyros:
    """Run a command line as a process of its own."""

    def run(*words: str, **more: str) -> Said:
        env = environment(KYROS_DATA_DIR=str(tmp_path / "data"), **more)
        done = subprocess.run(
            [*PROGRAM, *words], env=env, capture_output=True, text=True, timeout=WAIT, check=False
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


class Served:
    """A running `kyros serve`."""

    def __init__(self, *words: str, data_dir: Path, cwd: Path | None = None, **more: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "serve", "--data-dir", str(data_dir), *words],
            env=environment(**more),
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.ready: dict[str, Any] = json.loads(self.line) if self.line else {}

    def end(self, number: int = signal.SIGTERM) -> Said:
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=WAIT)
        return Said(self.process.returncode, self.line + out, err)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests that only need a server."""
    served = Served("--port", "0", data_dir=tmp_path_factory.mktemp("served"))
    yield served
    served.end()


@pytest.fixture
def remote(kyros: Kyros, server: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kyros:
    """Run a command line against the server, in a workspace of the test's own."""
    monkeypatch.setenv("KYROS_URL", server.ready["api_url"])
    monkeypatch.setenv("KYROS_TOKEN", server.ready["token"])
    name = "w-" + "".join(c for c in tmp_path.name.lower() if c.isalnum())[-40:]
    assert kyros("workspace", "new", name).code == 0
    monkeypatch.setenv("KYROS_WORKSPACE", name)
    return kyros
