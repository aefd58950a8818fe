"""Servers under measurement: started and ended by id, their processor time from /proc."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from kyros_collab_server.settings import Settings
from tests.bench.load import Plan, Request
from tests.bench.rounds import Sample
from tests.proof.servers import ROOT, command, environment

TICK = os.sysconf("SC_CLK_TCK")
END_SECONDS = 30
WIRE_SECONDS = 0.8
"""How long one sample over the wire takes."""


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, all its threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@dataclass
class Target:
    """A server that answers."""

    url: str
    token: str
    pid: int
    numbers: Any = field(default_factory=lambda: count(1))

    @property
    def port(self) -> int:
        """Where it listens on this machine."""
        return urlsplit(self.url).port or 0

    def client(self, **named: str) -> httpx2.Client:
        """A client for what is prepared and not measured."""
        return httpx2.Client(base_url=self.url, headers={**bearer(self.token), **named}, timeout=60)

    def run(
        self,
        clients: list[list[Request]],
        status: int = 200,
        *,
        most: int = 1_000_000,
        seconds: float = WIRE_SECONDS,
    ) -> Sample:
        """All clients call for a while, each at most so often; every answer had this status.

        Raises:
            AssertionError: one had not; it is shown.
        """
        first = next(self.numbers) * 10_000_000
        plan = Plan(self.port, clients, most, seconds, first, status)
        before = cpu_seconds(self.pid)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.load"],
            input=plan.text().encode(),
            capture_output=True,
            check=False,
            cwd=ROOT,
        )
        cpu = cpu_seconds(self.pid) - before
        assert done.returncode == 0, done.stderr.decode()
        told = json.loads(done.stdout)
        assert told["other"] == {}, told["other"]
        return Sample(told["operations"], told["wall_seconds"], cpu, told["p99_ms"])


def bearer(token: str) -> dict[str, str]:
    """The header that says who calls."""
    return {"authorization": f"Bearer {token}"}


@contextmanager
def started(arguments: list[str], settings: Settings) -> Iterator[Target]:
    """The process behind a command line, once it said where it listens."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "bench.log").open("ab") as errors:
        process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(settings, KYROS_LOG_LEVEL="warning"),
            cwd=ROOT,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"it ended with {process.wait(END_SECONDS)}"
        ready = json.loads(line)
        yield Target(ready["api_url"], ready["token"], ready["pid"])
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(END_SECONDS)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def kyros(settings: Settings) -> Iterator[Target]:
    """`kyros serve` on these settings."""
    with started(command("serve", "--port", "0", "--no-open"), settings) as target:
        yield target


@contextmanager
def floor(name: str, settings: Settings) -> Iterator[Target]:
    """A floor of `tests.bench.floors`."""
    with started([sys.executable, "-m", "tests.bench.floors", name], settings) as target:
        yield target
