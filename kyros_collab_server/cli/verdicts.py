"""Verdicts on logs: the chain walked in parts beside each other, then held against checkpoints."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from kyros_collab_server.adapters.log_file import (
    CHECKPOINTS,
    EVENTS,
    KEYS,
    LogFile,
    read_checkpoints,
    read_keys,
)
from kyros_collab_server.adapters.signing import is_signed_by
from kyros_collab_server.cli.failures import Exit, Failure
from kyros_collab_server.cli.migrate import store_of
from kyros_collab_server.features.events.model import Checkpoint, CheckpointKey
from kyros_collab_server.features.events.rules import signed_text
from kyros_collab_server.features.events.verifying import (
    Difference,
    Kind,
    Stretch,
    join,
    signed_otherwise,
)
from kyros_collab_server.settings import Settings
from kyros_collab_server.store.log_lines import LogLines, StoredLog

LINES_A_JOB = 50_000
"""Fewer lines than these are walked sooner than another process starts."""
BYTES_A_LINE = 500
MOST_JOBS = 8
HOW = {
    Kind.ALTERED: "was altered",
    Kind.REMOVED: "was removed",
    Kind.REORDERED: "was moved",
    Kind.DUPLICATED: "stands there twice",
    Kind.TORN: "is torn",
    Kind.REWRITTEN: "was rewritten",
}


@dataclass(frozen=True)
class Evidence:
    """Checkpoints, and keys to check them by; None: there are none to look at."""

    checkpoints: list[Checkpoint] | None = None
    keys: list[CheckpointKey] | None = None

    @classmethod
    def read(cls, checkpoints: Path | None, keys: Path | None) -> "Evidence":
        """What these files hold."""
        return cls(
            None if checkpoints is None else read_checkpoints(checkpoints),
            None if keys is None else read_keys(keys),
        )

    def replaced_by(self, other: "Evidence") -> "Evidence":
        """The other's keys where it has any, and the checkpoints of both."""
        both = [*(self.checkpoints or []), *(other.checkpoints or [])]
        return Evidence(both, self.keys if other.keys is None else other.keys)


@dataclass
class Verdict:
    """What was found out about one workspace's log."""

    workspace: str
    events: int
    last_seq: int
    last_hash: str
    checkpoints: int = 0
    signed_through: int = 0
    difference: Difference | None = None
    line: int | None = None
    bad_checkpoints: list[str] = field(default_factory=list)
    are_unchecked: bool = False

    @property
    def is_good(self) -> bool:
        """True when nothing differs."""
        return self.difference is None and not self.bad_checkpoints

    def as_row(self) -> dict[str, Any]:
        """The verdict as its public JSON."""
        told = self.difference
        return {
            "workspace": self.workspace,
            "ok": self.is_good,
            "events": self.events,
            "last_seq": self.last_seq,
            "last_hash": self.last_hash,
            "checkpoints": self.checkpoints,
            "signed_through": self.signed_through,
            "seq": told and told.seq,
            "through": told and told.through,
            "kind": told and told.kind.value,
            "line": self.line,
            "detail": told.detail if told else "; ".join(self.bad_checkpoints) or None,
        }

    def sentence(self) -> str:
        """The verdict as one line for people."""
        if (told := self.difference) is not None:
            which = f"seq {told.seq}" + (f" to {told.through}" if told.through else "")
            where = f" (line {self.line})" if self.line else ""
            return f"{self.workspace}: {which} {HOW[told.kind]}: {told.detail}{where}."
        if self.bad_checkpoints:
            return f"{self.workspace}: {self.bad_checkpoints[0]}"
        signed = f", signed up to seq {self.signed_through}" if self.signed_through else ""
        return f"{self.workspace}: {self.events} events, nothing altered or removed{signed}."


def judged_file(source: Path, given: Evidence, jobs: int) -> Verdict:
    """The verdict on an exported file, or on the directory that it lies in.

    Raises:
        Failure: there is no such file.
    """
    path = _events_file(source)
    beside = Evidence.read(
        found if (found := path.with_name(CHECKPOINTS)).exists() else None,
        found if (found := path.with_name(KEYS)).exists() else None,
    )
    evidence = beside.replaced_by(given)
    log = LogFile(path)
    wanted = frozenset(one.seq for one in evidence.checkpoints or [])
    spans = log.parts(_jobs(jobs, path.stat().st_size // BYTES_A_LINE))
    parts = [(path, *span, wanted, None if number else 1) for number, span in enumerate(spans)]
    whole = join(_walked(_part_of_file, parts))
    workspace = whole.workspace.decode(errors="replace") or "-"
    verdict = _judged(whole, workspace, evidence)
    if (told := verdict.difference) is not None:
        verdict.difference = told = log.explained(told)
        verdict.line = log.line_number(told.place) if told.place >= 0 else None
    return verdict


def _events_file(source: Path) -> Path:
    places = [source / "events" / EVENTS, source / EVENTS] if source.is_dir() else [source]
    for place in places:
        if place.is_file():
            return place
    message = f"There is no {EVENTS} in {source}." if source.is_dir() else f"There is no {source}."
    raise Failure(Exit.NOT_FOUND, "not_found", message, "kyros export writes one.")


def evidence_of_store(settings: Settings) -> Evidence:
    """The checkpoints and keys that lie in the store.

    Raises:
        Failure: there is no store.
    """
    path, url = store_of(settings)
    if path is not None and not path.exists():
        message = f"There is no store in {settings.data_dir}."
        raise Failure(Exit.NOT_FOUND, "no_store", message, "--data-dir names another.")
    return Evidence(*LogLines(path, url).checkpoints())


def judged_store(settings: Settings, evidence: Evidence, jobs: int) -> list[Verdict]:
    """The verdict on every log of the store, or on the one that `--workspace` names."""
    path, url = store_of(settings)
    lines = LogLines(path, url)
    logs = lines.logs()
    known = {log.workspace for log in logs}
    cut = {one.workspace for one in evidence.checkpoints or []} - known
    logs += [StoredLog(workspace, 0, 0, 0) for workspace in sorted(cut)]
    if settings.workspace:
        logs = [log for log in logs if log.workspace == settings.workspace]
        if not logs:
            raise Failure(Exit.NOT_FOUND, "not_found", f"No log of {settings.workspace} is there.")
    return [_judged_log(path, url, log, evidence, jobs) for log in logs]


def _judged_log(
    path: Path | None, url: str, log: StoredLog, evidence: Evidence, jobs: int
) -> Verdict:
    wanted = frozenset(
        one.seq for one in evidence.checkpoints or [] if one.workspace == log.workspace
    )
    count = _jobs(jobs, log.events)
    ends = [log.first - 1 + log.events * number // count for number in range(count)] + [log.last]
    parts = [
        (path, url, log.workspace, after, through, wanted, None if number else 1)
        for number, (after, through) in enumerate(pairwise(ends))
    ]
    whole = join(_walked(_part_of_store, parts))
    verdict = _judged(whole, log.workspace, evidence)
    if verdict.difference is not None:
        lines = LogLines(path, url)
        verdict.difference = lines.explained(log.workspace, verdict.difference)
    return verdict


def _part_of_file(path: Path, *part: Any) -> Stretch:
    return LogFile(path).check(*part)


def _part_of_store(path: Path | None, url: str, *part: Any) -> Stretch:
    return LogLines(path, url).check(*part)


def _jobs(asked: int, lines: int) -> int:
    if asked:
        return asked
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(mine, MOST_JOBS, lines // LINES_A_JOB))


def _walked(walk: Callable[..., Stretch], parts: Sequence[tuple[Any, ...]]) -> Iterable[Stretch]:
    """The stretch of every part, in order; more than one are walked beside each other."""
    if len(parts) < 2:
        return [walk(*part) for part in parts]
    # This process has one thread, so a fork is safe; it saves half a second of imports.
    way = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(way)
    with ProcessPoolExecutor(min(len(parts), MOST_JOBS), mp_context=context) as pool:
        return list(pool.map(walk, *zip(*parts, strict=True)))


def _judged(whole: Stretch, workspace: str, evidence: Evidence) -> Verdict:
    verdict = Verdict(
        workspace=workspace,
        events=whole.count,
        last_seq=whole.last_seq,
        last_hash=whole.last_hash.decode(errors="replace"),
        difference=whole.difference,
    )
    mine = [one for one in evidence.checkpoints or [] if one.workspace == workspace]
    verdict.checkpoints = len(mine)
    verdict.are_unchecked = bool(mine) and evidence.keys is None
    good = [one for one in mine if _is_good(one, evidence.keys, verdict.bad_checkpoints)]
    signed = signed_otherwise(whole, good)
    if signed is not None and (whole.difference is None or signed.seq < whole.difference.seq):
        verdict.difference = signed
    through = [one.seq for one in good if one.seq <= whole.last_seq]
    verdict.signed_through = max(through, default=0) if signed is None else max(0, signed.seq - 1)
    return verdict


def _is_good(checkpoint: Checkpoint, keys: list[CheckpointKey] | None, bad: list[str]) -> bool:
    """True when a known key signed it, or there is no key to know; else `bad` says why not."""
    if keys is None:
        return True
    key = next((one for one in keys if one.kid == checkpoint.key_id), None)
    if key is None:
        bad.append(f"the key of the checkpoint at seq {checkpoint.seq} is not among the keys.")
    elif not is_signed_by(key, signed_text(checkpoint), checkpoint.signature):
        bad.append(f"the checkpoint at seq {checkpoint.seq} was not signed by its key.")
    else:
        return True
    return False
