"""A whole board goes out and comes back in: the same state, seqs and hashes, or nothing at all."""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from kyros_collab_server.__main__ import main
from kyros_collab_server.adapters import exports
from kyros_collab_server.adapters.projection import Projection
from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.settings import Settings
from kyros_collab_server.store.exporting import Exports
from tests.callers import agent_of, id_of, refused
from tests.cli.conftest import Kyros, Served
from tests.conftest import Board, TurnedClock
from tests.lived import NAMES, live, told

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lived(store_settings: Settings, clock: TurnedClock) -> AsyncIterator[Board]:
    """A board that was lived in, on each engine."""
    async with open_kyros(store_settings, duties=False, clock=clock) as opened:
        board = Board(opened, clock)
        await live(board)
        yield board


def read_by(board: Board) -> Exports:
    store: Any = board.kyros._store
    return Exports(store.readers, "default")


def project(board: Board, directory: Path) -> None:
    projection = Projection(directory, read_by(board))
    assert projection.catch_up()
    projection.close()


def run(*words: str) -> int:
    """The exit code of a command line, run where an event loop runs already."""
    import threading

    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(int(main(list(words)))))
    thread.start()
    thread.join()
    return codes[0]


def fill(package: str, tmp_path: Path, lived: Board) -> str:
    """The whole board as a projection, or as one document."""
    if package == "projection":
        project(lived, tmp_path / "shown")
        return str(tmp_path / "shown")
    file = tmp_path / "all.json"
    # Not by a command of its own: its clock would be the machine's, the board's is the test's.
    file.write_text("".join(exports.document(read_by(lived), "default")))
    return str(file)


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty store that is not the lived-in one, on each engine."""
    url = request.getfixturevalue("second_postgres_url") if request.param == "postgres" else ""
    return Settings(data_dir=tmp_path / "empty", database_url=url)


@pytest.mark.parametrize("package", ["projection", "document"])
async def test_an_import_of_an_export_is_the_same_board(
    lived: Board,
    empty: Settings,
    tmp_path: Path,
    package: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = await told(lived)
    source = fill(package, tmp_path, lived)
    monkeypatch.setenv("KYROS_DATABASE_URL", empty.database_url)
    where = ["--data-dir", str(empty.data_dir)]
    assert run("import", source, *where) == 0
    assert run("export", "-o", str(tmp_path / "back.jsonl"), *where) == 0
    store: Any = lived.kyros._store
    project(lived, tmp_path / "shown")
    log = (tmp_path / "shown" / "events" / "events.jsonl").read_bytes()
    assert (tmp_path / "back.jsonl").read_bytes() == log
    async with open_kyros(empty, duties=False, clock=lived.clock) as opened:
        assert opened.kyros.epoch != store.epoch
        again = Board(opened, lived.clock)
        after = await told(again)
        head = len(before["events"])
        assert [one.event for one in after["events"][head:]] == ["key_created"]
        after["events"] = after["events"][:head]
        for part, value in before.items():
            assert after[part] == value, part
        await _goes_on_alike(lived, again)


async def _goes_on_alike(one: Board, other: Board) -> None:
    """Both boards hand the same work to the same agents, and refuse the same."""
    for board in (one, other):
        with refused("write_fenced"):
            await (await agent_of(board, "bob")).move("E", "in_progress", 1)
    for name in (*NAMES, "ana", "bob"):
        given = [await (await agent_of(board, name)).claim() for board in (one, other)]
        assert id_of(given[0]) == id_of(given[1])
        told_why = [None if one.claimed else one.why for one in given]
        assert told_why[0] == told_why[1]
    assert (await (await agent_of(other, "ana")).create()).id == "T-3"


async def test_a_restored_lease_has_its_whole_ttl_and_a_stale_one_stays_over(
    lived: Board, empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = await agent_of(lived, "ana")
    (short,) = await ana.acquire("short", ttl=5)
    lived.clock.advance(4)
    project(lived, tmp_path / "shown")
    monkeypatch.setenv("KYROS_DATABASE_URL", empty.database_url)
    assert run("import", str(tmp_path / "shown"), "--data-dir", str(empty.data_dir)) == 0
    async with open_kyros(empty, duties=False) as opened:
        again = await agent_of(Board(opened, lived.clock), "ana")
        assert (await again.lease(short.lock_id)).state == "active"
        assert 4_000 < (await again.lease(short.lock_id)).expires_in_ms <= 5_000
        held = await again.call(_leases().list_leases, _list())
        assert [one.resource for one in held.data if one.state == "stale"] == ["printer"]
        assert (await again.renew(short.lock_id)).fencing_token == short.fencing_token
        cy = await agent_of(Board(opened, lived.clock), "cy")
        (printer,) = [one for one in held.data if one.resource == "printer"]
        with refused("lease_lost"):
            await cy.renew(printer.lock_id)


def _leases() -> Any:
    from kyros_collab_server.features.leases import service

    return service


def _list() -> Any:
    from kyros_collab_server.features.leases.model import ListLeases

    return ListLeases()


async def test_the_log_alone_gives_back_what_it_tells(
    lived: Board, empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await told(lived)
    project(lived, tmp_path / "shown")
    log = tmp_path / "shown" / "events" / "events.jsonl"
    monkeypatch.setenv("KYROS_DATABASE_URL", empty.database_url)
    assert run("import", str(log), "--data-dir", str(empty.data_dir)) == 0
    async with open_kyros(empty, duties=False, clock=lived.clock) as opened:
        after = await told(Board(opened, lived.clock))
    assert after["tasks"].data == before["tasks"].data
    assert after["history"] == before["history"]
    assert after["agents"] == before["agents"]
    assert after["events"][: len(before["events"])] == before["events"]


async def test_a_second_import_finds_it_there_and_another_store_keeps_its_own(
    lived: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project(lived, tmp_path / "shown")
    shown, where = str(tmp_path / "shown"), ["--data-dir", str(tmp_path / "empty")]
    assert run("import", shown, *where) == 0
    capsys.readouterr()
    assert run("import", shown, *where) == 0
    assert "already there" in capsys.readouterr().out
    other = ["--data-dir", str(tmp_path / "other")]
    assert run("task", "new", "mine", *other) == 0
    assert run("import", shown, *other) == 9
    assert run("import", str(tmp_path / "shown" / "events" / "events.jsonl"), *other) == 5
    capsys.readouterr()
    assert run("task", "list", "--fields", "title", *other) == 0
    assert capsys.readouterr().out == "mine\n"


async def test_a_dry_run_counts_and_makes_no_store(
    lived: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project(lived, tmp_path / "shown")
    where = ["--data-dir", str(tmp_path / "empty")]
    assert run("import", str(tmp_path / "shown"), "--dry-run", "--json", *where) == 0
    counted = {one["kind"]: one["count"] for one in json.loads(capsys.readouterr().out)["items"]}
    assert (counted["tasks"], counted["agents"], counted["messages"]) == (8, 6, 5)
    assert not (tmp_path / "empty").exists()


def test_a_first_start_that_finds_a_projection_and_no_database_imports_it(
    kyros: Kyros, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    served = Served("--port", "0", data_dir=data)
    assert kyros("task", "new", "kept").code == 0
    assert kyros("task", "claim", "T-1", "--agent", "ana").code == 0
    epoch = [served.end().code, kyros("export", "--format", "json", "-o", str(tmp_path / "a"))]
    assert epoch[0] == 0
    log = (data / "events" / "events.jsonl").read_bytes()
    for path in data.glob("kyros.db*"):
        path.unlink()
    again = Served("--port", "0", data_dir=data)
    assert again.ready, again.end().err
    again.end()
    assert (data / "events" / "events.jsonl").read_bytes().startswith(log)
    assert kyros("task", "show", "T-1", "--fields", "status,assignee").rows == [
        ["claimed", "agent:ana"]
    ]
    assert kyros("verify").code == 0
    before = json.loads((tmp_path / "a").read_text())["epoch"]
    after = json.loads(kyros("export", "--format", "json").out)["epoch"]
    assert before != after


# Files that are not what was written.


def rechained(lines: list[bytes], place: int, **changes: Any) -> None:
    """The event says something else, and everything after it is chained to that."""
    prev_hash = json.loads(lines[place])["prev_hash"]
    for at in range(place, len(lines)):
        event = json.loads(lines[at])
        del event["hash"]
        event["prev_hash"] = prev_hash
        if at == place:
            event.update(changes)
        prev_hash = hashlib.sha256(prev_hash.encode() + rfc8785.dumps(event)).hexdigest()
        lines[at] = rfc8785.dumps({**event, "hash": prev_hash}) + b"\n"


def flip(lines: list[bytes], place: int) -> None:
    at = lines[place].index(b'"ts":"20') + 8
    lines[place] = lines[place][:at] + b"7" + lines[place][at + 1 :]


Spoil = Callable[[list[bytes]], object]
SPOILS: dict[str, tuple[Spoil, str]] = {
    "torn at the end": (lambda lines: lines.__setitem__(-1, lines[-1][:-9]), "is torn"),
    "without its last line end": (lambda lines: lines.__setitem__(-1, lines[-1][:-1]), "is torn"),
    "torn in the middle": (lambda lines: lines.__setitem__(6, b'{"actor":\n'), "line 7 is torn"),
    "one byte flipped": (lambda lines: flip(lines, 4), "line 5 was altered"),
    "spelled otherwise": (lambda ls: ls.__setitem__(4, ls[4].replace(b":", b": ", 1)), "line 5 "),
    "reordered": (lambda ls: ls.insert(3, ls.pop(4)), "line 4 has seq 5 where seq 4 is missing"),
    "twice": (lambda lines: lines.insert(4, lines[4]), "line 6 has seq 5 twice"),
    "a line is missing": (lambda lines: lines.pop(4), "line 5 has seq 6 where seq 5"),
    "the first is missing": (lambda lines: lines.pop(0), "line 1 has seq 2 where seq 1"),
    "no events": (lambda ls: ls.__setitem__(3, b"[]\n"), "line 4 is no event"),
    "endless": (lambda ls: ls.insert(3, b"[" * 200_000), "line 4 is longer than an event"),
    "too deep": (lambda ls: ls.insert(3, b"[" * 50_000 + b"\n"), "line 4 is torn"),
    "not UTF-8": (lambda ls: ls.__setitem__(3, b"\xff\n"), "line 4 is torn"),
    "another version's event": (
        lambda ls: rechained(ls, 8, event="task_updated", details={}, target="task:A"),
        "line 9",
    ),
    "another workspace's": (lambda ls: rechained(ls, 8, workspace="x"), "line 9 is of another"),
    "cut": (lambda lines: lines.__delitem__(slice(20, None)), "but the events end at 20"),
}


@pytest.fixture
async def shown(clock: TurnedClock, tmp_path: Path) -> Path:
    """A projection; whichever engine it comes from, the files are the same."""
    settings = Settings(data_dir=tmp_path / "lived")
    async with open_kyros(settings, duties=False, clock=clock) as opened:
        board = Board(opened, clock)
        await live(board)
        project(board, tmp_path / "shown")
    return tmp_path / "shown"


def refused_whole(shown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of files that are not taken; no store is made, none is changed."""
    for words in (["import", str(shown)], ["import", str(shown), "--dry-run"]):
        assert run(*words, "--data-dir", str(tmp_path / "empty")) == 9
        assert not (tmp_path / "empty" / "kyros.db").exists()
    return capsys.readouterr().err


@pytest.mark.parametrize(("spoil", "said"), SPOILS.values(), ids=SPOILS)
async def test_a_spoiled_log_is_refused_with_its_line(
    shown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Spoil, said: str
) -> None:
    path = shown / "events" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    spoil(lines)
    path.write_bytes(b"".join(lines))
    error = refused_whole(shown, tmp_path, capsys)
    assert f"{path}" in error or "but the events end" in error
    assert said in error.replace(": ", " ")


STATE_SPOILS: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "another version": ("tasks", lambda v: v.update(version="2"), "version"),
    "an entry is gone": ("agents", lambda v: v["data"].pop(), "etag"),
    "a task was altered": ("tasks", lambda v: v["data"][0].update(title="other"), "entry 0 (A)"),
    "a lease has another holder": (
        "locks",
        lambda v: v["data"][0].update(holder="agent:zed"),
        "is not what the log says at seq",
    ),
    "a message was altered": ("inboxes", lambda v: v["data"][0].update(read_through=3), "etag"),
    "upkeep of another version": ("upkeep", lambda v: v["data"][0].update(new=1), "entry 0 new"),
    "ahead of the log": ("tasks", lambda v: v.update(seq=10_000), "but the events end at"),
    "another seq": ("tasks", lambda v: v.update(seq=9), "at seq 9"),
}


@pytest.mark.parametrize(("kind", "spoil", "said"), STATE_SPOILS.values(), ids=STATE_SPOILS)
async def test_a_spoiled_state_file_is_refused_with_its_entry(
    shown: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    spoil: Callable[[dict[str, Any]], object],
    said: str,
) -> None:
    path = shown / "state" / f"{kind}.json"
    value = json.loads(path.read_bytes())
    spoil(value)
    path.write_bytes(rfc8785.dumps(value))
    error = refused_whole(shown, tmp_path, capsys)
    assert str(path) in error
    assert said in error


async def test_a_log_rewritten_with_right_hashes_differs_from_the_state_beside_it(
    shown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shown / "events" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    place = next(at for at, line in enumerate(lines) if b'"event":"task_created"' in line)
    event = json.loads(lines[place])
    event["details"]["task"]["title"] = "other"
    rechained(lines, place, details=event["details"])
    path.write_bytes(b"".join(lines))
    assert "is not what the log says" in refused_whole(shown, tmp_path, capsys)
    shutil.rmtree(shown / "state")
    assert "has another etag than its fields" in refused_whole(shown, tmp_path, capsys)


# Exports and backups.


def test_exports_have_a_form_for_every_reader(kyros: Kyros, tmp_path: Path) -> None:
    assert kyros("export").code == 3
    for title in ("=1+1", "two *stars* | and [more]"):
        assert kyros("task", "new", title, "--label", "x").code == 0
    assert kyros("task", "claim", "T-2", "--agent", "ana").code == 0
    lines = [json.loads(line) for line in kyros("export", "--format", "jsonl").out.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    rows = list(csv.DictReader(io.StringIO(kyros("export", "--format", "csv").out)))
    assert [(row["id"], row["title"], row["status"]) for row in rows] == [
        ("T-1", "'=1+1", "queued"),
        ("T-2", "two *stars* | and [more]", "claimed"),
    ]
    text = kyros("export", "--format", "md").out
    assert "## queued (1)" in text
    assert "- **T-2** two \\*stars\\* \\| and \\[more\\] (P2, agent:ana)" in text
    document = json.loads(kyros("export", "--format", "json").out)
    assert (document["format"], document["seq"]) == ("kyros.export/1", len(lines))
    assert document["events"] == lines
    assert kyros("export", "-o", str(tmp_path / "no" / "x")).code in (0, 9)
    file = tmp_path / "log.jsonl"
    assert kyros("export", "-o", str(file)).code == 0
    assert file.read_text() == kyros("export").out
    assert kyros("export", "--workspace", "nowhere").code == 3


def test_a_server_is_exported_over_rest(remote: Kyros, tmp_path: Path) -> None:
    assert remote("task", "new", "there").code == 0
    lines = remote("export").out.splitlines()
    (tmp_path / "log.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert remote("export", "--format", "csv").out.count("\r\n") == 2
    assert remote("export", "--format", "json").code == 2


def test_a_backup_is_a_sound_store_of_one_instant(
    kyros: Kyros, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept.db"
    assert kyros("backup", str(file)).code == 3
    assert kyros("task", "new", "kept").code == 0
    assert kyros("backup", str(file)).code == 0
    assert file.stat().st_mode & 0o077 == 0
    assert list(tmp_path.glob(".kept*")) == list(tmp_path.glob("kept.db-*")) == []
    assert kyros("backup", str(file)).code == 2
    assert kyros("task", "new", "not kept").code == 0
    before = kyros("export").out
    assert kyros("backup", "--restore", str(file)).code == 5
    for path in (tmp_path / "data").glob("kyros.db*"):
        path.unlink()
    assert kyros("backup", "--restore", str(file), "--dry-run").code == 0
    assert not (tmp_path / "data" / "kyros.db").exists()
    assert kyros("backup", "--restore", str(file)).code == 0
    assert before.startswith(kyros("export").out)
    assert kyros("task", "list", "--fields", "title").rows == [["kept"]]
    broken = bytearray(file.read_bytes())
    broken[5000:9000] = b"\xee" * 4000
    file.write_bytes(bytes(broken))
    assert kyros("backup", "--restore", str(file), "--data-dir", str(tmp_path / "new")).code == 9
    file.write_text("no store")
    assert kyros("backup", "--restore", str(file), "--data-dir", str(tmp_path / "new")).code == 9
    assert not (tmp_path / "new" / "kyros.db").exists()
    monkeypatch.setenv("KYROS_DATABASE_URL", "postgresql+psycopg://nobody@localhost/none")
    said = kyros("backup", str(file))
    assert (said.code, "pg_dump" in said.err) == (2, True)
