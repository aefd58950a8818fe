"""Crash loops: writers over REST, a server killed under them, and the store it leaves."""

import asyncio
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from kyros_collab_server.settings import Settings
from tests.proof.ledger import WORKSPACE, Ledger, Tables, tables
from tests.proof.servers import Server, start
from tests.proof.writers import Attempt, Told, Writer

WRITERS = 8
ROUND_SECONDS = 60.0
FAILPOINTS = (
    "",
    "before_commit",
    "after_commit_before_reply",
    "mid_batch",
    "",
    "before_notify",
    "after_begin",
    "after_commit_before_reply",
    "before_begin",
)
"""Where the kills fall, in turn; empty: at a random moment, from outside."""


@dataclass
class Tally:
    """What the kills did, for the summary."""

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    unknown: int = 0
    took_effect: int = 0
    events: int = 0
    lost: int = 0
    gaps: int = 0

    def line(self, engine: str) -> str:
        where = ", ".join(
            f"{name or 'random'} {count}" for name, count in sorted(self.kills.items())
        )
        return (
            f"{engine}: {self.kills.total()} kills ({where}); {self.acknowledged} acknowledged "
            f"writes, {self.lost} lost; {self.unknown} unknown outcomes, {self.took_effect} of "
            f"them took effect; {self.events} events, {self.gaps} gaps"
        )


class CrashLoop:
    """Kills a server again and again, and checks after each time what is left."""

    def __init__(self, settings: Settings, directory: Path, seed: int) -> None:
        self._settings = settings
        self._directory = directory
        self._random = random.Random(seed)
        self._errors = (directory / "serve.log").open("ab")
        self._acknowledgements = 0
        self._server: Server | None = None
        self._kill_after: int | None = None
        self._writers = [
            Writer(f"writer-{number}", directory, self._count) for number in range(WRITERS)
        ]
        self.ledger = Ledger()
        self.tally = Tally()

    def close(self) -> None:
        """No server is left behind."""
        if self._server is not None:
            self._server.kill()
        for writer in self._writers:
            writer.journal.close()
        self._errors.close()

    def _count(self) -> None:
        self._acknowledgements += 1
        if self._acknowledgements == self._kill_after and self._server is not None:
            self._server.kill()

    async def kill_once(self) -> None:
        """One server lived and died under its writers, and nothing is wrong with what it left."""
        where = FAILPOINTS[self.tally.kills.total() % len(FAILPOINTS)]
        server = await self._start(where)
        if server is not None:
            self._acknowledgements = 0
            await self._take_up(server)
            await asyncio.wait_for(self._write(server, where), ROUND_SECONDS)
            assert await server.ended() == -signal.SIGKILL
        self.tally.kills[where] += 1
        self._check()

    async def settle(self) -> None:
        """Every unknown outcome is known, and every answer is still given for its key."""
        server = await self._start("")
        assert server is not None
        await self._take_up(server)
        await self._repeat_all(server)
        assert await server.stop() == 0
        self._server = None
        self._check()
        with tables(self._settings.data_dir, self._settings.database_url) as store:
            fresh = Ledger()
            fresh.follow(store)
            fresh_rows = store.events(0)
        assert (fresh.seq, fresh.hash) == (self.ledger.seq, self.ledger.hash)
        self.tally.events = len(fresh_rows)
        self.tally.gaps = fresh.seq - len(fresh_rows)

    async def _start(self, where: str) -> Server | None:
        if not where:
            self._server = await start(self._settings, self._errors)
            return self._server
        # Taking up what was cut off and eight first calls pass some batches already.
        at = f"{where}:{self._random.randint(3, 40)}"
        self._server = await start(self._settings, self._errors, KYROS_FAILPOINT=at)
        return self._server

    async def _write(self, server: Server, where: str) -> None:
        """Everyone writes until the server dies; without a failpoint, by our hand."""
        self._kill_after = None if where else self._acknowledgements + self._random.randint(1, 150)
        async with asyncio.TaskGroup() as group:
            for writer in self._writers:
                group.create_task(self._run(writer, server))

    async def _run(self, writer: Writer, server: Server) -> None:
        if writer.open is None:
            async with server.client(writer.name) as client:
                await writer.run(client)

    async def _take_up(self, server: Server) -> None:
        """Ask again with the same key for whatever had no answer; the server may die meanwhile."""
        self._kill_after = None
        async with asyncio.TaskGroup() as group:
            for writer in self._writers:
                if writer.open is not None:
                    group.create_task(self._ask_again(writer, writer.open, server))

    async def _ask_again(self, writer: Writer, attempt: Attempt, server: Server) -> None:
        had_effect = self._kept(attempt)
        async with server.client(writer.name) as client:
            try:
                answer, replayed = await attempt.send(client)
                assert replayed is had_effect, f"{attempt.key} was judged twice"
                again, replayed = await attempt.send(client)
            except httpx2.TransportError:
                return
        assert replayed
        assert again == answer, f"{attempt.key} got two answers"
        self.tally.unknown += 1
        self.tally.took_effect += had_effect
        writer.settle(answer)

    async def _repeat_all(self, server: Server) -> None:
        """A sample of all calls ever acknowledged is answered as it was."""
        for writer in self._writers:
            told = writer.journal.read()
            assert not told.unknown
            keys = sorted(told.answers)
            async with server.client(writer.name) as client:
                for key in self._random.sample(keys, min(20, len(keys))):
                    answer, replayed = await told.attempts[key].send(client)
                    assert replayed
                    assert answer == told.answers[key], f"{key} is answered differently now"

    def _kept(self, attempt: Attempt) -> bool:
        with tables(self._settings.data_dir, self._settings.database_url) as store:
            return bool(kept_keys(store, attempt.key))

    def _check(self) -> None:
        """Acknowledged writes are there once; the others are there whole, or not at all."""
        with tables(self._settings.data_dir, self._settings.database_url) as store:
            self.ledger.follow(store)
            kept = Counter(kept_keys(store))
        told = [writer.journal.read() for writer in self._writers]
        acknowledged = [key for one in told for key in one.answers]
        lost = [key for key in acknowledged if not kept[key]]
        assert lost == []
        self.tally.acknowledged, self.tally.lost = len(acknowledged), len(lost)
        for one in told:
            self._check_writer(one, kept)

    def _check_writer(self, told: Told, kept: Counter[str]) -> None:
        for key, attempt in told.attempts.items():
            found = kept[key]
            assert found <= 1
            if attempt.effect:
                there = self.ledger.effects[attempt.effect]
                assert there == found, f"{key}: {there} effects beside {found} stored answers"


def kept_keys(store: Tables, key: str | None = None) -> list[str]:
    """The idempotency keys whose success is stored; all, or this one."""
    sql = "SELECT key FROM idempotency WHERE workspace = ?"
    if key is None:
        return [row[0] for row in store.rows(sql, WORKSPACE)]
    return [row[0] for row in store.rows(f"{sql} AND key = ?", WORKSPACE, key)]
