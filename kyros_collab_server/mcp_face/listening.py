"""How clients of both eras listen: `subscriptions/listen`, and `resources/subscribe`."""

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack
from typing import Any

import anyio
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    SUBSCRIPTION_ID_META_KEY,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
    event_to_notification,
)
from mcp_types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotification,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from kyros_collab_server.kernel.errors import KyrosError, TooManyStreams
from kyros_collab_server.mcp_face import sdk_gaps
from kyros_collab_server.mcp_face.caller import CALLER, Caller
from kyros_collab_server.mcp_face.reading import Reading
from kyros_collab_server.mcp_face.subscriptions import MAX_URIS, Stream, Subscriptions
from kyros_collab_server.mcp_face.tool_errors import protocol_error

log = logging.getLogger(__name__)

RECHECK_SECONDS = 60.0
"""A stream whose caller's credentials are not valid any more ends within this time."""
BLOCKED_SECONDS = 30.0
"""A client that takes a notice no sooner is taken for gone."""
_STREAM = "kyros.stream"


class Listening:
    """The methods of both eras, on the streams of one process."""

    def __init__(self, subscriptions: Subscriptions, reading: Reading) -> None:
        self._subscriptions = subscriptions
        self._reading = reading

    async def listen(
        self, message: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Answer `subscriptions/listen`: the acknowledgement first, then every change.

        The stream ends when the client leaves, its credentials fail, or the server goes.
        """
        caller = CALLER.get()
        wanted = params.notifications
        uris = await self._admitted(wanted.resource_subscriptions or (), caller)
        kinds = dict(_kinds(wanted))
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: message.request_id}
        acknowledged = SubscriptionsAcknowledgedNotification(
            params=SubscriptionsAcknowledgedNotificationParams(
                notifications=SubscriptionFilter(
                    **dict.fromkeys(kinds, True), resource_subscriptions=uris or None
                ),
                _meta=meta,
            )
        )
        try:
            opened = self._subscriptions.stream(caller.principal, kinds.values())
            with opened as stream:
                for uri in uris:
                    stream.add(uri)
                await self._subscriptions.ready(caller.principal.workspace)
                await _sent(message, acknowledged)
                async for change in changes(stream, caller):
                    await _sent(message, event_to_notification(change, meta))
        except TooManyStreams as refusal:
            raise protocol_error(refusal, caller.principal.request_id) from None
        except TimeoutError:
            log.info("listener_cut", extra={"agent": caller.principal.agent})
        return SubscriptionsListenResult(_meta=meta)

    async def subscribe(
        self, message: ServerRequestContext[Any, Any], params: SubscribeRequestParams
    ) -> EmptyResult:
        """Answer `resources/subscribe`: changes are told on this session from now on."""
        caller = CALLER.get()
        (uri,) = await self._admitted((params.uri,), caller)
        connection = sdk_gaps.connection_of(message)
        stream: Stream | None = connection.state.get(_STREAM)
        if stream is None or stream.is_closed:
            stream = await self._opened(connection, caller)
        if uri not in stream.uris and len(stream.uris) >= MAX_URIS:
            raise _too_many()
        stream.add(uri)
        await self._subscriptions.ready(caller.principal.workspace)
        return EmptyResult()

    async def unsubscribe(
        self, message: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        """Answer `resources/unsubscribe`: changes of it are told no more."""
        stream: Stream | None = sdk_gaps.connection_of(message).state.get(_STREAM)
        if stream is not None:
            stream.remove(params.uri)
            if not stream.uris:
                stream.close()
        return EmptyResult()

    async def _opened(self, connection: Connection, caller: Caller) -> Stream:
        """A stream of the session, which ends with it."""
        held = ExitStack()
        try:
            stream = held.enter_context(self._subscriptions.stream(caller.principal))
        except TooManyStreams as refusal:
            raise protocol_error(refusal, caller.principal.request_id) from None
        connection.state[_STREAM] = stream
        connection.exit_stack.callback(stream.close)

        async def tell() -> None:
            with held:
                async for change in changes(stream, caller):
                    if isinstance(change, ResourceUpdated):
                        with anyio.move_on_after(BLOCKED_SECONDS) as waiting:
                            await connection.send_resource_updated(change.uri)
                        if waiting.cancelled_caught:
                            break
            stream.close()

        self._subscriptions.group.start_soon(tell)
        return stream

    async def _admitted(self, uris: Iterable[str], caller: Caller) -> list[str]:
        """The URIs, each once, when the caller may read every one of them.

        An unknown, an absent and a foreign one are refused alike.
        """
        wanted = list(dict.fromkeys(uris))
        if len(wanted) > MAX_URIS:
            raise _too_many()
        for uri in wanted:
            try:
                await self._reading.refuse_unreadable(uri, caller)
            except KyrosError:
                raise MCPError(INVALID_PARAMS, "Not a resource that can be listened to") from None
        return wanted


async def changes(stream: Stream, caller: Caller) -> AsyncIterator[ServerEvent]:
    """Every change, until the stream is closed or the caller's credentials are not valid."""
    checked = anyio.current_time()
    while True:
        left = checked + RECHECK_SECONDS - anyio.current_time()
        change = await stream.next(max(left, 0))
        if change is not None:
            yield change
        elif stream.is_closed:
            return
        if anyio.current_time() - checked >= RECHECK_SECONDS:
            checked = anyio.current_time()
            if not await caller.is_still_valid():
                return


def _kinds(wanted: SubscriptionFilter) -> Iterable[tuple[str, ServerEvent]]:
    if wanted.tools_list_changed:
        yield "tools_list_changed", ToolsListChanged()
    if wanted.prompts_list_changed:
        yield "prompts_list_changed", PromptsListChanged()
    if wanted.resources_list_changed:
        yield "resources_list_changed", ResourcesListChanged()


async def _sent(message: ServerRequestContext[Any, Any], notice: Any) -> None:
    with anyio.fail_after(BLOCKED_SECONDS):
        await message.session.send_notification(notice, related_request_id=message.request_id)


def _too_many() -> MCPError:
    return MCPError(
        INVALID_PARAMS, f"At most {MAX_URIS} resources a stream", data={"allowed": MAX_URIS}
    )
