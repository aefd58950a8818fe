"""`kyros agent`, `key`, `workspace`, `migrate`, on the store itself."""

import pytest

from tests.cli.conftest import Kyros


def test_an_agent_is_paused_resumed_and_written_to(kyros: Kyros) -> None:
    kyros("task", "new", "One", "--agent", "ana")
    assert "ana" in kyros("agent", "list", "--quiet").out.split()
    paused = kyros("agent", "pause", "ana", "--json").items[0]
    assert (paused["paused"], paused["undo"]) == (True, "kyros agent resume ana")
    assert "agent_paused" in kyros("task", "claim", "--next", "--agent", "ana").err
    assert kyros("agent", "resume", "ana").code == 0
    assert kyros("agent", "message", "ana", "look here", "--json").items[0]["seq"] > 0
    assert kyros("agent", "message", "nobody", "hello").code == 3
    assert kyros("agent", "pause", "nobody").code == 3


def test_a_key_is_shown_once_works_and_is_revoked_with_a_yes(
    kyros: Kyros, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = kyros("key", "new", "ana", "--role", "viewer", "--json").items[0]
    assert made["key"] not in kyros("key", "list").out
    monkeypatch.setenv("KYROS_TOKEN", made["key"])
    assert kyros("task", "list").code == 0
    assert kyros("task", "new", "x").code == 4
    monkeypatch.delenv("KYROS_TOKEN")
    assert kyros("key", "revoke", made["id"]).code == 2
    assert kyros("key", "revoke", made["id"], "--yes").code == 0
    assert made["id"] not in kyros("key", "list", "--quiet").out
    assert made["id"] in kyros("key", "list", "--all", "--quiet").out
    monkeypatch.setenv("KYROS_TOKEN", made["key"])
    assert kyros("task", "list").code == 4


def test_a_key_may_be_bound_to_a_workspace_and_act_as_an_agent(kyros: Kyros) -> None:
    kyros("workspace", "new", "two")
    words = ["--bound-to", "two", "--agent", "bob", "--scope", "tasks:read", "--expires-in", "60"]
    made = kyros("key", "new", "k", *words, "--json").items[0]
    assert (made["workspaces"], made["agent"], made["scopes"]) == (["two"], "bob", ["tasks:read"])
    assert kyros("key", "new", "k", "--bound-to", "nope").code == 3


def test_a_workspace_is_opened_tuned_and_set_back(kyros: Kyros) -> None:
    assert kyros("workspace", "new", "two").code == 0
    assert kyros("workspace", "new", "two").code == 5
    said = kyros("workspace", "set", "two", "--self-review", "--max-attempts", "7", "--json")
    assert said.items[0]["settings"]["max_attempts"] == 7
    undo = said.items[0]["undo"].split()[1:]
    assert undo == ["workspace", "set", "two", "--independent-review", "--max-attempts", "3"]
    assert kyros(*undo).code == 0
    assert kyros("workspace", "list", "--quiet").out.split() == ["default", "two"]
    assert kyros("workspace", "set", "two", "--max-attempts", "8", "--if-match", '"x"').code == 5
    assert kyros("workspace", "set", "nope", "--max-attempts", "8").code == 3
    assert kyros("workspace", "set", "two").code == 2


def test_workspaces_do_not_see_each_others_tasks(kyros: Kyros) -> None:
    kyros("workspace", "new", "two")
    assert kyros("task", "new", "Here", "--workspace", "two").code == 0
    assert kyros("task", "list").out == ""
    assert len(kyros("task", "list", "--workspace", "two").rows) == 1


def test_migrating_makes_a_store_and_then_changes_nothing(kyros: Kyros) -> None:
    assert kyros("migrate", "--dry-run").out.startswith("would have migrated")
    assert kyros("task", "list").code == 3
    assert kyros("migrate").out.startswith("migrated the store from nothing")
    assert kyros("migrate").out.startswith("unchanged")
    assert kyros("task", "list").code == 0
