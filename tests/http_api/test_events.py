"""Events in pages, and by long-poll."""

import asyncio
import csv
import io
import json

import pytest

from tests.http_api.conftest import WAIT, Board, Client, agent

pytestmark = pytest.mark.anyio


async def noted(client: Client, text: str) -> int:
    answer = await client.post("/collab/events", json={"event": "note", "text": text})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"ok", "seq"}
    return int(answer.json()["seq"])


async def test_pages_follow_each_other_without_a_gap(ada: Client) -> None:
    last = [await noted(ada, f"n{number}") for number in range(7)][-1]
    seqs: list[int] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = (await ada.get(f"/collab/events?after={cursor}&limit=3")).json()
        seqs += [event["seq"] for event in page["data"]]
        cursor = page["next_cursor"]
    assert seqs == list(range(1, last + 1))
    backwards: list[int] = []
    cursor = str(last + 1)
    while cursor is not None:
        page = (await ada.get(f"/collab/events?before={cursor}&limit=3")).json()
        backwards = [event["seq"] for event in page["data"]] + backwards
        cursor = page["next_cursor"]
    assert backwards == seqs


async def test_an_event_carries_its_place_in_the_chain(ada: Client) -> None:
    seq = await noted(ada, "hello")
    page = (await ada.get(f"/collab/events?after={seq - 2}")).json()
    before, event = page["data"][-2:]
    assert (event["seq"], event["actor"], event["details"]) == (seq, "agent:ada", {"text": "hello"})
    assert event["prev_hash"] == before["hash"]
    assert event["request_id"].startswith("rq_")
    assert page["head_seq"] == seq


async def test_a_filter_leaves_out_what_does_not_match(ada: Client, bob: Client) -> None:
    await noted(ada, "one")
    await noted(bob, "two")
    await ada.post("/collab/tasks", json={"title": "t"})
    for query, expected in {
        "types=note&actor=agent:bob": ["note"],
        "types=task_*": ["task_created"],
        "target=task:T-1&types=task_created,note": ["task_created"],
    }.items():
        page = (await ada.get(f"/collab/events?after=0&{query}")).json()
        assert [event["event"] for event in page["data"]] == expected, query


async def test_lines_of_json_come_when_asked_for(ada: Client) -> None:
    seq = await noted(ada, "one\ntwo")
    headers = {"accept": "application/x-ndjson"}
    answer = await ada.get("/collab/events?after=0", headers=headers)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, seq + 1))
    assert answer.headers["x-kyros-cursor"] == str(seq)


async def test_a_long_poll_ends_at_the_first_match(ada: Client, bob: Client) -> None:
    start = await noted(ada, "before")
    query = {"since": start, "wait": 10, "types": "decision"}
    polling = asyncio.create_task(ada.get("/collab/events/tail", params=query))
    await noted(bob, "not this one")
    decided = await bob.post("/collab/events", json={"event": "decision", "text": "this"})
    answer = (await asyncio.wait_for(polling, WAIT)).json()
    assert [event["seq"] for event in answer["items"]] == [decided.json()["seq"]]
    assert answer["cursor"] == decided.json()["seq"]


async def test_a_long_poll_without_a_match_gives_a_cursor_that_covers_the_rest(
    ada: Client,
) -> None:
    start = await noted(ada, "before")
    last = await noted(ada, "skipped")
    query = {"since": start, "wait": 0, "types": "decision"}
    answer = (await ada.get("/collab/events/tail", params=query)).json()
    assert answer == {"items": [], "cursor": last}


async def test_a_long_poll_from_an_instant_begins_at_the_first_event_since(ada: Client) -> None:
    seq = await noted(ada, "one")
    ts = (await ada.get("/collab/events?limit=1")).json()["data"][0]["ts"]
    query = {"since": ts, "wait": 0}
    answer = (await ada.get("/collab/events/tail", params=query)).json()
    assert seq in {event["seq"] for event in answer["items"]}
    refused = await ada.get("/collab/events/tail?since=yesterday&wait=0")
    assert (refused.status_code, refused.json()["field"]) == (422, "since")
    assert (await ada.get("/collab/events/tail?since=-1&wait=0")).status_code == 422


async def test_an_append_beyond_its_bound_is_refused(ada: Client) -> None:
    body = {"event": "note", "details": {"x": "y" * 20_000}}
    refused = await ada.post("/collab/events", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "too_large")


async def test_events_come_as_a_table_when_one_asks_for_it(ada: Client) -> None:
    seq = await noted(ada, 'a "quoted", line\nand =another')
    answer = await ada.get("/collab/events", headers={"accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [int(row["seq"]) for row in rows] == list(range(1, seq + 1))
    assert json.loads(rows[-1]["details"]) == {"text": 'a "quoted", line\nand =another'}
    assert [cell for row in rows for cell in row.values() if cell[:1] in set("=+-@\t\r")] == []


async def test_a_range_of_events_is_counted_over_time_by_name_and_by_actor(ada: Client) -> None:
    first = await noted(ada, "one")
    last = await noted(ada, "two")
    query = {"from": first, "to": last, "buckets": 4}
    found = (await ada.get("/collab/events/stats", params=query)).json()
    assert found["total"] == sum(one["count"] for one in found["buckets"]) == 2
    assert found["events"] == [{"value": "note", "count": 2}]
    assert found["actors"] == [{"value": "agent:ada", "count": 2}]
    assert len(found["buckets"]) <= 4
    everything = (await ada.get("/collab/events/stats")).json()
    assert everything["total"] == last
    assert (await ada.get("/collab/events/stats?buckets=201")).status_code == 422
    assert (await ada.get("/collab/events/stats?to=soon")).json()["field"] == "to"


async def test_checkpoints_come_with_the_keys_that_check_them(ada: Client) -> None:
    answer = await ada.get("/collab/checkpoints")
    assert answer.status_code == 200
    assert set(answer.json()) == {"data", "keys", "next_cursor"}


async def test_a_text_is_appended_to_the_human_log_once_for_one_key(ada: Client) -> None:
    sent = {"json": {"text": "# Monday\n\n- all well [#1]"}, "headers": {"idempotency-key": "k"}}
    first = await ada.post("/collab/logs", **sent)
    assert (await ada.post("/collab/logs", **sent)).json() == first.json()
    log = (await ada.get("/collab/state/logs")).json()
    assert log["text"] == "# Monday\n\n- all well [#1]"
    (event,) = (await ada.get("/collab/events?types=log_appended")).json()["data"]
    assert (event["seq"], event["actor"]) == (first.json()["seq"], "agent:ada")
    for text in ("", " ", "x" * 49_153):
        assert (await ada.post("/collab/logs", json={"text": text})).status_code == 422


async def test_a_summary_cites_its_seqs_and_is_kept_once_when_asked(ada: Client) -> None:
    seq = await noted(ada, "the fence is painted")
    told = (await ada.post("/collab/events/summary", json={"begin": str(seq)})).json()
    assert seq in told["cited"]
    assert "the fence is painted" in told["markdown"]
    assert told["appended_seq"] is None
    plain = await ada.post(
        "/collab/events/summary", json={"seqs": [seq]}, headers={"accept": "text/markdown"}
    )
    assert plain.headers["content-type"] == "text/markdown; charset=utf-8"
    assert f"#{seq}" in plain.text
    head = (await ada.get("/collab/events")).json()["head_seq"]
    assert head == seq
    sent = {"json": {"append": True}, "headers": {"idempotency-key": "k"}}
    kept = await ada.post("/collab/events/summary", **sent)
    again = await ada.post("/collab/events/summary", **sent)
    assert again.json() == kept.json()
    assert again.headers["idempotent-replayed"] == "true"
    log = (await ada.get("/collab/state/logs")).json()
    assert log["text"] == kept.json()["markdown"].strip()
    assert kept.json()["appended_seq"] == seq + 1


async def test_who_only_reads_gets_a_summary_and_may_not_keep_it(board: Board) -> None:
    async with agent(board, "vera", role="viewer") as vera:
        assert (await vera.post("/collab/events/summary", json={})).status_code == 200
        for path, body in (
            ("/collab/events/summary", {"append": True}),
            ("/collab/logs", {"text": "x"}),
        ):
            refused = await vera.post(path, json=body)
            assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
