"""Whether the server lives, can serve, and how it does."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from http_api.endpoint import Endpoint
from http_api.face import Face
from http_api.reply import NO_STORE, Answering, Reply, json_bytes
from http_api.request import Call
from kyros_collab_server.kernel.principal import Scope

METRICS = "text/plain; version=0.0.4; charset=utf-8"
OUT_OF_SERVICE = 503


class Alive(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True)

    ok: bool = True


class Check(BaseModel):
    """One thing that was looked at, and how long that took."""

    model_config = ConfigDict(frozen=True)

    name: str
    ok: bool
    ms: float
    detail: str | None = None


class Readiness(BaseModel):
    """Whether calls can be served, check by check."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    checks: list[Check]


class HealthReport(Readiness):
    """The aggregate, with what a person wants to know of the server."""

    version: str
    epoch: str
    workspace: str
    head_seq: int
    open_streams: int


async def _alive(_: Call) -> Answering:
    return Reply(200, Alive().model_dump_json().encode(), headers=[NO_STORE])


async def _checks(face: Face) -> dict[str, Any]:
    health = await face.kyros.health()
    found: dict[str, Any] = health.model_dump(mode="json", include={"ok", "checks"})
    return found


async def _ready(call: Call) -> Answering:
    face = call.face
    found = await _checks(face)
    found["ok"] = bool(found["ok"]) and not face.rings.is_closing
    return Reply(200 if found["ok"] else OUT_OF_SERVICE, json_bytes(found), headers=[NO_STORE])


async def _health(call: Call) -> Answering:
    face = call.face
    found = await _checks(face)
    found["version"] = face.kyros.version
    found["epoch"] = face.kyros.epoch
    found["workspace"] = call.principal.workspace
    found["head_seq"] = face.kyros.feed.head(call.principal.workspace)
    found["open_streams"] = face.slots.open_streams
    return Reply(200 if found["ok"] else OUT_OF_SERVICE, json_bytes(found), headers=[NO_STORE])


async def _metrics(call: Call) -> Answering:
    face = call.face
    call.principal.require(frozenset({Scope.TASKS_READ}))
    text = face.metrics.exposition(face.slots.open_streams)
    return Reply(200, text, METRICS.encode(), [NO_STORE])


ENDPOINTS = [
    Endpoint(
        "GET",
        "/healthz",
        summary="Say that the process lives.",
        respond=_alive,
        answer=Alive,
        is_open=True,
    ),
    Endpoint(
        "GET",
        "/readyz",
        summary="Say whether calls can be served.",
        respond=_ready,
        answer=Readiness,
        is_open=True,
    ),
    Endpoint(
        "GET", "/health", summary="Report on the server.", respond=_health, answer=HealthReport
    ),
    Endpoint(
        "GET",
        "/metrics",
        summary="Read the metrics in Prometheus' text format.",
        respond=_metrics,
        answer=str,
        answer_types=("text/plain",),
    ),
]
