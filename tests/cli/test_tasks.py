"""`kyros task` and `kyros lease`, on the store itself."""

import shlex

import pytest

from tests.cli.conftest import Kyros


@pytest.fixture
def board(kyros: Kyros) -> Kyros:
    assert kyros("task", "new", "One", "--id", "A", "--done-when", "tests pass").code == 0
    assert kyros("task", "new", "Two", "--id", "B", "--depends-on", "A").code == 0
    return kyros


def test_reading_where_there_is_no_store_makes_none(kyros: Kyros) -> None:
    assert kyros("task", "list").code == 3
    assert kyros("lease", "list", "--json").json["error"]["code"] == "no_store"


def test_a_new_task_is_listed_with_its_etag(board: Kyros) -> None:
    assert [row[:2] for row in board("task", "list").rows] == [["A", "queued"], ["B", "queued"]]
    shown = board("task", "show", "A", "--json").items[0]
    assert shown["title"] == "One"
    assert shown["etag"].startswith('"1-')
    assert "tests pass" in board("task", "show", "A").out


def test_a_list_is_filtered_by_status_label_words_and_holder(board: Kyros) -> None:
    board("task", "edit", "B", "--label", "later")
    board("task", "claim", "A")
    assert board("task", "list", "--status", "claimed", "--quiet").out == "A\n"
    assert board("task", "list", "--label", "later", "--quiet").out == "B\n"
    assert board("task", "list", "--query", "TWO", "--quiet").out == "B\n"
    assert board("task", "list", "--mine", "--quiet").out == "A\n"


def test_an_edit_says_what_changed_and_the_command_that_takes_it_back(board: Kyros) -> None:
    said = board("task", "edit", "A", "--title", "First one", "--json").items[0]
    assert said["title"] == "First one"
    undo = said["undo"].split(" ", 1)[1]
    assert "--title One" in undo
    assert board(*shlex.split(undo)).code == 0
    assert board("task", "show", "A", "--json").items[0]["title"] == "One"


def test_an_old_etag_is_a_conflict_that_names_who_changed_what(board: Kyros) -> None:
    old = board("task", "show", "A", "--json").items[0]["etag"]
    board("task", "edit", "A", "--title", "Newer", "--agent", "ana")
    said = board("task", "edit", "A", "--priority", "P0", "--if-match", old)
    assert said.code == 5
    assert "agent:ana" in said.err
    assert "title One → Newer" in said.err
    assert "--if-match" in said.err


def test_a_claimed_task_goes_through_review_by_another_to_done(board: Kyros) -> None:
    claim = board("task", "claim", "--next", "--agent", "ana", "--json").items[0]
    assert (claim["id"], claim["status"]) == ("A", "claimed")
    for words in (
        ["task", "move", "A", "in_progress", "--agent", "ana"],
        ["task", "edit", "A", "--tick", "d1", "--agent", "ana"],
        ["task", "move", "A", "review", "--agent", "ana", "--handoff", "all there"],
    ):
        assert board(*words).code == 0, words
    own = board("task", "move", "A", "approved", "--agent", "ana")
    assert (own.code, "--agent NAME" in own.err) == (5, True)
    assert board("task", "move", "A", "approved", "--agent", "bob").code == 0
    assert "to done" in board("task", "done", "A").out
    assert board("task", "claim", "B").code == 0


def test_done_names_what_is_left_to_tick_and_moves_nothing(board: Kyros) -> None:
    board("task", "claim", "A", "--agent", "ana")
    for to, who in (("in_progress", "ana"), ("review", "ana"), ("approved", "bob")):
        assert board("task", "move", "A", to, "--agent", who).code == 0
    said = board("task", "done", "A")
    assert said.code == 5
    assert "kyros task edit A --tick d1" in said.err
    assert board("task", "list", "--fields", "id,status").rows[0] == ["A", "approved"]


def test_a_guard_is_told_with_its_facts(board: Kyros) -> None:
    said = board("task", "claim", "B")
    assert said.code == 5
    assert "Finish first: A." in said.err
    assert "queued" not in board("task", "move", "A", "done").out
    assert "cancelled" in board("task", "move", "A", "done").err


def test_taking_a_task_from_its_holder_needs_a_yes(board: Kyros) -> None:
    board("task", "claim", "A", "--agent", "ana")
    said = board("task", "move", "A", "queued")
    assert said.code == 2
    assert "--yes" in said.err
    assert board("task", "move", "A", "queued", "--yes").code == 0
    assert board("lease", "list").out == ""


def test_a_dry_run_changes_nothing(board: Kyros) -> None:
    before = board("events", "tail", "--since", "0", "--no-follow", "--quiet").out
    for words in (
        ["task", "new", "Three"],
        ["task", "edit", "A", "--title", "x"],
        ["task", "move", "A", "cancelled"],
        ["task", "claim", "A"],
        ["task", "done", "A"],
        ["lease", "acquire", "path:src/**"],
        ["agent", "pause", "local-admin"],
        ["key", "new", "ana"],
        ["workspace", "new", "two"],
        ["workspace", "set", "default", "--max-attempts", "5"],
    ):
        said = board(*words, "--dry-run")
        assert said.code == 0, (words, said.err)
        assert said.out.startswith("would have "), words
    assert board("task", "move", "A", "merging", "--dry-run").code == 5
    after = board("events", "tail", "--since", "0", "--no-follow", "--quiet").out
    assert after == before


def test_waiting_for_work_in_vain_times_out(board: Kyros) -> None:
    board("task", "claim", "A")
    said = board("task", "claim", "--next", "--wait", "0.2", "--json", "--agent", "ana")
    assert said.code == 124
    assert said.json["error"]["code"] == "timed_out"
    none = board("task", "claim", "--next", "--json", "--agent", "ana")
    assert (none.code, none.items[0]["claimed"]) == (0, False)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["task", "show", "nope"], 3),
        (["task", "show", "no pe"], 9),
        (["task", "move", "A", "nowhere"], 2),
        (["task", "claim"], 2),
        (["task", "edit", "A"], 2),
        (["task", "edit", "A", "--clear", "colour"], 2),
        (["task", "list", "--bogus"], 2),
        (["task", "history", "A"], 2),
        (["task", "graph"], 2),
        (["task", "new", "x" * 201], 9),
        (["task", "new", "x", "--depends-on", "nope"], 3),
        (["lease", "acquire", "path:src/**", "--ttl", "1"], 9),
        (["lease", "acquire", "task:A"], 9),
        (["lease", "release", "lk_0000000000000000"], 3),
        (["lease", "run"], 2),
        (["events", "tail", "--since", "yesterday"], 2),
        (["events", "summary", "--since", "yesterday"], 2),
        (["task", "list", "--workspace", "nope"], 3),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else str(value),
)
def test_a_bad_call_has_its_exit_code(board: Kyros, words: list[str], code: int) -> None:
    said = board(*words, "--json")
    assert said.code == code, said.out + said.err
    assert said.json["error"].keys() == {"code", "message", "hint", "request_id"}


def test_a_lease_is_acquired_renewed_and_released(board: Kyros) -> None:
    granted = board("lease", "acquire", "path:src/**", "--ttl", "60", "--json").items
    assert granted[0]["undo"] == f"kyros lease release {granted[0]['lock_id']}"
    held = board("lease", "acquire", "path:src/a.py", "--agent", "bob")
    assert (held.code, "agent:local-admin" in held.err) == (6, True)
    assert board("lease", "renew").code == 0
    assert board("lease", "list", "--fields", "resource,holder").rows == [
        ["path:src/**", "agent:local-admin"]
    ]
    assert board("lease", "release", granted[0]["lock_id"]).code == 0
    assert board("lease", "list").out == ""
    lost = board("lease", "renew", granted[0]["lock_id"])
    assert lost.code == 6


def test_another_ones_lease_is_released_with_a_yes_only(board: Kyros) -> None:
    lock_id = board("lease", "acquire", "x", "--agent", "ana", "--quiet").out.strip()
    assert board("lease", "release", lock_id).code == 2
    assert board("lease", "release", lock_id, "--yes").code == 0


def test_reclaiming_takes_nothing_that_lives(board: Kyros) -> None:
    lock_id = board("lease", "acquire", "x", "--quiet").out.strip()
    said = board("lease", "reclaim", lock_id)
    assert (said.code, said.out) == (0, "")
    assert f"kept {lock_id}" in said.err
