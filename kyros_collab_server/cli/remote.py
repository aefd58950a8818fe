"""A session over REST: each operation as the call that a server answers it by."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from kyros_collab_server.cli.failures import Exit, Failure, refused_by_server
from kyros_collab_server.kernel.ids import new_id
from kyros_collab_server.kernel.operation import Operation
from kyros_collab_server.settings import Settings

C = TypeVar("C", bound=BaseModel)
R = TypeVar("R")
TIMEOUT_SECONDS = 15.0
LONGEST_WAIT_SECONDS = 25.0


@dataclass(frozen=True)
class Route:
    """Where an operation is answered: command fields in the path, the rest in query or body."""

    method: str
    path: str
    in_path: tuple[str, ...] = ()


ROUTES = {
    "identity.whoami": Route("GET", "/auth/me"),
    "identity.create_key": Route("POST", "/api-keys"),
    "identity.list_keys": Route("GET", "/api-keys"),
    "identity.revoke_key": Route("DELETE", "/api-keys/{id}", ("id",)),
    "identity.create_workspace": Route("POST", "/workspaces"),
    "identity.update_workspace": Route("PATCH", "/workspaces/{id}", ("id",)),
    "identity.list_workspaces": Route("GET", "/workspaces"),
    "agents.list_agents": Route("GET", "/collab/agents"),
    "agents.read_agent": Route("GET", "/collab/agents/{name}", ("name",)),
    "agents.update": Route("PATCH", "/collab/agents/{name}", ("name",)),
    "leases.acquire": Route("POST", "/collab/leases/acquire"),
    "leases.renew": Route("POST", "/collab/leases/heartbeat"),
    "leases.renew_one": Route("POST", "/collab/leases/{lock_id}/heartbeat", ("lock_id",)),
    "leases.reclaim": Route("POST", "/collab/leases/reclaim"),
    "leases.read_lease": Route("GET", "/collab/leases/{lock_id}", ("lock_id",)),
    "leases.list_leases": Route("GET", "/collab/leases"),
    "events.summary": Route("POST", "/collab/events/summary"),
    "events.append_summary": Route("POST", "/collab/events/summary"),
    "tasks.create": Route("POST", "/collab/tasks"),
    "tasks.list_all": Route("GET", "/collab/state/tasks"),
    "tasks.read_task": Route("GET", "/collab/tasks/{task_id}", ("task_id",)),
    "tasks.transition": Route("POST", "/collab/tasks/{task_id}/transition", ("task_id",)),
    "tasks.claim": Route("POST", "/collab/tasks/claim"),
    "tasks.workflow": Route("GET", "/collab/workflow"),
}
Fields = dict[str, Any]


class RemoteSession:
    """Works on a running server with a key of its own."""

    longest_wait_seconds = LONGEST_WAIT_SECONDS

    def __init__(self, client: httpx2.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url

    async def perform(self, op: Operation[C, R], command: C) -> R:
        """Run one operation on the server and return its answer.

        Raises:
            Failure: the server's refusal, or that it cannot be reached or understood.
        """
        fields = command.model_dump(mode="json", exclude_unset=True)
        if own_way := _OTHERWISE.get(op.name):
            answer = await own_way(self, fields)
        else:
            answer = await self.call(ROUTES[op.name], fields)
        try:
            return op.result.validate_python(answer)
        except ValidationError:
            message = f"The answer of {self._url} to {op.name} is none that this version knows."
            fix = "kyros version on both sides"
            raise Failure(Exit.UNREACHABLE, "strange_answer", message, fix) from None

    async def call(self, route: Route, fields: Mapping[str, Any]) -> Any:
        """Make one call and return its JSON. A write carries a key, so it may be repeated."""
        rest = dict(fields)
        path = route.path.format(**{name: quote(str(rest.pop(name))) for name in route.in_path})
        headers = {}
        if (if_match := rest.pop("if_match", None)) is not None:
            headers["If-Match"] = if_match
        wait = rest.get("wait_seconds") or rest.get("wait") or 0
        is_read = route.method == "GET"
        if not is_read:
            headers["Idempotency-Key"] = new_id("cli")
        request = self._client.build_request(
            route.method,
            path,
            headers=headers,
            timeout=httpx2.Timeout(TIMEOUT_SECONDS + wait),
            params={k: v for k, v in rest.items() if v is not None} if is_read else None,
            json=rest if not is_read and (rest or route.method != "DELETE") else None,
        )
        return await self._answered(request)

    async def _answered(self, request: httpx2.Request) -> Any:
        try:
            response = await self._client.send(request)
        except httpx2.TransportError as error:
            message = f"No server answers at {self._url} ({type(error).__name__})."
            fix = "Start one with kyros serve, or correct --url / KYROS_URL."
            raise Failure(Exit.UNREACHABLE, "unreachable", message, fix) from None
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        if response.is_success:
            return answer
        raise refused_by_server(response.status_code, answer if isinstance(answer, dict) else {})


async def _update_task(session: RemoteSession, fields: Fields) -> Any:
    patch = fields.pop("patch", {})
    flat = {**patch, **{k: v for k, v in fields.items() if v is not None}}
    await session.call(Route("PATCH", "/collab/tasks/{task_id}", ("task_id",)), flat)
    return await session.call(ROUTES["tasks.read_task"], {"task_id": fields["task_id"]})


async def _create_tasks(session: RemoteSession, fields: Fields) -> Any:
    answer = await session.call(ROUTES["tasks.create"], fields)
    return {"tasks": [made["task"] for made in answer["tasks"]]}


async def _release(session: RemoteSession, fields: Fields) -> Any:
    route = Route("POST", "/collab/leases/{lock_id}/release", ("lock_id",))
    for lock_id in fields["lock_ids"]:
        await session.call(route, {"lock_id": lock_id})
    return {"released": fields["lock_ids"]}


async def _send_message(session: RemoteSession, fields: Fields) -> Any:
    route = Route("POST", "/collab/agents/{to}/messages", ("to",))
    return await session.call(route, {"to": fields["to"][0], "text": fields["text"]})


async def _read_events(session: RemoteSession, fields: Fields) -> Any:
    wait = fields.pop("wait_seconds", 0)
    if types := fields.pop("types", None):
        fields["types"] = ",".join(types)
    if "before" in fields:
        page = await session.call(Route("GET", "/collab/events"), fields)
        items = sorted(page["data"], key=lambda event: int(event["seq"]))
        last = items[-1]["seq"] if items else 0
        return {"items": items, "cursor": last, "head": last}
    fields["since"] = fields.pop("after", 0)
    tail = await session.call(Route("GET", "/collab/events/tail"), {**fields, "wait": wait})
    return {"items": tail["items"], "cursor": tail["cursor"], "head": tail["cursor"]}


async def _find_seq(session: RemoteSession, fields: Fields) -> Any:
    asked = {"since": fields["ts"], "limit": 1, "wait": 0}
    tail = await session.call(Route("GET", "/collab/events/tail"), asked)
    return int(tail["items"][0]["seq"]) - 1 if tail["items"] else int(tail["cursor"])


async def _head(session: RemoteSession, _fields: Fields) -> Any:
    page = await session.call(Route("GET", "/collab/events"), {"before": 2**53 - 1, "limit": 1})
    last = page["data"][-1] if page["data"] else {"seq": 0, "hash": "", "ts": ""}
    return {"seq": last["seq"], "hash": last["hash"], "epoch": "", "server_time": last["ts"]}


_OTHERWISE: dict[str, Callable[[RemoteSession, Fields], Awaitable[Any]]] = {
    "tasks.update": _update_task,
    "tasks.create": _create_tasks,
    "leases.release": _release,
    "messages.send": _send_message,
    "events.read": _read_events,
    "events.find_seq": _find_seq,
    "events.head": _head,
}


@asynccontextmanager
async def open_remote_session(settings: Settings) -> AsyncIterator[RemoteSession]:
    """Yield a session on the server of `settings.url`, called with `settings.token`.

    Raises:
        Failure: there is no token to call with.
    """
    if not settings.token:
        message = f"Calls to {settings.url} need a key."
        raise Failure(Exit.AUTHENTICATION, "unauthenticated", message, "Set KYROS_TOKEN.")
    headers = {"Authorization": f"Bearer {settings.token}", "Accept": "application/json"}
    headers["User-Agent"] = "kyros-cli"
    if settings.agent:
        headers["X-Kyros-Agent"] = settings.agent
    if settings.workspace:
        headers["X-Kyros-Workspace"] = settings.workspace
    url = settings.url.rstrip("/")
    try:
        client = httpx2.AsyncClient(base_url=url, headers=headers)
    except (httpx2.InvalidURL, ValueError):
        raise Failure(Exit.USAGE, "usage", f"{url} is not a URL.", "http://host:port") from None
    async with client:
        yield RemoteSession(client, url)
