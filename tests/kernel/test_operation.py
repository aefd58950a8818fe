"""Operations: what the door knows of a service function."""

import pytest

from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.leases import service as leases
from kyros_collab_server.features.messages import service as messages
from kyros_collab_server.features.tasks import service as tasks
from kyros_collab_server.kernel.errors import InsufficientScope
from kyros_collab_server.kernel.operation import Operation
from kyros_collab_server.kernel.principal import ROLE_SCOPES, Principal, Role, Scope

OPERATIONS = [
    value
    for module in (agents, events, identity, leases, messages, tasks)
    for value in vars(module).values()
    if isinstance(value, Operation)
]


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_every_operation_is_named_after_its_feature_and_says_what_is_true(op: Operation) -> None:
    feature, _, function = op.name.partition(".")
    assert f"features.{feature}." in op.run.__module__
    assert op.run.__name__ == function
    assert op.summary.endswith((".", ":"))
    assert op.result is not None


def test_no_two_operations_share_a_name() -> None:
    assert len({op.name for op in OPERATIONS}) == len({id(op.run) for op in OPERATIONS})


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_a_viewer_may_read_and_never_write(op: Operation) -> None:
    viewer = ROLE_SCOPES[Role.VIEWER]
    if not op.read and op.name != "messages.acknowledge":
        assert not op.scopes <= viewer


def test_each_role_carries_all_that_the_one_below_it_does() -> None:
    viewer, agent, operator, admin = (ROLE_SCOPES[role] for role in Role)
    assert viewer < agent < operator < admin
    assert admin == frozenset(Scope)
    assert {scope for scope in viewer if not scope.value.endswith(":read")} == set()
    assert Scope.JOBS_RUN not in operator


def test_a_missing_scope_is_named_in_the_refusal() -> None:
    caller = Principal(id="x", scopes=ROLE_SCOPES[Role.VIEWER], workspaces=("one",))
    caller.require(frozenset({Scope.TASKS_READ}))
    with pytest.raises(InsufficientScope) as refusal:
        caller.require(frozenset({Scope.OPERATE}))
    assert refusal.value.facts == {"scopes_needed": ["operate"]}
    assert caller.may_enter("one")
    assert not caller.may_enter("two")


def test_the_log_names_a_caller_by_agent_then_user_then_system() -> None:
    scopes: frozenset[Scope] = frozenset()
    assert Principal(id="x", scopes=scopes, agent="ana", user="u1").actor == "agent:ana"
    assert Principal(id="x", scopes=scopes, user="u1").actor == "user:u1"
    assert Principal(id="x", scopes=scopes).actor == "system"
