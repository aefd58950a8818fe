"""The checker itself: it accepts what could have happened, and nothing else."""

import pytest

from tests.proof.linearizability import Call, FencedRegister, is_linearizable


def call(
    client: str, kind: str, began: float, ended: float, outcome: object, argument: object = None
) -> Call:
    return Call(client, kind, began, ended, argument, outcome)


A_ACQUIRES = call("a", "acquire", 0, 1, ("granted", 5))
GOOD = {
    "one after the other": [
        A_ACQUIRES,
        call("a", "write", 2, 3, "ok", (5, "x")),
        call("a", "release", 4, 5, "ok", 5),
        call("b", "acquire", 6, 7, ("granted", 9)),
        call("b", "read", 8, 9, ("x", "b")),
        call("a", "write", 10, 11, ("fenced", "b"), (5, "y")),
        call("a", "renew", 12, 13, ("lost", "b"), 5),
    ],
    "two at once, either may win": [
        call("a", "acquire", 0, 10, ("held", "b")),
        call("b", "acquire", 0, 10, ("granted", 3)),
    ],
    "a read beside a write sees either": [
        A_ACQUIRES,
        call("a", "write", 2, 10, "ok", (5, "x")),
        call("b", "read", 3, 4, ("", "a")),
        call("b", "read", 5, 6, ("x", "a")),
    ],
    "asking again gets the same token": [A_ACQUIRES, call("a", "acquire", 2, 3, ("granted", 5))],
    "releasing twice is well": [
        A_ACQUIRES,
        call("a", "release", 2, 3, "ok", 5),
        call("a", "release", 4, 5, "ok", 5),
        call("b", "take_back", 6, 7, "idle"),
    ],
    "an unknown write took effect": [
        A_ACQUIRES,
        Call("a", "write", 2, argument=(5, "x")),
        call("b", "read", 3, 4, ("x", "a")),
    ],
    "an unknown write took no effect": [
        A_ACQUIRES,
        Call("a", "write", 2, argument=(5, "x")),
        call("b", "read", 3, 4, ("", "a")),
    ],
    "an unknown write took effect late": [
        A_ACQUIRES,
        Call("a", "write", 2, argument=(5, "x")),
        call("b", "read", 3, 4, ("", "a")),
        call("b", "read", 5, 6, ("x", "a")),
    ],
}
BAD = {
    "two holders": [A_ACQUIRES, call("b", "acquire", 2, 3, ("granted", 7))],
    "a token that falls": [
        A_ACQUIRES,
        call("a", "release", 2, 3, "ok", 5),
        call("b", "acquire", 4, 5, ("granted", 4)),
    ],
    "a token given twice": [
        A_ACQUIRES,
        call("a", "release", 2, 3, "ok", 5),
        call("b", "acquire", 4, 5, ("granted", 5)),
    ],
    "a stale write that was accepted": [
        A_ACQUIRES,
        call("o", "take_back", 2, 3, "ok"),
        call("b", "acquire", 4, 5, ("granted", 9)),
        call("a", "write", 6, 7, "ok", (5, "x")),
    ],
    "a write under the token of another": [A_ACQUIRES, call("b", "write", 2, 3, "ok", (5, "x"))],
    "a renewal after the end": [
        A_ACQUIRES,
        call("o", "take_back", 2, 3, "ok"),
        call("a", "renew", 4, 5, "ok", 5),
    ],
    "a read of what was overwritten": [
        A_ACQUIRES,
        call("a", "write", 2, 3, "ok", (5, "x")),
        call("a", "write", 4, 5, "ok", (5, "y")),
        call("b", "read", 6, 7, ("x", "a")),
    ],
    "a read that goes back in time": [
        A_ACQUIRES,
        call("a", "write", 2, 10, "ok", (5, "x")),
        call("b", "read", 3, 4, ("x", "a")),
        call("b", "read", 5, 6, ("", "a")),
    ],
    "a lost acknowledged write": [
        A_ACQUIRES,
        call("a", "write", 2, 3, "ok", (5, "x")),
        call("b", "read", 4, 5, ("", "a")),
    ],
    "held by one who had let go": [
        A_ACQUIRES,
        call("a", "release", 2, 3, "ok", 5),
        call("b", "acquire", 4, 5, ("held", "a")),
    ],
    "the wrong holder is named": [A_ACQUIRES, call("b", "acquire", 2, 3, ("held", "c"))],
    "an unknown write that vanished again": [
        A_ACQUIRES,
        Call("a", "write", 2, argument=(5, "x")),
        call("b", "read", 3, 4, ("x", "a")),
        call("b", "read", 5, 6, ("", "a")),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_the_checker_accepts_what_could_have_happened(name: str) -> None:
    assert is_linearizable(FencedRegister(), GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_the_checker_refuses_what_no_single_board_could_answer(name: str) -> None:
    assert not is_linearizable(FencedRegister(), BAD[name])


def test_a_long_history_of_many_clients_is_checked_in_no_time() -> None:
    """A thousand overlapping calls: without memoisation this would never end."""
    history = [A_ACQUIRES]
    for turn in range(250):
        at = 10 * turn + 10
        history.append(call("a", "write", at, at + 9, "ok", (5, str(turn))))
        history += [call(f"r{reader}", "read", at, at + 9, (str(turn), "a")) for reader in range(3)]
    assert is_linearizable(FencedRegister(), history)
    history.append(call("b", "read", 3000, 3001, ("0", "a")))
    assert not is_linearizable(FencedRegister(), history)
