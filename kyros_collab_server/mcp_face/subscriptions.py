"""What changed: one bus per workspace reads the log and tells the streams that listen."""

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
from anyio.abc import TaskGroup
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent

from kyros_collab_server.application import Kyros
from kyros_collab_server.features.agents import service as agents
from kyros_collab_server.features.agents.model import ListAgents
from kyros_collab_server.features.events import service as events
from kyros_collab_server.features.events.model import Event, ReadEvents
from kyros_collab_server.kernel.errors import KyrosError, TooManyStreams
from kyros_collab_server.kernel.principal import Principal, Scope

log = logging.getLogger(__name__)

MAX_URIS = 64
STREAMS_PER_PRINCIPAL = 16
MAX_STREAMS = 4_096
SPACING_SECONDS = 0.25
"""Between two notices of one change on one stream."""
FOLLOW_SECONDS = 30.0
PAGE = 1_000
TOO_FAR_BEHIND = 10_000
"""Events that a bus reads one by one; behind more, everything counts as changed."""
INBOX = "kyros://inbox"
_TASK, _LEASE, _AGENT = "task:", "lease_", "agent_"


class Stream:
    """One listener: what it wants to hear of, and what it has not been told yet.

    A change is told at once; the next of the same kind waits its time, and the last is never lost.
    """

    def __init__(self, agent: str | None, kinds: Iterable[ServerEvent] = ()) -> None:
        self.agent = agent
        self.is_closed = False
        self._kinds = frozenset(kinds)
        self._topics: dict[str, set[str]] = {}
        self._due: dict[ServerEvent, float] = {}
        self._told: dict[ServerEvent, float] = {}
        self._woken = anyio.Event()

    @property
    def uris(self) -> set[str]:
        """The resources that it listens to."""
        return {uri for uris in self._topics.values() for uri in uris}

    def add(self, uri: str) -> None:
        """Changes of this resource are told from now on."""
        self._topics.setdefault(topic_of(uri), set()).add(uri)

    def remove(self, uri: str) -> None:
        """Changes of this resource are told no more."""
        self._topics.get(topic_of(uri), set()).discard(uri)
        self._due.pop(ResourceUpdated(uri), None)
        self._told.pop(ResourceUpdated(uri), None)

    def touch(self, topic: str) -> None:
        """The resources of this topic have changed."""
        for uri in self._topics.get(topic, ()):
            self._put(ResourceUpdated(uri))

    def touch_all(self) -> None:
        """Every resource may have changed."""
        for uri in self.uris:
            self._put(ResourceUpdated(uri))

    def tell(self, kind: ServerEvent) -> None:
        """One of the lists has changed."""
        if kind in self._kinds:
            self._put(kind)

    def close(self) -> None:
        """It ends when what is still to be told has been told."""
        self.is_closed = True
        self._woken.set()

    async def next(self, timeout_seconds: float) -> ServerEvent | None:
        """The next change, or None at the timeout and at the end."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            now = time.monotonic()
            change, due = min(self._due.items(), key=_due_time, default=(None, deadline))
            if change is not None and (due <= now or self.is_closed):
                del self._due[change]
                self._told[change] = now
                return change
            if self.is_closed or now >= deadline:
                return None
            self._woken = anyio.Event()
            with anyio.move_on_after(min(due, deadline) - now):
                await self._woken.wait()

    def _put(self, change: ServerEvent) -> None:
        if change not in self._due:
            self._due[change] = self._told.get(change, 0.0) + SPACING_SECONDS
            self._woken.set()


def _due_time(item: tuple[ServerEvent, float]) -> float:
    return item[1]


def topic_of(uri: str) -> str:
    """The resource that a URI is a page or a part of."""
    return uri.partition("?")[0]


def touched_by(event: Event) -> set[str]:
    """The topics that an event changes; inboxes are told apart by their agents."""
    topics = {"kyros://events", "kyros://log"}
    target, details = event.target or "", event.details
    if target.startswith(_TASK):
        topics |= {"kyros://tasks", "kyros://board", *_of_task(target.removeprefix(_TASK))}
    if event.event.startswith(_LEASE):
        topics |= {"kyros://leases", "kyros://board"}
        resource = str(details.get("resource", ""))
        task_id = details.get("task_id") or resource.removeprefix(_TASK)
        if details.get("task_id") or resource.startswith(_TASK):
            topics |= _of_task(str(task_id))
    if event.event.startswith(_AGENT):
        topics.add("kyros://agents")
    return topics


def _of_task(task_id: str) -> set[str]:
    task = f"kyros://tasks/{task_id}"
    return {task, f"{task}/history", f"kyros://briefs/{task_id}"}


class _Bus:
    """Reads one workspace's log from its own cursor, and tells its streams."""

    def __init__(self, kyros: Kyros, workspace: str) -> None:
        self._kyros = kyros
        self._workspace = workspace
        self._reader = Principal(
            id="mcp-subscriptions",
            scopes=frozenset({Scope.TASKS_READ}),
            workspace=workspace,
            face="mcp",
        )
        self.streams: set[Stream] = set()
        self.started = anyio.Event()

    async def follow(self) -> None:
        """Tell the streams of every change, as long as there are any."""
        cursor: int | None = None
        while self.streams:
            try:
                cursor = await self._after(cursor)
            except KyrosError as refusal:
                log.warning("log_not_read", extra={"code": refusal.code})
                await anyio.sleep(1)

    async def _after(self, cursor: int | None) -> int:
        if cursor is None:
            newest = await self._kyros.feed.after(self._workspace, 0, 0)
            self.started.set()
            return newest
        head = await self._kyros.feed.after(self._workspace, cursor, FOLLOW_SECONDS)
        if head - cursor > TOO_FAR_BEHIND:
            for stream in self.streams:
                stream.touch_all()
            return head
        if head > cursor:
            wanted = ReadEvents(after=cursor, limit=PAGE)
            batch = await self._kyros.perform(events.read, wanted, actor=self._reader)
            for event in batch.items:
                await self._tell(event)
            return max(cursor, batch.cursor)
        return cursor

    async def _tell(self, event: Event) -> None:
        topics = touched_by(event)
        to = event.details.get("to")
        reached = await self._reached(to) if isinstance(to, list) else frozenset()
        for stream in self.streams:
            for topic in topics:
                stream.touch(topic)
            if stream.agent in reached:
                stream.touch(INBOX)

    async def _reached(self, to: list[object]) -> frozenset[str]:
        """The agents whose inboxes an address list reaches."""
        if not any(stream.agent and INBOX in stream.uris for stream in self.streams):
            return frozenset()
        known = await self._kyros.perform(agents.list_agents, ListAgents(), actor=self._reader)
        addresses = {str(entry).removeprefix("agent:").removeprefix("role:") for entry in to}
        return frozenset(
            agent.name
            for agent in known.data
            if "all" in addresses or agent.name in addresses or agent.role in addresses
        )


class Subscriptions:
    """All streams of this process, each on the bus of its workspace."""

    def __init__(self, kyros: Kyros) -> None:
        self._kyros = kyros
        self._buses: dict[str, _Bus] = {}
        self._held: Counter[str] = Counter()
        self._group: TaskGroup | None = None
        self.closing = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Streams can be opened while the block runs."""
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                yield
            finally:
                self.close()
                group.cancel_scope.cancel()

    @property
    def group(self) -> TaskGroup:
        """Where tasks run that outlive the message that started them."""
        assert self._group is not None, "entered by the application's lifespan"  # noqa: S101
        return self._group

    def close(self) -> None:
        """Every open stream ends with its last frame; later ones end at once."""
        self.closing.set()
        for bus in self._buses.values():
            for stream in bus.streams:
                stream.close()

    @contextmanager
    def stream(self, principal: Principal, kinds: Iterable[ServerEvent] = ()) -> Iterator[Stream]:
        """A stream on the bus of the caller's workspace, while the block runs.

        Raises:
            TooManyStreams: the principal or the process has as many as it may.
        """
        if self._held[principal.id] >= STREAMS_PER_PRINCIPAL:
            raise TooManyStreams(STREAMS_PER_PRINCIPAL)
        if self._held.total() >= MAX_STREAMS:
            raise TooManyStreams(MAX_STREAMS)
        stream = Stream(principal.agent, kinds)
        bus = self._bus_of(principal.workspace)
        bus.streams.add(stream)
        self._held[principal.id] += 1
        if self.closing.is_set():
            stream.close()
        try:
            yield stream
        finally:
            bus.streams.discard(stream)
            self._held[principal.id] -= 1
            if self._held[principal.id] <= 0:
                del self._held[principal.id]

    async def ready(self, workspace: str) -> None:
        """Changes from now on reach the streams of this workspace."""
        await self._buses[workspace].started.wait()

    def tell(self, workspace: str, kind: ServerEvent) -> None:
        """One of the lists has changed for everybody in this workspace."""
        for stream in self._buses[workspace].streams if workspace in self._buses else ():
            stream.tell(kind)

    def _bus_of(self, workspace: str) -> _Bus:
        bus = self._buses.get(workspace)
        if bus is None:
            bus = self._buses[workspace] = _Bus(self._kyros, workspace)
            self.group.start_soon(self._follow, workspace, bus)
        return bus

    async def _follow(self, workspace: str, bus: _Bus) -> None:
        await bus.follow()
        if self._buses.get(workspace) is bus:
            del self._buses[workspace]
