"""`kyros doctor` and `kyros stdio`."""

import json
import subprocess
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

from tests.cli.conftest import PROGRAM, WAIT, Kyros, Served, environment


def states(kyros: Kyros, *words: str) -> tuple[int, dict[str, str]]:
    said = kyros("doctor", *words, "--json")
    return said.code, {one["check"]: one["state"] for one in said.items}


def test_a_sound_store_and_a_running_server_pass_every_check(
    server: Served, kyros: Kyros, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kyros("seed").code == 0
    monkeypatch.setenv("KYROS_URL", server.ready["api_url"])
    monkeypatch.setenv("KYROS_TOKEN", server.ready["token"])
    code, found = states(kyros)
    assert code == 0
    found.pop("port")  # 8000 may be anyone's
    assert set(found.values()) == {"ok"}
    assert {"log", "mcp http", "mcp stdio"} <= found.keys()


def test_nothing_to_look_at_yet_is_a_warning_not_a_failure(kyros: Kyros, tmp_path: Path) -> None:
    code, found = states(kyros)
    assert code == 0
    assert found["migrations"] == found["data directory"] == "warning"
    assert not (tmp_path / "data").exists()


def test_an_altered_event_is_found(kyros: Kyros, tmp_path: Path) -> None:
    kyros("seed")
    database = sqlite.connect(tmp_path / "data" / "kyros.db")
    triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    for (name,) in triggers.fetchall():
        database.execute(f'DROP TRIGGER "{name}"')
    database.execute("UPDATE events SET body = replace(body, 'T-104', 'T-999') WHERE seq = 7")
    database.commit()
    database.close()
    said = kyros("doctor")
    assert said.code == 1
    assert "seq 7 was altered" in said.out


def test_credentials_that_others_can_read_fail(kyros: Kyros, tmp_path: Path) -> None:
    kyros("seed")
    (tmp_path / "data" / "credentials.json").chmod(0o644)
    code, found = states(kyros)
    assert (code, found["token"]) == (1, "failed")


@pytest.mark.parametrize("words", [["--fix"], ["--client", "cursor"]])
def test_what_doctor_cannot_do_yet_it_says(kyros: Kyros, words: list[str]) -> None:
    assert kyros("doctor", *words).code == 2


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def handshake(**more: str) -> dict[str, object]:
    with subprocess.Popen(
        [*PROGRAM, "stdio"],
        env=environment(**more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(INITIALIZE) + "\n")
        process.stdin.flush()
        answer: dict[str, object] = json.loads(process.stdout.readline())
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(WAIT) == 0
    return answer


def test_stdio_speaks_the_protocol_alone_over_the_local_store(tmp_path: Path) -> None:
    answer = handshake(KYROS_DATA_DIR=str(tmp_path / "d"))
    assert answer["id"] == 1
    assert "result" in answer
    assert (tmp_path / "d" / "kyros.db").exists()


def test_stdio_forwards_to_a_running_server(server: Served, tmp_path: Path) -> None:
    answer = handshake(
        KYROS_URL=server.ready["api_url"],
        KYROS_TOKEN=server.ready["token"],
        KYROS_DATA_DIR=str(tmp_path / "d"),
    )
    assert "result" in answer
    assert not (tmp_path / "d").exists()


def test_stdio_without_a_server_to_forward_to_fails_on_stderr(program: Kyros) -> None:
    said = program("stdio", KYROS_URL="http://127.0.0.1:9", KYROS_TOKEN="x")
    assert (said.code, said.out) == (7, "")
    assert said.err
