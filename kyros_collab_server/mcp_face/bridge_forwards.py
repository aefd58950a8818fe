"""What the bridge forwards beside tools and lists: prompts, completion, skills, and listening."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import mcp_types as types
from anyio.abc import TaskGroup
from mcp import Client
from mcp.client.subscriptions import Subscription, SubscriptionLost, listen
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    SUBSCRIPTION_ID_META_KEY,
    ResourceUpdated,
    event_to_notification,
)
from pydantic import BaseModel, ConfigDict

from kyros_collab_server.mcp_face import sdk_gaps

Message = ServerRequestContext[Any, Any]
ClientFor = Callable[[Message], Awaitable[Client]]
R = TypeVar("R", bound=BaseModel)


class AnyParams(types.RequestParams):
    """The params of a method of an extension, as they are."""

    model_config = ConfigDict(extra="allow")


class AnyResult(BaseModel):
    """A result that is passed on as it is."""

    model_config = ConfigDict(extra="allow")


class Forwards:
    """Handlers that ask the server on behalf of the host."""

    def __init__(
        self, server: Server[Any], client_for: ClientFor, group: Callable[[], TaskGroup]
    ) -> None:
        self._client_for = client_for
        self._group = group
        self._subscribed = Subscribed(group)
        add = server.add_request_handler
        add("prompts/get", types.GetPromptRequestParams, self._get_prompt)
        add("completion/complete", types.CompleteRequestParams, self._complete)
        add("subscriptions/listen", types.SubscriptionsListenRequestParams, self._listen)
        add("resources/subscribe", types.SubscribeRequestParams, self._subscribe)
        add("resources/unsubscribe", types.UnsubscribeRequestParams, self._unsubscribe)
        for method in ("skills/list", "skills/get", "resources/directory/read"):
            add(method, AnyParams, self._as_it_is)
        sdk_gaps.tell_of_changes(server)

    async def _get_prompt(
        self, message: Message, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        plain = types.GetPromptRequestParams(name=params.name, arguments=params.arguments)
        return await self._asked(
            message, types.GetPromptRequest(params=plain), types.GetPromptResult
        )

    async def _complete(
        self, message: Message, params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        plain = types.CompleteRequestParams(ref=params.ref, argument=params.argument)
        return await self._asked(message, types.CompleteRequest(params=plain), types.CompleteResult)

    async def _as_it_is(self, message: Message, params: AnyParams) -> dict[str, Any]:
        plain = params.model_dump(mode="json", by_alias=True, exclude={"meta"}, exclude_none=True)
        asked = types.Request[dict[str, Any], str](method=message.method, params=plain)
        answer = await self._asked(message, asked, AnyResult)
        return {name: value for name, value in answer.model_dump().items() if name != "_meta"}

    async def _asked(self, message: Message, asked: Any, result: type[R]) -> R:
        client = await self._client_for(message)
        return await client.session.send_request(asked, result)

    async def _listen(
        self, message: Message, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        client, wanted = await self._client_for(message), params.notifications
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: message.request_id}

        async def sent(notice: Any) -> None:
            await message.session.send_notification(notice, related_request_id=message.request_id)

        try:
            async with listen(
                client.session,
                tools_list_changed=bool(wanted.tools_list_changed),
                prompts_list_changed=bool(wanted.prompts_list_changed),
                resources_list_changed=bool(wanted.resources_list_changed),
                resource_subscriptions=wanted.resource_subscriptions or (),
            ) as stream:
                told = types.SubscriptionsAcknowledgedNotificationParams(
                    notifications=stream.honored, _meta=meta
                )
                await sent(types.SubscriptionsAcknowledgedNotification(params=told))
                async for change in stream:
                    await sent(event_to_notification(change, meta))
        except SubscriptionLost:
            raise MCPError(types.INTERNAL_ERROR, "The server has gone; listen again") from None
        return types.SubscriptionsListenResult(_meta=meta)

    async def _subscribe(
        self, message: Message, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        client, connection = await self._client_for(message), sdk_gaps.connection_of(message)
        await self._subscribed.put({*self._subscribed.uris, params.uri}, client, connection)
        return types.EmptyResult()

    async def _unsubscribe(
        self, message: Message, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        client, connection = await self._client_for(message), sdk_gaps.connection_of(message)
        await self._subscribed.put(self._subscribed.uris - {params.uri}, client, connection)
        return types.EmptyResult()


class Subscribed:
    """What a handshake host has subscribed to: one stream to the server, a new one at a change."""

    def __init__(self, group: Callable[[], TaskGroup]) -> None:
        self._group = group
        self._following: anyio.CancelScope | None = None
        self._changing = anyio.Lock()
        self.uris: set[str] = set()

    async def put(self, uris: set[str], client: Client, connection: Connection) -> None:
        """These resources are listened to from now on, and no others.

        Raises:
            MCPError: the server refuses one; what was listened to still is.
        """
        async with self._changing:
            before = self._following
            if uris:
                self._following = await self._group().start(
                    self._follow, sorted(uris), client, connection
                )
            self.uris = uris
            if before is not None:
                before.cancel()

    async def _follow(
        self,
        uris: list[str],
        client: Client,
        connection: Connection,
        *,
        task_status: anyio.abc.TaskStatus[anyio.CancelScope] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        with anyio.CancelScope() as scope:
            async with listen(client.session, resource_subscriptions=uris) as stream:
                task_status.started(scope)
                await _told(stream, connection)


async def _told(stream: Subscription, connection: Connection) -> None:
    try:
        async for change in stream:
            if isinstance(change, ResourceUpdated):
                await connection.send_resource_updated(change.uri)
    except SubscriptionLost:
        return
