"""`kyros verify`, on the store and on exported files, with and without checkpoints."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import Checkpoints, ReadCheckpoints
from kyros_collab_server.settings import Settings
from tests.chains import chained, exported
from tests.cli.conftest import Kyros
from tests.conftest import TurnedClock


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An exported log of twenty events."""
    path = tmp_path / "out" / "events" / "events.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(text + b"\n" for text in exported(chained(20))))
    return path


@pytest.fixture
def signed(tmp_path: Path) -> Checkpoints:
    """What was signed of the store's log: a checkpoint every few events."""

    async def fill() -> Checkpoints:
        clock = TurnedClock()
        settings = Settings(data_dir=tmp_path / "data")
        async with open_kyros(settings, duties=False, clock=clock) as opened:
            caller = opened.kyros.local_caller(agent="ana")
            for number in range(12):
                note = events.AppendEvent(event="note", text=f"note {number}")
                await opened.kyros.perform(events.append, note, actor=caller)
                clock.advance(25)
                await opened.kyros.sweep()
            ask = ReadCheckpoints()
            return await opened.kyros.perform(events.checkpoints, ask, actor=caller)

    return asyncio.run(fill())


@pytest.fixture
def kept(signed: Checkpoints, tmp_path: Path) -> list[str]:
    """The options that name copies of checkpoints and keys kept elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    lines = "".join(f"{one.model_dump_json()}\n" for one in signed.data)
    (elsewhere / "c.jsonl").write_text(lines)
    keys = {"keys": [key.model_dump() for key in signed.keys]}
    (elsewhere / "k.json").write_text(json.dumps(keys))
    return ["--checkpoints", str(elsewhere / "c.jsonl"), "--keys", str(elsewhere / "k.json")]


def tampered(tmp_path: Path, *statements: str) -> None:
    """What somebody does who can write the file: the triggers go first."""
    raw = sqlite.connect(str(tmp_path / "data" / "kyros.db"))
    for table in ("events", "checkpoints", "checkpoint_keys"):
        raw.execute(f"DROP TRIGGER {table}_no_update")
        raw.execute(f"DROP TRIGGER {table}_no_delete")
    for statement in statements:
        raw.execute(statement)
    raw.commit()
    raw.close()


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


OF_5 = "SELECT hash, body FROM events e WHERE e.seq = 5"
Change = Callable[[list[bytes]], list[bytes]]
CHANGES: list[tuple[str, int, int, Change]] = [
    ("altered", 7, 7, lambda t: [*t[:6], t[6].replace(b"task_created", b"task_creates"), *t[7:]]),
    ("altered", 7, 7, lambda t: [*t[:6], t[6].replace(b'"n":7', b'"n":8'), *t[7:]]),
    ("altered", 7, 7, lambda t: [*t[:6], b"hello}\n", *t[7:]]),
    ("removed", 7, 7, lambda t: [*t[:6], *t[7:]]),
    ("removed", 1, 1, lambda t: t[1:]),
    ("reordered", 7, 7, lambda t: [*t[:6], t[7], t[6], *t[8:]]),
    ("reordered", 7, 7, lambda t: [*t[:6], *t[7:15], t[6], *t[15:]]),
    ("duplicated", 7, 8, lambda t: [*t[:7], t[6], *t[7:]]),
    ("duplicated", 3, 8, lambda t: [*t[:7], t[2], *t[7:]]),
    ("torn", 20, 20, lambda t: [*t[:19], t[19][:-40]]),
    ("torn", 20, 20, lambda t: [*t[:19], b"\0" * 80]),
    ("torn", 7, 7, lambda t: [*t[:6], t[6][:60] + b"\n", *t[7:]]),
]


@pytest.mark.parametrize("jobs", ["1", "3"])
@pytest.mark.parametrize(("kind", "seq", "line", "change"), CHANGES)
def test_an_exported_file_is_walked_without_a_store_and_the_first_difference_named(
    kyros: Kyros, log: Path, kind: str, seq: int, line: int, change: Change, jobs: str
) -> None:
    assert kyros("verify", str(log), "--jobs", jobs).code == 0
    log.write_bytes(b"".join(change(lines_of(log))))
    said = kyros("verify", str(log), "--json", "--jobs", jobs)
    (row,) = said.items
    assert (said.code, row["ok"], row["kind"], row["seq"], row["line"]) == (
        9, False, kind, seq, line,
    )  # fmt: skip


def test_a_directory_stands_for_the_log_in_it(kyros: Kyros, log: Path) -> None:
    for place in (log, log.parent, log.parent.parent):
        said = kyros("verify", str(place))
        assert said.code == 0
        assert said.out == "default: 20 events, nothing altered or removed.\n"
        assert "neither a cut tail nor a full rewrite" in said.err
    assert kyros("verify", str(log.parent.parent / "none")).code == 3
    assert kyros("verify", str(log.parent.parent.parent)).code == 3


def test_the_store_is_walked_as_it_lies_there(kyros: Kyros, signed: Checkpoints) -> None:
    said = kyros("verify", "--json")
    (row,) = said.items
    assert (said.code, row["ok"], row["workspace"]) == (0, True, "default")
    assert row["events"] == row["last_seq"] >= 12
    assert row["checkpoints"] == len(signed.data) > 2
    assert row["signed_through"] == signed.data[-1].seq


@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize(
    ("statement", "kind", "seq"),
    [
        ("UPDATE events SET body = replace(body, 'note 3', 'note 4')", "altered", 7),
        ("UPDATE events SET actor = 'agent:bo' WHERE seq = 6", "altered", 6),
        ("UPDATE events SET hash = replace(hash, 'a', 'b') WHERE seq = 6", "altered", 6),
        ("DELETE FROM events WHERE seq = 6", "removed", 6),
        ("DELETE FROM events WHERE seq < 3", "removed", 1),
        ("UPDATE events SET seq = seq + 1000 WHERE seq > 5", "altered", 6),
        (f"UPDATE events SET (hash, body) = ({OF_5}) WHERE seq = 6", "duplicated", 6),
        ("UPDATE events SET body = CAST(x'ff' AS TEXT) WHERE seq = 6", "altered", 6),
    ],
)
def test_whoever_writes_into_the_store_is_found_out(
    kyros: Kyros, tmp_path: Path, statement: str, kind: str, seq: int
) -> None:
    tampered(tmp_path, statement)
    said = kyros("verify", "--json")
    (row,) = said.items
    assert (said.code, row["kind"], row["seq"]) == (9, kind, seq)
    told = kyros("verify")
    assert told.code == 9
    assert f"seq {seq}" in told.err


def test_a_cut_tail_shows_by_checkpoints_alone(
    kyros: Kyros, signed: Checkpoints, kept: list[str], tmp_path: Path
) -> None:
    last = signed.data[-1].seq
    tampered(tmp_path, f"DELETE FROM events WHERE seq >= {last}", "DELETE FROM checkpoints")
    assert kyros("verify").code == 0
    said = kyros("verify", "--json", *kept)
    (row,) = said.items
    assert (said.code, row["kind"], row["seq"], row["through"]) == (9, "removed", last, last)


def test_a_full_rewrite_shows_by_checkpoints_kept_elsewhere(
    kyros: Kyros, kept: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(text + b"\n" for text in exported(chained(30))))
    assert kyros("verify", str(path)).code == 0
    said = kyros("verify", str(path), "--json", *kept)
    (row,) = said.items
    assert (said.code, row["kind"], row["seq"]) == (9, "rewritten", 1)


def test_a_checkpoint_counts_only_with_a_signature_of_a_given_key(
    kyros: Kyros, signed: Checkpoints, kept: list[str]
) -> None:
    assert kyros("verify", *kept).code == 0
    path = Path(kept[1])
    forged = signed.data[0].model_copy(update={"ts": "2020-01-01T00:00:00.000Z"})
    path.write_text(forged.model_dump_json() + "\n")
    said = kyros("verify", "--json", *kept)
    assert said.code == 9
    assert "not signed by its key" in said.items[0]["detail"]
    Path(kept[3]).write_text('{"keys": []}')
    path.write_text("")
    said = kyros("verify", "--json", *kept)
    assert said.code == 9
    assert "not among the keys" in said.items[0]["detail"]


@pytest.mark.parametrize("text", ["", "[]", '{"keys": [{"kid": 1}]}', "\0", '{"keys": [{}]}'])
def test_a_key_file_that_is_none_is_refused(
    kyros: Kyros, log: Path, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    assert kyros("verify", str(log), "--keys", str(path)).code == 9
    (log.parent / "checkpoints.jsonl").write_text('{"seq": "x"}\n')
    assert kyros("verify", str(log)).code == 9


def test_what_is_no_store_is_refused_and_stays_as_it_is(kyros: Kyros, tmp_path: Path) -> None:
    assert kyros("verify").code == 3
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "kyros.db"
    path.write_bytes(b"not a database" * 1000)
    said = kyros("verify")
    assert (said.code, path.read_bytes()) == (9, b"not a database" * 1000)
    assert kyros("verify", "--url", "http://127.0.0.1:1").code == 2
