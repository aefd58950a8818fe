"""The same commands over REST, against a real server."""

import json

import pytest

from tests.cli.conftest import Kyros, Served


def test_a_task_goes_from_new_to_done_over_rest(remote: Kyros) -> None:
    assert remote("task", "new", "One", "--id", "A", "--done-when", "tested").code == 0
    assert remote("task", "new", "Two", "--id", "B", "--depends-on", "A").code == 0
    assert "Finish first: A." in remote("task", "claim", "B").err
    assert remote("task", "claim", "--next", "--agent", "ana").code == 0
    assert remote("task", "edit", "A", "--agent", "bob", "--title", "x").code == 6
    assert remote("task", "move", "A", "in_progress", "--agent", "ana").code == 0
    edited = remote("task", "edit", "A", "--tick", "d1", "--label", "x", "--agent", "ana", "--json")
    assert edited.items[0]["labels"] == ["x"]
    assert remote("task", "move", "A", "review", "--agent", "ana").code == 0
    assert remote("task", "move", "A", "approved", "--agent", "bob").code == 0
    assert remote("task", "done", "A").code == 0
    assert remote("task", "claim", "B", "--quiet").out == "B\n"
    assert remote("task", "claim", "--next", "--wait", "0.2").code == 124


def test_an_old_etag_is_explained_over_rest(remote: Kyros) -> None:
    old = remote("task", "new", "One", "--id", "A", "--json").items[0]["etag"]
    remote("task", "edit", "A", "--title", "Newer", "--agent", "ana")
    said = remote("task", "edit", "A", "--title", "Mine", "--if-match", old)
    assert said.code == 5
    assert "title One → Newer" in said.err


def test_leases_go_round_over_rest(remote: Kyros) -> None:
    held = remote("lease", "acquire", "path:a/**", "b", "--json").items
    assert {one["resource"] for one in held} == {"path:a/**", "b"}
    assert remote("lease", "acquire", "path:a/x", "--agent", "bob").code == 6
    assert len(remote("lease", "renew").rows) == 2
    assert remote("lease", "reclaim").code == 0
    ids = [one["lock_id"] for one in held]
    assert remote("lease", "renew", ids[0], "--ttl", "60").code == 0
    assert remote("lease", "release", *ids).code == 0
    assert remote("lease", "list").out == ""
    assert remote("lease", "renew", ids[0]).code == 6


def test_the_log_is_tailed_over_rest(remote: Kyros) -> None:
    for number in range(12):
        remote("task", "new", f"Task {number}", "--id", f"N{number}")
    last = remote("events", "tail", "--no-follow", "--type", "task_created", "-o", "jsonl")
    assert [json.loads(line)["target"] for line in last.out.splitlines()] == [
        f"task:N{number}" for number in range(2, 12)
    ]
    every = remote("events", "tail", "--since", "0", "--no-follow", "--quiet").out.split()
    assert every == [str(seq) for seq in range(1, len(every) + 1)]
    recent = remote("events", "tail", "--since", "1h", "--no-follow", "--quiet").out.split()
    assert recent == every


def test_agents_keys_and_workspaces_are_managed_over_rest(remote: Kyros) -> None:
    remote("task", "list", "--agent", "ana")
    assert remote("agent", "pause", "ana").code == 0
    assert remote("agent", "resume", "ana").code == 0
    assert remote("agent", "message", "ana", "look here").code == 0
    key = remote("key", "new", "viewer", "--role", "viewer", "--json").items[0]
    assert remote("key", "revoke", key["id"], "--yes").code == 0
    assert remote("workspace", "set", "default", "--max-attempts", "4").code == 0
    assert remote("seed", "--quiet").out.startswith("T-100\n")
    assert remote("import", "collaboration", "--json").items[0]["outcome"] == "skipped"


def test_who_cannot_call_exits_four_and_who_cannot_reach_exits_seven(
    server: Served, kyros: Kyros, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.ready["api_url"]
    assert kyros("task", "list", "--url", url).code == 4
    monkeypatch.setenv("KYROS_TOKEN", "ky_nobody_x")
    assert kyros("task", "list", "--url", url).code == 4
    away = kyros("task", "list", "--url", "http://127.0.0.1:9", "--json")
    assert (away.code, away.json["error"]["code"]) == (7, "unreachable")
    assert kyros("task", "list", "--url", "not a url").code in (2, 7)


def test_a_summary_is_told_and_kept_by_a_server(remote: Kyros) -> None:
    assert remote("task", "new", "One", "--id", "S1").code == 0
    said = remote("events", "summary", "--since", "1h")
    assert "- **S1** “One”: created by" in said.out
    kept = remote("events", "summary", "--append", "--json").items[0]
    tail = remote("events", "tail", "--since", "0", "--no-follow", "--type", "log_appended")
    assert [row[0] for row in tail.rows] == [str(kept["appended_seq"])]
