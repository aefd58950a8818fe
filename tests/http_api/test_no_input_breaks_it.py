"""Whatever is sent: an answer as documented, never a failure of the server's own."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from http_api.app import ENDPOINTS, build_app
from http_api.endpoint import Endpoint
from http_api.serving import listen, server_of
from kyros_collab_server.bootstrap import open_kyros
from kyros_collab_server.settings import Settings
from tests.contract.openapi_snapshot import made

EXAMPLES = 8
CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]
OURS = {500, 503}
LEFT = {"write_fenced", "agent_registered"}  # a refused call says so, and its caller is known
STREAM = "/collab/events/tail"  # does not end by itself
FUZZED = [endpoint for endpoint in ENDPOINTS if endpoint.path != STREAM]
FEW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Running:
    """The application in a thread of its own, so that tests without a loop can call it."""

    def __init__(self, data_dir: Path) -> None:
        self._settings = Settings(data_dir=data_dir, calls_per_second=1_000_000)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.url = self.token = ""
        self._server: Any = None
        self.known = {"task_id": "T-1", "id": "default"}

    async def _serve(self) -> None:
        async with open_kyros(self._settings) as opened:
            listener = listen("127.0.0.1", 0)
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self.token = opened.credentials.token
            app = build_app(opened.kyros, self._settings, mcp=None)
            self._server = server_of(app, drain_seconds=1, on_ready=self._ready.set)
            await self._server.serve(sockets=[listener])

    def __enter__(self) -> "Running":
        self._thread.start()
        assert self._ready.wait(10)
        self.settle()
        return self

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self.token}"}
        answer = httpx2.request(method, f"{self.url}{path}", json=body, headers=headers)
        assert answer.status_code < 400, answer.text
        return answer.json()

    def settle(self) -> None:
        """There is something to break: a held task, one that waits for it, a lease, an inbox."""
        self.call("POST", "/collab/tasks", {"tasks": [{"title": "held"}, {"title": "free"}]})
        claim = self.call("POST", "/collab/tasks/claim", {"task_id": "T-1", "ttl_seconds": 3600})
        self.call("POST", "/collab/leases/acquire", {"resource": "path:src/**"})
        self.known["lock_id"] = claim["leases"][0]["lock_id"]
        self.known["name"] = self.call("GET", "/auth/me")["actor"].removeprefix("agent:")
        self.call("POST", f"/collab/agents/{self.known['name']}/messages", {"text": "hello"})

    def head(self) -> int:
        seq: int = self.call("GET", "/collab/events?limit=1")["head_seq"]
        return seq

    def changed_since(self, seq: int) -> list[Any]:
        """What was logged after a seq, but for what any call may leave, and the duties."""
        events = self.call("GET", f"/collab/events?after={seq}&limit=100")["data"]
        return [
            event for event in events if event["event"] not in LEFT and event["actor"] != "system"
        ]

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("fuzzed")) as one:
        yield one


@pytest.fixture
def document(running: Running) -> Any:
    load_all_checks()
    schema = schemathesis.openapi.from_dict(made())
    schema.config.update(base_url=running.url)
    return schema


@pytest.mark.parametrize(
    ("endpoint", "mode"),
    [
        pytest.param(one, mode, id=f"{one.method} {one.path} {mode.value}")
        for one in FUZZED
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or not one.is_open  # those take nothing to get wrong
    ],
)
def test_every_operation_answers_as_documented(
    endpoint: Endpoint, mode: GenerationMode, document: Any, running: Running
) -> None:
    headers = {"Authorization": f"Bearer {running.token}"}

    strategy = document[endpoint.path][endpoint.method].as_strategy(generation_mode=mode)

    @FEW
    @given(case=strategy, is_known=st.booleans())
    def answers(case: Any, is_known: bool) -> None:
        if is_known and mode is GenerationMode.POSITIVE:
            (case.headers or {}).pop("X-Kyros-Workspace", None)
            for name in running.known.keys() & (case.path_parameters or {}).keys():
                case.path_parameters[name] = running.known[name]
        if isinstance(case.body, dict) and isinstance(case.body.get("wait_seconds"), int | float):
            case.body["wait_seconds"] = min(case.body["wait_seconds"], 0)
        before = running.head()
        answer = case.call(headers=headers)
        assert answer.status_code not in OURS, answer.text
        case.validate_response(answer, checks=CHECKS, headers=headers)
        if answer.status_code >= 400:
            assert running.changed_since(before) == []

    answers()


def test_a_change_would_be_seen(running: Running) -> None:
    before = running.head()
    running.call("POST", "/collab/events", {"event": "note", "text": "x"})
    assert [event["event"] for event in running.changed_since(before)] == ["note"]


def spelled(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
BODIES = st.binary(max_size=60) | JSON_VALUES.map(spelled)
PATHS = sorted({endpoint.path for endpoint in FUZZED})


@settings(FEW, max_examples=150)
@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"]),
    path=st.sampled_from(PATHS),
    part=st.text(
        st.characters(blacklist_categories=["Cs"], blacklist_characters="/"),
        min_size=1,
        max_size=20,
    ),
    query=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
    body=BODIES,
    header=st.sampled_from(
        [
            "idempotency-key",
            "if-match",
            "if-none-match",
            "x-kyros-fencing-token",
            "x-kyros-agent",
            "x-kyros-workspace",
            "last-event-id",
            "accept",
            "traceparent",
            "user-agent",
            "origin",
        ]
    ),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40).map(str.strip),
)
def test_anything_at_all_gets_an_answer_that_is_not_our_failure(
    running: Running,
    method: str,
    path: str,
    part: str,
    query: str,
    body: bytes,
    header: str,
    value: str,
) -> None:
    for name in ("task_id", "lock_id", "id", "name", "kind"):
        path = path.replace(f"{{{name}}}", quote(part, safe=""))
    before = running.head()
    answer = httpx2.request(
        method,
        f"{running.url}{path}?{query}",
        content=body,
        headers=[
            (b"authorization", f"Bearer {running.token}".encode()),
            (b"content-type", b"application/json"),
            (header.encode(), value.encode("latin-1")),
        ],
        timeout=35,
    )
    assert answer.status_code not in OURS, answer.text
    assert answer.headers["x-request-id"]
    if answer.status_code >= 400:
        assert running.changed_since(before) == []
    if answer.status_code >= 400 and method != "HEAD":
        assert answer.json()["code"]
