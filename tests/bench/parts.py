"""The parts of the benchmark: each prepares its contenders and compares them in turn."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import uvloop

from kyros_collab_server.application import Kyros
from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.settings import Settings
from tests.bench import processes
from tests.bench.databases import postgres_database
from tests.bench.raw_store import RawPostgres, RawSqlite
from tests.bench.rounds import Contender, Match, Row, compare
from tests.bench.service import Service
from tests.bench.wire import Board, post, reads, rest, tools

BARS = {1: 0.40, 16: 1.2, 64: 1.6}
REST_CLIENTS = 32
WHOLE_MUTATION = "update"
MUTATIONS = (WHOLE_MUTATION, "append", "renew", "claim, start, hand over")


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[asyncio.Runner, Kyros]]:
    """A store that is open in this process, and the loop it lives on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        context = open_kyros(settings)
        kyros = runner.run(context.__aenter__()).kyros
        try:
            yield runner, kyros
        finally:
            runner.run(context.__aexit__(None, None, None))


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="kyros-bench-") as name:
        yield Path(name)


def service(rounds: int) -> list[Row]:
    """SQLite, in process: 1, 16 and 64 callers against a raw loop of two statements."""
    floor = "raw SQLite, one thread"
    with ExitStack() as stack:
        place = stack.enter_context(directory())
        raw = stack.enter_context(closing(RawSqlite(place / "raw.db")))
        ours = Service(*stack.enter_context(opened(Settings(data_dir=place / "store"))))
        contenders: dict[str, Contender] = {floor: raw.run}
        matches = []
        for what in MUTATIONS:
            for callers, bar in BARS.items():
                name = f"service {what}, {callers} callers"
                contenders[name] = partial(ours.sample, what, callers)
                matches.append(Match(name, floor, bar if what == WHOLE_MUTATION else None))
        return compare(contenders, matches, rounds)


def postgres(rounds: int) -> list[Row]:
    """Postgres, in process: 32 callers against psycopg, one connection and an unordered pool."""
    one, pool = "raw Postgres, one connection", "unordered Postgres pool of 8, keyed"
    with ExitStack() as stack:
        place = stack.enter_context(directory())
        url = stack.enter_context(postgres_database(place))
        alone = stack.enter_context(closing(RawPostgres(url, 1, keyed=False)))
        many = stack.enter_context(closing(RawPostgres(url, 8, keyed=True)))
        settings = Settings(data_dir=place / "store", database_url=url)
        ours = Service(*stack.enter_context(opened(settings)))
        contenders: dict[str, Contender] = {
            one: alone.run,
            pool: many.run,
        }
        matches = []
        for what in MUTATIONS:
            name = f"Postgres lane {what}, 32 callers"
            contenders[name] = partial(ours.sample, what, 32)
            matches.append(Match(name, pool, 1.5 if what in ("append", WHOLE_MUTATION) else None))
            matches.append(Match(name, one))
        return compare(contenders, matches, rounds)


@contextmanager
def boards(floor: str) -> Iterator[tuple[processes.Target, Board]]:
    """A floor and a `kyros serve` with agents, each a process of its own."""
    with directory() as place, ExitStack() as stack:
        settings = Settings(data_dir=place / "store")
        bare = stack.enter_context(processes.floor(floor, Settings(data_dir=place / "floor")))
        yield bare, Board(stack.enter_context(processes.kyros(settings)))


def over_rest(rounds: int) -> list[Row]:
    """REST writes of 32 clients against a bare JSON POST."""
    floor = f"bare Starlette POST, {REST_CLIENTS} clients"
    with boards("starlette") as (bare, board):
        contenders: dict[str, Contender] = {
            floor: partial(bare.run, [[post("/", {})]] * REST_CLIENTS)
        }
        contenders |= rest(board, REST_CLIENTS)
        matches = [Match(name, floor, 0.25) for name in contenders if name != floor]
        return compare(contenders, matches, rounds)


def over_mcp(rounds: int) -> list[Row]:
    """Tool calls of 1 and 16 callers against a tool that does nothing."""
    rows = []
    with boards("sdk") as (bare, board):
        for callers, bar in ((1, 0.45), (16, 0.75)):
            floor = f"bare SDK no-op tool, {callers} callers"
            contenders = tools(board, bare, callers, floor)
            matches = [Match(name, floor, bar) for name in contenders if name != floor]
            rows += compare(contenders, matches, rounds)
    return rows


def conditional_reads(rounds: int) -> list[Row]:
    """`GET /collab/state/tasks` answered 304, at 1,000 and 10,000 tasks."""
    floor = f"bare Starlette POST, {REST_CLIENTS} clients"
    with boards("starlette") as (bare, board):
        contenders: dict[str, Contender] = {
            floor: partial(bare.run, [[post("/", {})]] * REST_CLIENTS)
        }
        contenders |= reads(board, REST_CLIENTS, (1_000, 10_000))
        matches = [Match(name, floor, 0.60) for name in contenders if name != floor]
        return compare(contenders, matches, rounds)


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "service": service,
    "postgres": postgres,
    "rest": over_rest,
    "mcp": over_mcp,
    "reads": conditional_reads,
}
