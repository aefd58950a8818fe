"""The arithmetic of the benchmark, and a load generator that tells what it was told."""

import socket
import threading

import pytest

from tests.bench.load import NUMBER, Plan, Request, Run, read
from tests.bench.rounds import Match, Sample, compare, markdown

BODY = b'{"ok":true}'
ANSWER = b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%s"


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    ours = iter([99, 10, 30, 20])
    floor = iter([99, 10, 10, 10])
    contenders = {
        "floor": lambda: Sample(next(floor), 1.0, 0.1),
        "ours": lambda: Sample(next(ours), 1.0, 0.2, 5.0),
    }
    (row,) = compare(contenders, [Match("ours", "floor", 2.0)], rounds=3)
    assert (row.rate, row.floor_rate, row.ratio) == (20, 10, 2.0)
    assert row.cpu_us == pytest.approx(10_000)
    assert row.verdict == "met"


def test_a_bar_that_is_missed_is_named() -> None:
    contenders = {name: lambda: Sample(10, 1.0, 0.1) for name in ("floor", "ours")}
    (row,) = compare(contenders, [Match("ours", "floor", 1.5)], rounds=1)
    assert row.verdict == "not met"
    assert "| not met |" in markdown([row])


@pytest.mark.anyio
async def test_the_load_generator_counts_answers_and_keeps_the_odd_one() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            for status in (200, 200, 409):
                seen.append(connection.recv(65_536))
                connection.sendall(ANSWER % (status, len(BODY), BODY))

    server = threading.Thread(target=answer)
    server.start()
    request = Request("POST", "/x", {"idempotency-key": NUMBER}, "{}")
    plan = Plan(listener.getsockname()[1], [[request]], calls=3, seconds=60, first_number=41)
    told = await Run(read(plan.text())).go()
    server.join(10)
    listener.close()
    assert told["operations"] == 3
    assert list(told["other"]) == ["409"]
    assert b"idempotency-key: 000000000042\r\n" in seen[0]
    assert seen[0].endswith(b"content-length: 2\r\n\r\n{}")
