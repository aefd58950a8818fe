"""Is there an order of these calls that one sequential board could have answered so?

A Wing and Gong search with Lowe's memoisation: calls take effect at one instant between their
beginning and their end; states that were reached with the same calls done are looked at once.
Histories are checked a resource at a time, which is as good as all at once.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

S = TypeVar("S")
FOREVER = math.inf


@dataclass(frozen=True)
class Call:
    """One call as its client saw it; without an outcome it may have taken effect or not."""

    client: str
    kind: str
    began: float
    ended: float = FOREVER
    argument: Any = None
    outcome: Any = None

    @property
    def is_known(self) -> bool:
        return self.ended != FOREVER


class Model(Protocol[S]):
    """The sequential board."""

    initial: S

    def after(self, state: S, call: Call) -> Iterator[S]:
        """The states that the call can lead to with this outcome; none when it is not legal."""
        ...


class Search(Generic[S]):
    """One search for an order."""

    def __init__(self, model: Model[S], history: Iterable[Call]) -> None:
        self._model = model
        self._calls = sorted(history, key=lambda call: call.began)
        self._needed = sum(1 << at for at, call in enumerate(self._calls) if call.is_known)

    def finds_an_order(self) -> bool:
        """True when the history is linearizable."""
        start = (0, self._model.initial)
        stack, seen = [start], {start}
        while stack:
            done, state = stack.pop()
            if done & self._needed == self._needed:
                return True
            for at in self._next(done):
                for following in self._model.after(state, self._calls[at]):
                    reached = (done | 1 << at, following)
                    if reached not in seen:
                        seen.add(reached)
                        stack.append(reached)
        return False

    def _next(self, done: int) -> Sequence[int]:
        """The calls that may come next: none that began after another one, not done, had ended."""
        found: list[int] = []
        first_end = FOREVER
        first = (~done & (done + 1)).bit_length() - 1
        for at in range(first, len(self._calls)):
            call = self._calls[at]
            if call.began > first_end:
                break
            if not done >> at & 1:
                found.append(at)
                first_end = min(first_end, call.ended)
        return [at for at in found if self._calls[at].began <= first_end]


def is_linearizable(model: Model[S], history: Iterable[Call]) -> bool:
    """True when some order of the calls explains every outcome."""
    return Search(model, history).finds_an_order()


@dataclass(frozen=True)
class Held:
    """A fenced register: who holds the lease, by which token, and what was written last."""

    holder: str | None = None
    token: int = 0
    highest: int = 0
    value: str = ""


class FencedRegister:
    """The sequential model of a task under a lease that does not run out.

    `acquire` is granted with a token or says who holds it; `renew`, `release` and `write` name a
    token; `read` gives value and holder; `take_back` is an operator's and ends whatever is held.
    """

    initial = Held()

    def after(self, state: Held, call: Call) -> Iterator[Held]:
        yield from getattr(self, f"_{call.kind}")(state, call)

    def _acquire(self, state: Held, call: Call) -> Iterator[Held]:
        is_granted = call.outcome is None or call.outcome[0] == "granted"
        if state.holder is None and is_granted:
            token = state.highest + 1 if call.outcome is None else call.outcome[1]
            if token > state.highest:
                yield Held(call.client, token, token, state.value)
        elif state.holder == call.client:
            if call.outcome in (None, ("granted", state.token)):
                yield state
        elif state.holder is not None and call.outcome in (None, ("held", state.holder)):
            yield state

    def _owns(self, state: Held, call: Call, token: int) -> bool:
        return (state.holder, state.token) == (call.client, token)

    def _renew(self, state: Held, call: Call) -> Iterator[Held]:
        answer = "ok" if self._owns(state, call, call.argument) else ("lost", state.holder)
        if call.outcome in (None, answer):
            yield state

    def _release(self, state: Held, call: Call) -> Iterator[Held]:
        """One's own lease is over afterwards; releasing what is over already changes nothing."""
        if call.outcome in (None, "ok"):
            owns = self._owns(state, call, call.argument)
            yield Held(None, 0, state.highest, state.value) if owns else state

    def _write(self, state: Held, call: Call) -> Iterator[Held]:
        token, value = call.argument
        if self._owns(state, call, token):
            if call.outcome in (None, "ok"):
                yield Held(state.holder, state.token, state.highest, value)
        elif call.outcome in (None, ("fenced", state.holder)):
            yield state

    def _read(self, state: Held, call: Call) -> Iterator[Held]:
        if call.outcome in (None, (state.value, state.holder)):
            yield state

    def _take_back(self, state: Held, call: Call) -> Iterator[Held]:
        if call.outcome in (None, "ok") and state.holder is not None:
            yield Held(None, 0, state.highest, state.value)
        if call.outcome in (None, "idle") and state.holder is None:
            yield state
