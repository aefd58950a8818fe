"""The projection: exact, complete, healed, alone, and never a danger to the server."""

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from kyros_collab_server.adapters.boards import read_board
from kyros_collab_server.adapters.event_file import EventFile
from kyros_collab_server.adapters.follower import Follower
from kyros_collab_server.adapters.packages import Directory
from kyros_collab_server.adapters.projection import Projection
from kyros_collab_server.features.events.model import GENESIS
from kyros_collab_server.kernel.principal import Principal
from kyros_collab_server.store.exporting import Exports
from tests.callers import admin_of, agent_of
from tests.conftest import Board
from tests.lived import live

pytestmark = pytest.mark.anyio
STATES = ("tasks", "locks", "agents", "inboxes", "upkeep")


def project(board: Board, directory: Path) -> Projection:
    return Projection(directory, Exports(board.kyros._store.readers, "default"))  # type: ignore[attr-defined]


@pytest.fixture
def projection(board: Board, tmp_path: Path) -> Iterator[Projection]:
    projection = project(board, tmp_path / "shown")
    yield projection
    projection.close()


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    return tmp_path / "shown"


def inodes(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_ino for path in directory.rglob("*.*")}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.rglob("*.*")}


def events_of(directory: Path) -> list[dict[str, Any]]:
    """The events of a file, each line chained as the specification says, by no code of ours."""
    prev_hash, found = GENESIS, []
    for line in (directory / "events" / "events.jsonl").read_bytes().splitlines():
        event = json.loads(line)
        assert rfc8785.dumps(event) == line
        bare = {name: value for name, value in event.items() if name != "hash"}
        digest = hashlib.sha256(prev_hash.encode() + rfc8785.dumps(bare)).hexdigest()
        assert (event["prev_hash"], event["hash"]) == (prev_hash, digest)
        prev_hash = event["hash"]
        found.append(event)
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1))
    return found


def state_of(directory: Path, kind: str) -> dict[str, Any]:
    text = (directory / "state" / f"{kind}.json").read_bytes()
    value: dict[str, Any] = json.loads(text)
    assert rfc8785.dumps(value) + b"\n" == text
    assert value.keys() == {"kind", "version", "etag", "seq", "data"}
    return value


async def test_the_files_are_the_board_to_the_byte(
    board: Board, projection: Projection, shown: Path
) -> None:
    await live(board)
    ana = await agent_of(board, "ana")
    logged = [event.model_dump(mode="json") for event in await ana.log()]
    assert projection.catch_up()
    assert events_of(shown) == [json.loads(json.dumps(event)) for event in logged]
    for kind in ("tasks", "locks", "agents"):
        tag = await board.kyros.kind_etag(kind, actor=ana.principal)
        assert (state_of(shown, kind)["kind"], state_of(shown, kind)["etag"]) == (kind, tag)
    assert {state_of(shown, kind)["seq"] for kind in STATES} == {len(logged)}


async def test_only_what_changed_is_written_again(
    board: Board, projection: Projection, shown: Path
) -> None:
    ana = await agent_of(board, "ana")
    await ana.create("A")
    projection.catch_up()
    before = inodes(shown)
    projection.catch_up()
    assert inodes(shown) == before
    await ana.say("news")
    projection.catch_up()
    assert inodes(shown) == before
    assert len(events_of(shown)) == await ana.head()


async def test_acknowledging_messages_shows_in_the_inboxes_without_an_event(
    board: Board, projection: Projection, shown: Path
) -> None:
    await live(board)
    projection.catch_up()
    inboxes = {one["agent"]: one for one in state_of(shown, "inboxes")["data"]}
    assert [one["text"] for one in inboxes["bob"]["messages"]] == ["second\n\n- a line", "to all"]
    assert inboxes["cy"]["messages"] == []
    assert inboxes["cy"]["read_through"] > 0


@pytest.mark.parametrize("gone", ["state", "events", "logs", "state/tasks.json", "."])
async def test_what_is_deleted_comes_back(
    board: Board, projection: Projection, shown: Path, gone: str
) -> None:
    await live(board)
    projection.catch_up()
    whole = contents(shown)
    place = shown / gone
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    projection.catch_up()
    assert gone == "." or not place.exists(), "what is being deleted is left alone for a moment"
    projection.catch_up()
    back = contents(shown)
    assert back.keys() == whole.keys()
    changed = {name for name in whole if back[name] != whole[name]}
    assert changed <= {"upkeep.json", "locks.json"}, "instants that are told anew"
    assert len(events_of(shown)) == await (await agent_of(board, "ana")).head()


async def test_a_file_that_somebody_else_wrote_is_put_right(
    board: Board, projection: Projection, shown: Path
) -> None:
    await (await agent_of(board, "ana")).create("A")
    projection.catch_up()
    path = shown / "state" / "tasks.json"
    right = path.read_bytes()
    path.write_text("mine")
    projection.catch_up()
    assert path.read_bytes() == right
    with (shown / "events" / "events.jsonl").open("a") as file:
        file.write("mine")
    projection.catch_up()
    events_of(shown)


@pytest.mark.parametrize("torn", [1, 40, 200, 700])
async def test_a_torn_last_line_is_cut_off_and_written_whole(
    board: Board, projection: Projection, shown: Path, torn: int
) -> None:
    await live(board)
    projection.catch_up()
    projection.close()
    path = shown / "events" / "events.jsonl"
    whole = path.read_bytes()
    for tail in (b"", b"\0" * 200_000, b"{}\n"):
        path.write_bytes(whole[:-torn] + tail)
        started_anew = project(board, shown)
        assert started_anew.catch_up()
        assert path.read_bytes() == whole
        started_anew.close()


async def test_one_process_at_a_time_writes_a_directory(
    board: Board, projection: Projection, shown: Path
) -> None:
    ana = await agent_of(board, "ana")
    assert projection.catch_up()
    other = project(board, shown)
    await ana.say("news")
    assert not other.catch_up()
    assert len(events_of(shown)) < await ana.head()
    projection.close()
    assert other.catch_up()
    assert len(events_of(shown)) == await ana.head()
    other.close()


async def test_the_files_of_another_log_are_kept_aside(
    board: Board, projection: Projection, shown: Path
) -> None:
    ana = await agent_of(board, "ana")
    await ana.say("news")
    projection.catch_up()
    projection.close()
    path = shown / "events" / "events.jsonl"
    whole, first = path.read_bytes(), path.read_bytes().splitlines(keepends=True)[0]
    told = json.loads(first)
    told.pop("hash")
    told["request_id"] = "rq_other"
    digest = hashlib.sha256(GENESIS.encode() + rfc8785.dumps(told)).hexdigest()
    alien = rfc8785.dumps({**told, "hash": digest}) + b"\n"
    path.write_bytes(alien)
    project(board, shown).catch_up()
    assert path.read_bytes() == whole
    (aside,) = path.parent.glob("events.until-*.jsonl")
    assert (aside.name, aside.read_bytes()) == (f"events.until-1-{digest[:8]}.jsonl", alien)


async def test_the_human_log_gets_each_entry_once_after_what_was_there(
    board: Board, projection: Projection, shown: Path
) -> None:
    async def enter(text: str) -> None:
        await board.kyros._store.write(
            Principal(id="local", scopes=frozenset(), agent="ana"),
            lambda work: work.events.append("log_appended", None, {"text": text}),
        )

    (shown / "logs").mkdir(parents=True)
    path = shown / "logs" / "log.md"
    path.write_text("# Ours\n\nBy hand.\n")
    await enter("## First\n\n<!-- seq 99999 -->")
    projection.catch_up()
    await enter("## Second")
    projection.catch_up()
    projection.close()
    again = project(board, shown)
    again.catch_up()
    text = path.read_text()
    assert text.startswith("# Ours\n\nBy hand.\n")
    assert (text.count("## First"), text.count("## Second")) == (1, 1)
    path.unlink()
    again.catch_up()
    again.catch_up()
    assert (path.read_text().count("## First"), path.read_text().count("## Second")) == (1, 1)
    again.close()


async def test_the_signed_checkpoints_lie_beside_the_events(
    board: Board, projection: Projection, shown: Path
) -> None:
    await live(board)
    board.clock.advance(61)
    await board.kyros.sweep()
    projection.catch_up()
    (line,) = (shown / "events" / "checkpoints.jsonl").read_text().splitlines()
    (key,) = json.loads((shown / "events" / "keys.json").read_text())["keys"]
    assert json.loads(line)["key_id"] == key["kid"]
    assert read_board(Directory(shown)).checkpoints[0].seq == json.loads(line)["seq"]
    (shown / "events" / "checkpoints.jsonl").unlink()
    projection.catch_up()
    assert (shown / "events" / "checkpoints.jsonl").read_text() == f"{line}\n"


def full_disk(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk_leaves_the_files_as_they_were_and_is_made_up_for(
    board: Board, projection: Projection, shown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = await agent_of(board, "ana")
    projection.catch_up()
    before = (shown / "events" / "events.jsonl").read_bytes()
    await ana.create("A")
    write = EventFile._write

    def half(handle: int, text: bytes) -> None:
        write(handle, text[: len(text) // 2])
        full_disk()

    with monkeypatch.context() as patched:
        patched.setattr(EventFile, "_write", staticmethod(half))
        with pytest.raises(OSError, match="No space"):
            projection.catch_up()
        assert (shown / "events" / "events.jsonl").read_bytes() == before
    projection.catch_up()
    assert len(events_of(shown)) == await ana.head()
    assert [one["id"] for one in state_of(shown, "tasks")["data"]] == ["A"]


async def test_trouble_with_the_files_shows_in_health_and_stops_nothing(
    projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(projection)
    assert follower.lag is None
    moment: Callable[[], float] = follower._up_to_date.__add__  # type: ignore[assignment]
    monkeypatch.setattr(Projection, "catch_up", full_disk)
    follower._step()
    assert follower.lag is None
    monkeypatch.setattr("time.monotonic", lambda: moment(9))
    assert follower.lag == "9 s behind: No space left on device"
    monkeypatch.undo()
    follower._step()
    assert follower.lag is None
    await follower.stop()


async def test_state_files_behind_the_log_are_brought_forward_by_it(
    board: Board, projection: Projection, shown: Path
) -> None:
    ana, admin = await agent_of(board, "ana"), await admin_of(board)
    await ana.create_all({"id": "A"}, {"id": "B", "depends_on": ["A"]})
    projection.catch_up()
    old = {kind: (shown / "state" / f"{kind}.json").read_bytes() for kind in STATES}
    await live_on(ana, admin)
    projection.catch_up()
    whole = read_board(Directory(shown))
    for kind in STATES:
        (shown / "state" / f"{kind}.json").write_bytes(old[kind])
        board_of_then = read_board(Directory(shown))
        assert [one.task for _, one in board_of_then.tasks] == [one.task for _, one in whole.tasks]
        assert [one.critical_path for _, one in whole.tasks] == [2, 1, 0]
        assert board_of_then.inboxes == whole.inboxes
        assert [one.lock_id for one in board_of_then.leases] == [
            one.lock_id for one in whole.leases
        ]


async def live_on(ana: Any, admin: Any) -> None:
    await ana.create("C", depends_on=["B"])
    await ana.claim("A")
    await admin.say("look", to=["ana"])
