"""Operations: plain service functions that the door can run."""

import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter

from kyros_collab_server.kernel.principal import Scope

C = TypeVar("C", bound=BaseModel)
R = TypeVar("R")


@dataclass(frozen=True)
class Waiting:
    """How the door waits for an operation whose command has `wait_seconds`.

    `pending` says whether an answer is still to be waited for; such an answer is never stored for
    replay. `go_on` gives the command of the next try, `at_deadline` that of the last one, where
    the pending answer does not do. `blocked` is a read that says whether another try is useless.
    `leave` ends the waiting of a caller who has left; `abandon` takes a granted answer back when
    its caller has left and named no idempotency key.
    """

    pending: Callable[[Any], bool]
    go_on: Callable[[Any, Any], Any] = lambda command, answer: command
    at_deadline: Callable[[Any], Any] | None = None
    blocked: Callable[[Any, Any], bool] | None = None
    leave: Callable[[Any, Any], None] | None = None
    abandon: Callable[[Any, Any], None] | None = None


@dataclass(frozen=True)
class Operation(Generic[C, R]):
    """A service function with what the door must know of it.

    Calling an operation inside another is an ordinary call in the same transaction; scopes are
    checked at the door only. `read` operations run on a snapshot and write nothing.
    """

    run: Callable[[Any, C], R]
    name: str
    scopes: frozenset[Scope]
    read: bool
    waiting: Waiting | None = None
    stored: Callable[[R], R] = lambda answer: answer
    """What of an answer is kept for replay; secrets are shown once and not kept."""
    renews_only: bool = False
    """True when calling it shows that the caller lives, not that it makes progress."""

    def __call__(self, work: Any, command: C) -> R:
        return self.run(work, command)

    @cached_property
    def result(self) -> "TypeAdapter[R]":
        """Turns an answer into the JSON that is stored, and back."""
        return TypeAdapter(typing.get_type_hints(self.run)["return"])

    @property
    def summary(self) -> str:
        """What is true afterwards: the first line of the function's docstring."""
        return (self.run.__doc__ or self.name).strip().splitlines()[0]


def operation(
    *scopes: Scope,
    read: bool = False,
    waiting: Waiting | None = None,
    stored: Callable[[Any], Any] = lambda answer: answer,
    renews_only: bool = False,
) -> Callable[[Callable[[Any, C], R]], Operation[C, R]]:
    """Mark a service function as reachable through the door, and say what it needs.

    The name is `<feature>.<function>`; idempotency and audit use it.
    """

    def wrap(run: Callable[[Any, C], R]) -> Operation[C, R]:
        feature = run.__module__.split(".")[-2]
        name = f"{feature}.{run.__name__}"
        return Operation(run, name, frozenset(scopes), read, waiting, stored, renews_only)

    return wrap
