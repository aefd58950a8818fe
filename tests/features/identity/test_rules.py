"""Keys: what they may carry, and which token opens them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyros_collab_server.features.identity import rules
from kyros_collab_server.features.identity.model import CreateKey
from kyros_collab_server.features.identity.rules import KeyRecord
from kyros_collab_server.kernel.errors import InsufficientScope, Invalid
from kyros_collab_server.kernel.principal import ROLE_SCOPES, Principal, Role, Scope

SCOPES = st.sets(st.sampled_from(list(Scope)), min_size=1)


def record_of(token: str, key_id: str = "k1") -> KeyRecord:
    return KeyRecord(
        id=key_id,
        name="n",
        agent=None,
        principal=f"key:{key_id}",
        scopes=(),
        workspaces=("*",),
        token_hash=rules.token_hash(token),
        created_at="2026-01-01T00:00:00.000Z",
    )


@given(SCOPES, SCOPES)
def test_a_key_never_carries_more_than_its_maker_does(mine: set[Scope], wanted: set[Scope]) -> None:
    maker = Principal(id="m", scopes=frozenset(mine))
    command = CreateKey(name="k", scopes=sorted(wanted))
    if wanted <= mine:
        assert set(rules.granted_scopes(maker, command)) == {scope.value for scope in wanted}
        return
    with pytest.raises(InsufficientScope) as refusal:
        rules.granted_scopes(maker, command)
    assert set(refusal.value.facts["scopes_needed"]) == {one.value for one in wanted - mine}


@given(st.sampled_from(list(Role)), SCOPES)
def test_a_role_grants_exactly_its_scopes_or_nothing(role: Role, mine: set[Scope]) -> None:
    maker = Principal(id="m", scopes=frozenset(mine))
    if ROLE_SCOPES[role] <= mine:
        granted = rules.granted_scopes(maker, CreateKey(name="k", role=role))
        assert set(granted) == {scope.value for scope in ROLE_SCOPES[role]}
    else:
        with pytest.raises(InsufficientScope):
            rules.granted_scopes(maker, CreateKey(name="k", role=role))


def test_a_role_and_scopes_do_not_go_together() -> None:
    maker = Principal(id="m", scopes=frozenset(Scope))
    with pytest.raises(Invalid):
        rules.granted_scopes(maker, CreateKey(name="k", role=Role.AGENT, scopes=[Scope.TASKS_READ]))
    default = rules.granted_scopes(maker, CreateKey(name="k"))
    assert set(default) == {scope.value for scope in ROLE_SCOPES[Role.AGENT]}


def test_a_key_enters_no_workspace_that_its_maker_may_not() -> None:
    bound = Principal(id="m", scopes=frozenset(Scope), workspaces=("one", "two"))
    assert rules.granted_workspaces(bound, CreateKey(name="k")) == ("one", "two")
    twice = CreateKey(name="k", workspaces=["two", "two"])
    assert rules.granted_workspaces(bound, twice) == ("two",)
    with pytest.raises(Invalid):
        rules.granted_workspaces(bound, CreateKey(name="k", workspaces=["one", "three"]))


def test_a_token_opens_its_own_key_alone_until_it_ends() -> None:
    key_id, token = rules.new_token()
    record = record_of(token, key_id)
    assert rules.key_id_of(token) == key_id
    assert rules.admits(record, token, 0)
    assert not rules.admits(record, token[:-1], 0)
    assert not rules.admits(replace(record, revoked_at="now"), token, 0)
    expiring = replace(record, expires_wall_ms=1_000)
    assert rules.admits(expiring, token, 999)
    assert not rules.admits(expiring, token, 1_000)


HOSTILE = [
    "",
    "ky_",
    "ky__x",
    "ky_a",
    "xx_a_b",
    "Bearer ky_a_b",
    "ky_\x00_secret",
    "ky_é_secret",
    "ky_\ud800_secret",
    "ky_' OR 1=1 --_secret",
    "ky_../../etc_secret",
    "ky_" + "a" * 100_000 + "_b",
]


@pytest.mark.parametrize("token", HOSTILE, ids=range(len(HOSTILE)))
def test_a_malformed_token_names_no_key_that_a_store_could_choke_on(token: str) -> None:
    key_id = rules.key_id_of(token)
    assert key_id is None or (key_id.isascii() and key_id.isalnum())


@given(st.text(max_size=80))
def test_no_text_opens_a_key_but_its_token(text: str) -> None:
    assert not rules.admits(record_of("ky_k1_secret"), text, 0)


def test_the_stored_record_of_a_key_does_not_hold_its_secret() -> None:
    _, token = rules.new_token()
    secret = token.split("_", 2)[2]
    assert secret not in repr(record_of(token))
    assert len(secret) >= 43
