"""`kyros serve`: ready when it says so, ended within its bound, refused when it would be unsafe."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from kyros_collab_server.cli.serve import _hosts, _origins
from kyros_collab_server.settings import Settings
from tests.cli.conftest import PROGRAM, ROOT, WAIT, Kyros, Served, environment

SEED = ROOT / "collaboration"


def client(served: Served) -> httpx2.Client:
    return httpx2.Client(
        base_url=served.ready["api_url"],
        headers={"Authorization": f"Bearer {served.ready['token']}"},
        timeout=WAIT,
    )


def test_one_json_line_says_that_it_really_answers(tmp_path: Path) -> None:
    served = Served("--port", "0", "--seed-from", str(SEED), data_dir=tmp_path / "d")
    try:
        assert served.ready.keys() == {"api_url", "console_url", "mcp_url", "token", "pid"}
        assert served.ready["pid"] == served.process.pid
        with client(served) as http:
            assert http.get("/readyz").status_code == 200
            tasks = http.get("/collab/state/tasks").json()["data"]
        assert [task["id"] for task in tasks][:2] == ["T-100", "T-101"]
        assert len(tasks) == 11
    finally:
        said = served.end()
    assert said.code == 0
    assert len(said.out.splitlines()) == 1
    names = [json.loads(line)["event"] for line in said.err.splitlines()]
    assert names[-2:] == ["draining", "stopped"]


def test_a_second_start_keeps_board_and_token(tmp_path: Path) -> None:
    first = Served("--port", "0", "--seed-from", str(SEED), data_dir=tmp_path / "d")
    first.end()
    second = Served("--port", "0", "--seed-from", str(SEED), data_dir=tmp_path / "d")
    try:
        assert second.ready["token"] == first.ready["token"]
        with client(second) as http:
            assert len(http.get("/collab/state/tasks").json()["data"]) == 11
    finally:
        second.end()


def test_a_first_start_imports_the_data_directorys_own_state_files(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    tasks = (SEED / "state" / "tasks.json").read_bytes()
    (tmp_path / "state" / "tasks.json").write_bytes(tasks)
    served = Served("--port", "0", data_dir=tmp_path)
    try:
        with client(served) as http:
            assert len(http.get("/collab/state/tasks").json()["data"]) == 11
    finally:
        served.end()


def test_a_broken_state_file_stops_a_first_start_before_there_is_a_store(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "tasks.json").write_text('{"kind":"tasks"')
    said = Served("--port", "0", data_dir=tmp_path).end()
    assert (said.code, said.out) == (9, "")
    assert "is torn" in said.err
    assert not (tmp_path / "kyros.db").exists()


def test_sigterm_ends_open_streams_and_waits_within_ten_seconds(tmp_path: Path) -> None:
    served = Served("--port", "0", data_dir=tmp_path / "d")
    with (
        client(served) as http,
        http.stream(
            "GET", "/collab/events/tail", headers={"Accept": "text/event-stream"}
        ) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines)
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        for _ in lines:
            pass
    assert served.process.wait(WAIT) == 0
    assert time.monotonic() - began < 10
    served.end()


def test_ctrl_c_is_an_interruption(tmp_path: Path) -> None:
    assert Served("--port", "0", data_dir=tmp_path / "d").end(signal.SIGINT).code == 130


def test_a_second_signal_does_not_wait_for_the_drain(tmp_path: Path) -> None:
    served = Served("--port", "0", data_dir=tmp_path / "d")
    address = ("127.0.0.1", int(served.ready["api_url"].rpartition(":")[2]))
    with socket.create_connection(address) as held:
        # A request whose body never ends: the drain would wait for it.
        held.sendall(
            b"POST /collab/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n"
            b"Authorization: Bearer " + served.ready["token"].encode() + b"\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
        with client(served) as http:
            http.get("/healthz")
        served.process.send_signal(signal.SIGTERM)
        assert served.process.stderr is not None
        while "draining" not in served.process.stderr.readline():
            pass
        began = time.monotonic()
        while served.process.poll() is None:
            served.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                served.process.wait(0.2)
        assert time.monotonic() - began < 5
        assert served.end().code == 1


def test_the_echo_of_a_signal_does_not_cut_the_drain_short(tmp_path: Path) -> None:
    served = Served("--port", "0", data_dir=tmp_path / "d")
    served.process.send_signal(signal.SIGTERM)
    said = served.end(signal.SIGTERM)
    assert said.code == 0
    assert "stopped" in said.err


def test_a_port_that_was_asked_for_and_is_taken_names_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = Served("--port", str(port), data_dir=tmp_path / "d").end()
        by_environment = Served(data_dir=tmp_path / "d", KYROS_PORT=str(port)).end()
    assert said.code == by_environment.code == 7
    assert f"Port {port} is taken" in said.err
    if Path("/proc/net/tcp").exists():
        assert f"process {os.getpid()}" in said.err
    assert not (tmp_path / "d").exists()


def test_without_a_port_the_next_free_one_is_taken_and_said(tmp_path: Path) -> None:
    first = Served(data_dir=tmp_path / "a")
    second = Served(data_dir=tmp_path / "b")
    try:
        urls = {first.ready["api_url"], second.ready["api_url"]}
        assert len(urls) == 2
    finally:
        first.end()
        said = second.end()
    assert "port 8000 is taken; serving on " in said.err


@pytest.mark.parametrize(
    ("more", "missing"),
    [
        ({}, "KYROS_SECRET"),
        ({"KYROS_SECRET": "x" * 40}, "KYROS_PUBLIC_URL"),
        ({"KYROS_SECRET": "short", "KYROS_PUBLIC_URL": "https://x.example"}, "KYROS_SECRET"),
    ],
    ids=["nothing", "no url", "short secret"],
)
def test_an_open_address_without_configured_secrets_is_refused(
    tmp_path: Path, more: dict[str, str], missing: str
) -> None:
    said = Served("--host", "0.0.0.0", "--port", "0", data_dir=tmp_path / "d", **more).end()
    assert (said.code, said.out) == (9, "")
    assert missing in said.err
    assert not (tmp_path / "d").exists()


def test_an_open_address_with_configured_secrets_is_served(tmp_path: Path) -> None:
    more = {"KYROS_SECRET": "x" * 40, "KYROS_PUBLIC_URL": "https://kyros.example/"}
    served = Served("--host", "0.0.0.0", "--port", "0", data_dir=tmp_path / "d", **more)
    assert served.ready["mcp_url"] == "https://kyros.example/mcp"
    assert served.end().code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--demo"], 2),
        (["--demo-seed", "7"], 2),
        (["--reload"], 2),
        (["--port", "x"], 2),
        (["--port", "65536"], 9),
        (["--seed-from", "/nowhere"], 2),
        (["--host", "203.0.113.1", "--port", "0"], 9),
        (["extra"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_bad_flag_is_refused_before_anything_is_made(
    kyros: Kyros, tmp_path: Path, words: list[str], code: int
) -> None:
    assert kyros("serve", *words).code == code
    assert not (tmp_path / "data").exists()


def test_on_a_terminal_a_panel_says_how_to_connect_clients(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0", "--data-dir", str(tmp_path / "d")],
        env=environment(),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = ""
    try:
        while "kyros key new" not in shown:
            shown += os.read(ours, 65_536).decode()
    finally:
        process.terminate()
        process.wait(WAIT)
        os.close(ours)
    found = re.search(r"(http://127\.0\.0\.1:\d+)/mcp", shown)
    assert found is not None
    assert f"claude mcp add --transport http kyros {found[0]} --header" in shown
    assert f"codex mcp add kyros --url {found[0]}" in shown
    snippet = next(line for line in shown.splitlines() if "mcpServers" in line)
    assert json.loads(snippet)["mcpServers"]["kyros"]["url"] == found[0]


def test_mcp_answers_to_this_machine_and_to_the_configured_names() -> None:
    settings = Settings(
        allowed_hosts="a.example, b.example:81", allowed_origins="https://c.example"
    )
    hosts = _hosts(settings, "https://kyros.example")
    assert {"localhost:*", "127.0.0.1:*", "kyros.example", "a.example:*"} <= set(hosts)
    assert "b.example:81" in hosts
    assert "b.example:81:*" not in hosts
    origins = _origins(settings, "https://kyros.example")
    assert {"https://kyros.example", "http://localhost:*", "https://c.example"} <= set(origins)
