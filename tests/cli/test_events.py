"""`kyros events tail`, on the store itself."""

import json
import subprocess
from pathlib import Path

from tests.cli.conftest import PROGRAM, WAIT, Kyros, environment


def made(kyros: Kyros, count: int) -> None:
    for number in range(count):
        assert kyros("task", "new", f"Task {number}", "--id", f"N{number}").code == 0


def test_a_tail_starts_at_a_seq_a_duration_or_an_instant(kyros: Kyros) -> None:
    made(kyros, 2)
    lines = kyros("events", "tail", "--since", "0", "--no-follow", "-o", "jsonl").out.splitlines()
    seqs = [json.loads(line)["seq"] for line in lines]
    assert seqs == list(range(1, len(seqs) + 1))
    assert kyros("events", "tail", "--since", "1h", "--no-follow", "-o", "jsonl").out == "".join(
        f"{line}\n" for line in lines
    )
    instant = json.loads(lines[-1])["ts"]
    after = kyros("events", "tail", "--since", instant, "--no-follow", "--quiet").out.split()
    assert after[-1] == str(seqs[-1])
    assert kyros("events", "tail", "--since", str(seqs[-1]), "--no-follow").out == ""


def test_without_a_start_a_tail_shows_the_last_ten(kyros: Kyros) -> None:
    made(kyros, 12)
    shown = kyros("events", "tail", "--no-follow", "--type", "task_created").rows
    assert [row[4] for row in shown] == [f"task:N{number}" for number in range(2, 12)]


def test_a_tail_is_filtered_at_the_source(kyros: Kyros) -> None:
    made(kyros, 1)
    kyros("task", "claim", "N0", "--agent", "ana")
    tail = ["events", "tail", "--since", "0", "--no-follow"]
    names = [row[2] for row in kyros(*tail, "--type", "task_*,lease_*").rows]
    assert names == ["task_created", "lease_acquired", "task_claimed"]
    assert {row[3] for row in kyros(*tail, "--actor", "agent:ana").rows} == {"agent:ana"}
    about = kyros(*tail, "--target", "task:N0", "--json", "--fields", "event").out.splitlines()
    assert [json.loads(line) for line in about] == [
        {"event": "task_created"},
        {"event": "task_claimed"},
    ]


def test_a_following_tail_hands_over_each_event_and_dies_silently_with_its_reader(
    program: Kyros, tmp_path: Path
) -> None:
    assert program("task", "new", "One").code == 0
    env = environment(KYROS_DATA_DIR=str(tmp_path / "data"))
    with subprocess.Popen(
        [*PROGRAM, "events", "tail", "--since", "0"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        while "task_created" not in tail.stdout.readline():
            pass
        assert program("task", "new", "Two").code == 0
        assert "task_created" in tail.stdout.readline()
        tail.stdout.close()
        assert program("task", "new", "Three").code == 0
        assert tail.wait(WAIT) == 0
        assert tail.stderr.read() == ""


def test_a_long_list_into_a_closed_pipe_is_silent(program: Kyros, tmp_path: Path) -> None:
    assert program("seed").code == 0
    env = environment(KYROS_DATA_DIR=str(tmp_path / "data"))
    done = subprocess.run(
        [
            "bash",
            "-c",
            '"$@" | true; exit ${PIPESTATUS[0]}',
            "-",
            *PROGRAM,
            "task",
            "list",
            "--json",
        ],
        env=env,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_summary_is_markdown_with_citations(kyros: Kyros) -> None:
    made(kyros, 2)
    kyros("task", "claim", "N0", "--agent", "ana")
    said = kyros("events", "summary")
    assert said.code == 0
    assert said.out.startswith("## default, seq 1 to ")
    assert (
        "- **N0** “Task 0”: created by agent:local-admin [#4]; claimed by agent:ana [#" in said.out
    )
    (row,) = kyros("events", "summary", "--since", "3", "--until", "4", "--json").items
    assert (row["first_seq"], row["last_seq"], row["cited"]) == (4, 4, [4])
    assert kyros("events", "summary", "--seq", "4", "--seq", "5", "--json").items[0]["events"] == 2
    assert "nothing happened" in kyros("events", "summary", "--type", "x.*").out
    assert kyros("events", "summary", "--since", "soon").code == 2


def test_a_summary_can_be_kept_in_the_human_log(kyros: Kyros) -> None:
    made(kyros, 1)
    dry = kyros("events", "summary", "--append", "--dry-run")
    assert "would have" in dry.err
    kept = kyros("events", "summary", "--append")
    tail = kyros("events", "tail", "--since", "0", "--no-follow", "-o", "jsonl").out.splitlines()
    entries = [json.loads(line) for line in tail if '"log_appended"' in line]
    assert [entry["details"]["text"] for entry in entries] == [kept.out.strip()]
