"""The projection beside a working board: readable at every instant, close behind, healed."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kyros_collab_server.adapters.packages import Directory
from kyros_collab_server.adapters.restoring import check_package
from kyros_collab_server.bootstrap import Opened, open_kyros
from kyros_collab_server.settings import Settings
from tests.callers import Caller
from tests.cli.conftest import ROOT

pytestmark = pytest.mark.anyio
LAG_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
STATES = ("tasks", "locks", "agents", "inboxes", "upkeep")


@pytest.fixture
async def opened(store_settings: Settings) -> AsyncIterator[Opened]:
    """A board on each engine, with its duties, on the machine's clock."""
    async with open_kyros(store_settings) as opened:
        yield opened


def caller(opened: Opened, name: str) -> Caller:
    return Caller(opened.kyros, opened.kyros.local_caller(agent=name))


def state_of(directory: Path, kind: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((directory / "state" / f"{kind}.json").read_bytes())
    return value


def whole_lines(directory: Path) -> list[bytes]:
    """The lines that are written; a last one without its end is still on its way."""
    text = (directory / "events" / "events.jsonl").read_bytes()
    return text[: text.rfind(b"\n") + 1].splitlines()


def last_seq(directory: Path) -> int:
    return int(json.loads(whole_lines(directory)[-1])["seq"])


def deleted(directory: Path) -> bool:
    """True once the directory is gone; a write that was under way may be in the way of it."""
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


def shows(directory: Path, seq: int) -> bool:
    return last_seq(directory) >= seq and int(state_of(directory, "tasks")["seq"]) >= seq


async def until(is_so: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> float:
    """How long it takes until it is so; fails when that takes too long."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            try:
                if is_so():
                    return time.monotonic() - began
            except (FileNotFoundError, IndexError):
                pass
            await asyncio.to_thread(threading.Event().wait, 0.005)


class Looker(threading.Thread):
    """Reads every file again and again; notes what did not parse."""

    def __init__(self, directory: Path) -> None:
        super().__init__(daemon=True)
        self._directory = directory
        self.ended = threading.Event()
        self.looks = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        seqs = dict.fromkeys(STATES, 0)
        while not self.ended.wait(0.001):
            try:
                for kind in STATES:
                    value = state_of(self._directory, kind)
                    if value["seq"] < seqs[kind]:
                        self.wrong.append(f"{kind} went back to {value['seq']}")
                    seqs[kind] = value["seq"]
                json.loads(whole_lines(self._directory)[-1])
            except FileNotFoundError:
                continue
            except ValueError as error:
                self.wrong.append(repr(error))
            self.looks += 1


async def test_every_file_parses_at_every_instant_under_load(opened: Opened) -> None:
    directory = opened.settings.data_dir
    await until((directory / "state" / "upkeep.json").exists)
    looker = Looker(directory)
    looker.start()
    callers = [caller(opened, name) for name in ("ana", "bob", "cy", "dan")]

    async def work(one: Caller) -> None:
        for number in range(40):
            task = await one.create(description="x" * 2_000)
            await one.say(f"{number}", to=["ana"])
            token = await one.hold(task.id)
            await one.move(task.id, "in_progress", token)

    for one in callers:
        await one.register()
    await asyncio.gather(*map(work, callers))
    await until(lambda: looker.looks > 20)
    looker.ended.set()
    await asyncio.to_thread(looker.join, PATIENCE_SECONDS)
    assert looker.wrong == []


async def test_the_files_are_less_than_a_second_behind(opened: Opened) -> None:
    directory = opened.settings.data_dir
    ana = caller(opened, "ana")
    await until((directory / "state" / "tasks.json").exists)
    for start in range(0, 1_000, 50):
        await ana.create_all(*({"id": f"A{start + number}"} for number in range(50)))
    lags = []
    for number in range(8):
        await ana.update(await ana.task("A7"), title=f"title {number}")
        head = await ana.head()
        lags.append(await until(partial(shows, directory, head)))
    assert sorted(lags)[len(lags) // 2] < LAG_SECONDS, lags


async def test_what_another_process_commits_is_projected_too(
    opened: Opened, store_settings: Settings
) -> None:
    async with open_kyros(store_settings, duties=False) as beside:
        head = await caller(beside, "ana").say("from elsewhere")
    await until(lambda: last_seq(opened.settings.data_dir) >= head)


async def test_directories_deleted_mid_run_come_back_without_an_event(opened: Opened) -> None:
    directory = opened.settings.data_dir
    ana = caller(opened, "ana")
    await ana.create("A")
    head = await ana.head()
    await until(lambda: state_of(directory, "tasks")["seq"] >= head)
    await until((directory / "logs" / "log.md").exists)
    for name in ("state", "events", "logs"):
        await until(partial(deleted, directory / name))
    await until(lambda: last_seq(directory) >= head)
    await until((directory / "logs" / "log.md").exists)
    await until(lambda: [one["id"] for one in state_of(directory, "tasks")["data"]] == ["A"])
    assert len(whole_lines(directory)) == head


async def test_the_files_are_up_to_date_when_the_store_is_closed(store_settings: Settings) -> None:
    async with open_kyros(store_settings) as opened:
        await caller(opened, "ana").create("A")
        head = await caller(opened, "ana").head()
    checked = check_package(Directory(store_settings.data_dir))
    assert (checked.replay.seq, list(checked.replay.tasks)) == (head, ["A"])


@pytest.mark.parametrize(
    "failpoint",
    [
        *(f"projection_before_rename:{number}" for number in (1, 3, 8)),
        *(f"projection_after_rename:{number}" for number in (4, 6)),
        *(f"jsonl_mid_line:{number}" for number in (1, 3)),
    ],
)
async def test_a_process_killed_while_it_writes_leaves_files_that_heal(
    tmp_path: Path, failpoint: str
) -> None:
    data = tmp_path / "data"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KYROS_")}
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.adapters.projecting", str(data), "100000"],
        env={**kept, "PYTHONPATH": str(ROOT), "KYROS_FAILPOINT": failpoint},
        cwd=ROOT,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    for path in (data / "state").glob("*.json"):
        json.loads(path.read_bytes())
    async with open_kyros(Settings(data_dir=data)) as opened:
        head = await caller(opened, "ana").head()
    checked = check_package(Directory(data))
    assert checked.replay.seq == head
    assert {envelope.seq for _, envelope in checked.filed.values()} == {head}
    assert list((data / "state").glob(".*")) == []
