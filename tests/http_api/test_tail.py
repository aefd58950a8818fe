"""The tail as a stream, over a real connection."""

import asyncio
import contextlib
import json
import socket
from typing import Any

import httpx2
import pytest

from http_api import ring, sse
from http_api.app import build_app
from tests.http_api.conftest import WAIT, Board, Client, Live, agent, happens, tailing

pytestmark = pytest.mark.anyio


async def noted(client: Client, text: str = "x", event: str = "note") -> int:
    answer = await client.post("/collab/events", json={"event": event, "text": text})
    return int(answer.json()["seq"])


async def test_a_stream_says_hello_and_then_what_comes(live: Live) -> None:
    async with live.client() as client, tailing(client) as frames:
        hello = await frames.next()
        assert hello.event == "hello"
        assert set(hello.payload) == {"server_time", "head_seq", "epoch"}
        assert frames.retry == ["2000"]
        seq = await noted(client, "news")
        event = await frames.next()
        assert (event.event, event.id) == ("note", str(seq))
        assert event.payload["details"] == {"text": "news"}


async def test_a_replay_ends_with_proof_that_it_is_complete(live: Live) -> None:
    async with live.client() as client:
        for _ in range(3):
            head = await noted(client)
        async with tailing(client, since=0) as frames:
            replay = await frames.until("caught_up")
        assert [frame.id for frame in replay[1:-1]] == [str(n) for n in range(1, head + 1)]
        told = {"from": 0, "to": head, "sent": head, "filtered": 0}
        assert replay[-1].payload == told


async def test_a_filtered_replay_counts_what_it_left_out(live: Live) -> None:
    async with live.client() as client:
        await noted(client)
        await noted(client, event="decision")
        head = await noted(client)
        async with tailing(client, since=0, types="decision") as frames:
            replay = await frames.until("caught_up")
            told = replay[-1].payload
            assert (told["sent"], told["sent"] + told["filtered"]) == (1, head)
            await noted(client)
            seq = await noted(client, event="decision")
            assert (await frames.next()).id == str(seq)


async def test_last_event_id_wins_over_since(live: Live) -> None:
    async with live.client() as client:
        seq = await noted(client)
        last = await noted(client)
        headers = {"last-event-id": str(seq)}
        async with tailing(client, since=0, headers=headers) as frames:
            replay = await frames.until("caught_up")
        assert [frame.id for frame in replay[1:-1]] == [str(last)]


async def test_a_cursor_of_another_log_gets_a_reset_and_the_stream_goes_on(live: Live) -> None:
    async with live.client() as client:
        head = await noted(client)
        for query in ({"since": head + 100}, {"since": 0, "epoch": "another"}):
            async with tailing(client, **query) as frames:
                hello, reset = await frames.next(), await frames.next()
                assert (hello.event, reset.event) == ("hello", "reset")
                assert reset.payload["head_seq"] == hello.payload["head_seq"]
                assert reset.payload["oldest_seq"] == 1
                seq = await noted(client)
                assert (await frames.next()).id == str(seq)


async def test_the_same_epoch_resumes(live: Live) -> None:
    async with live.client() as client:
        head = await noted(client)
        async with tailing(client, since=head) as frames:
            epoch = (await frames.next()).payload["epoch"]
        async with tailing(client, since=head - 1, epoch=epoch) as frames:
            assert [f.event for f in await frames.until("caught_up")][1:] == ["note", "caught_up"]


async def test_an_old_reader_comes_through_the_table_into_the_ring(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("http_api.ring.MAX_EVENTS", 8)
    monkeypatch.setattr("http_api.ring.TRIM", 0)
    monkeypatch.setattr("http_api.sse.PAGE", 5)
    async with live.client() as client, tailing(client) as first:
        await first.next()
        for _ in range(30):
            head = await noted(client)
        async with tailing(client, since=0) as second:
            replay = await second.until("caught_up")
            assert [f.id for f in replay[1:-1]] == [str(n) for n in range(1, head + 1)]
            seq = await noted(client)
            assert (await second.next()).id == str(seq)
        seqs = [(await first.next()).id for _ in range(31)]
        assert seqs == [str(n) for n in range(head - 29, head + 2)]


async def test_no_event_is_missed_or_doubled_while_readers_come(live: Live) -> None:
    async def read(client: Client, since: int, upto: int) -> list[int]:
        seqs: list[int] = []
        async with tailing(client, since=since) as frames:
            while not seqs or seqs[-1] < upto:
                frame = await frames.next()
                if frame.id is not None:
                    seqs.append(int(frame.id))
        return seqs

    async with live.client() as client:
        start = await noted(client)
        upto = start + 200
        writing = asyncio.gather(*(noted(client) for _ in range(100)))
        readers = [asyncio.create_task(read(client, start, upto)) for _ in range(8)]
        await writing
        late = [asyncio.create_task(read(client, start, upto)) for _ in range(4)]
        await asyncio.gather(*(noted(client) for _ in range(100)))
        for seqs in await asyncio.gather(*readers, *late):
            assert seqs == list(range(start + 1, upto + 1))


async def test_lines_of_json_carry_the_same_frames(live: Live) -> None:
    async with live.client() as client:
        seq = await noted(client)
        headers = {"accept": "application/x-ndjson"}
        url = f"/collab/events/tail?since={seq - 1}"
        async with client.stream("GET", url, headers=headers, timeout=WAIT) as response:
            assert response.headers["content-type"] == "application/x-ndjson"
            lines = response.aiter_lines()
            hello, event, caught_up = [json.loads(await anext(lines)) for _ in range(3)]
        assert hello["frame"] == "hello"
        assert (event["seq"], event["event"]) == (seq, "note")
        assert (caught_up["frame"], caught_up["to"]) == ("caught_up", seq)


async def test_heartbeats_and_calls_ride_along_unless_filtered_out(live: Live) -> None:
    async with (
        live.client() as client,
        tailing(client) as frames,
        tailing(client, types="note") as notes,
    ):
        await frames.next()
        await notes.next()
        beat = {"lock_id": "lk_1", "holder": "agent:a", "heartbeat_at": "now"}
        live.board.kyros.feed.publish("default", "beat", beat)
        frame = await frames.next()
        assert (frame.event, frame.id, frame.payload) == ("beat", None, beat)
        await noted(client)
        assert (await notes.next()).event == "note"


async def test_an_idle_stream_sends_comments(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(ring, "TICK_SECONDS", 0.01)
    async with live.client() as client, tailing(client) as frames:
        await frames.next()
        waiting = asyncio.create_task(frames.next())
        await happens(lambda: frames.comments >= 3)
        seq = await noted(client)
        assert (await waiting).id == str(seq)


async def test_a_stream_with_a_revoked_key_ends(
    live: Live, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(ring, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(sse, "RECHECK_SECONDS", 0.0)
    made = (await admin.post("/api-keys", json={"name": "tmp", "role": "viewer"})).json()
    async with live.client(made["key"]) as client, tailing(client) as frames:
        await frames.next()
        await admin.delete(f"/api-keys/{made['id']}")
        with pytest.raises(EOFError):
            await frames.until("nothing")


async def test_a_principal_holds_so_many_streams_and_no_more(board: Board) -> None:
    settings = board.settings.model_copy(update={"streams_per_principal": 1})
    board.app = build_app(board.kyros, settings, mcp=None)
    slots = board.app.state.face.slots
    async with agent(board, "ada") as ada, agent(board, "bob") as bob:
        me = (await ada.get("/auth/me")).json()["principal"]
        slots.take(me)
        refused = await ada.get("/collab/events/tail")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert refused.headers["retry-after"] == "5"
        assert (await bob.head("/collab/events/tail")).status_code == 200
        slots.give_back(me)
        assert slots.open_streams == 0


async def test_a_closed_stream_gives_its_place_back(live: Live) -> None:
    slots = live.board.app.state.face.slots
    async with live.client() as client:
        async with tailing(client) as frames:
            await frames.next()
            assert slots.open_streams == 1
        await happens(lambda: slots.open_streams == 0)


async def test_a_shutdown_ends_streams_cleanly_and_finishes_calls(live: Live) -> None:
    async with live.client() as client, tailing(client) as frames:
        await frames.next()
        reading = asyncio.create_task(frames.next())
        await live.stop()
        with pytest.raises(EOFError):  # the end of the body, not a torn one
            await reading


async def test_a_reader_that_takes_nothing_is_cut_and_resumes(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "BLOCKED_SECONDS", 0.2)
    board = live.board
    host, port = live.url.removeprefix("http://").split(":")
    with contextlib.closing(socket.socket()) as reader:
        live.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reader.connect((host, int(port)))
        head = f"GET /collab/events/tail HTTP/1.1\r\nHost: {host}\r\n"
        reader.sendall(f"{head}Authorization: Bearer {board.token}\r\n\r\n".encode())
        slots = board.app.state.face.slots
        async with live.client() as client:
            await happens(lambda: slots.open_streams == 1)
            start = await noted(client)
            async with asyncio.timeout(WAIT * 3):
                while slots.open_streams:
                    last = await noted(client, "x" * 16_000)
            async with tailing(client, since=start) as frames:
                replay = await frames.until("caught_up")
            assert [f.id for f in replay[1:-1]] == [str(n) for n in range(start + 1, last + 1)]


async def test_a_head_request_opens_no_stream(live: Live) -> None:
    async with live.client() as client:
        head = await client.head("/collab/events/tail")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert live.board.app.state.face.slots.open_streams == 0


async def raw(live: Live, request: bytes) -> bytes:
    host, port = live.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await asyncio.wait_for(reader.read(4096), WAIT)
    writer.close()
    return answer


async def test_a_head_that_never_ends_is_cut_off(live: Live) -> None:
    endless = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000
    answer = await raw(live, endless)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b'"code":"too_large"' in answer


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /%ff%fe HTTP/1.1",
        b"GET /%00 HTTP/1.1",
        b"GET http://evil/ HTTP/1.1",
        b"BREW / HTTP/1.1",
    ],
)
async def test_an_odd_request_line_gets_an_answer_below_500(
    live: Live, request_line: bytes
) -> None:
    answer = await raw(live, request_line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 3")), answer


async def test_ten_megabytes_are_refused_before_they_are_read(live: Live) -> None:
    async with live.client() as client:
        try:
            refused: Any = await client.post("/collab/tasks", content=b" " * 10_000_000)
        except httpx2.WriteError:  # the answer came before the body had gone
            return
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
