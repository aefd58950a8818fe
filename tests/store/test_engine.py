"""Engines that cannot be trusted are refused at start, with the remedy."""

from pathlib import Path

import pytest

from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.kernel.errors import Invalid, StoreUnavailable
from kyros_collab_server.settings import Settings
from kyros_collab_server.store import dialect, engine, failpoints

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 51, 3), True),
        ((3, 51, 2), False),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
        ((3, 50, 7), True),
        ((3, 50, 6), False),
        ((3, 44, 6), True),
        ((3, 44, 5), False),
        ((3, 45, 9), False),
        ((3, 40, 1), False),
    ],
)
def test_only_releases_without_the_wal_reset_race_are_used(
    version: tuple[int, ...], safe: bool
) -> None:
    assert engine.sqlite_is_safe(version) == safe


async def test_an_old_sqlite_is_refused_at_start_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.sqlite, "sqlite_version_info", (3, 40, 1))
    with pytest.raises(Invalid) as refusal:
        async with open_kyros(Settings(data_dir=tmp_path), duties=False):
            pass
    assert refusal.value.facts["field"] == "sqlite"
    assert refusal.value.facts["allowed"] == ["3.51.3", "3.50.7", "3.44.6"]
    assert "pip" in refusal.value.fix


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    engine.check_sqlite(tmp_path / "kyros.db")
    monkeypatch.setattr(engine, "file_system_of", lambda directory: kind)
    with pytest.raises(Invalid) as refusal:
        engine.check_sqlite(tmp_path / "kyros.db")
    assert "KYROS_DATABASE_URL" in refusal.value.fix


def test_the_file_system_of_a_directory_is_that_of_its_nearest_mount(tmp_path: Path) -> None:
    assert engine.file_system_of(Path("/proc/self")) == "proc"
    assert engine.file_system_of(tmp_path) not in (None, "proc")


def test_a_server_that_does_not_answer_is_said_to_be_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        engine.postgres_connection("postgresql+psycopg://x@127.0.0.1:1/x", timeout_seconds=1)


def test_one_spelling_of_a_statement_serves_both_engines() -> None:
    sql = "SELECT :a::bigint, ':b', x FROM t WHERE y = :c_d AND z > :a"
    assert "%(a)s" in dialect.postgres_text(sql)
    assert "%(c_d)s" in dialect.postgres_text(sql)
    assert "::bigint" in dialect.postgres_text(sql)
    assert dialect.listed("n", []) == ("NULL", {})
    assert dialect.listed("n", ["x", "y"]) == (":n0, :n1", {"n0": "x", "n1": "y"})
    assert dialect.like("5%_~") == "%5~%~_~~%"


def test_a_failpoint_has_one_of_the_known_names() -> None:
    point = failpoints.Failpoint("before_commit:2")
    point("after_begin")
    point("before_commit")
    with pytest.raises(ValueError, match="no failpoint"):
        failpoints.Failpoint("nowhere")
