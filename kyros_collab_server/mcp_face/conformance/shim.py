"""The outermost layer under `--conformance`: a key for requests that carry none.

The runners send no credentials. A principal may hold 32 handshake sessions, and a whole suite
opens more without closing them: sessions are spread over several keys, and each stays with its own.
What has no session has one key, which the state of a call in several rounds is bound to.
"""

from itertools import cycle

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kyros_collab_server.application import Kyros
from kyros_collab_server.features.identity import service as identity
from kyros_collab_server.features.identity.model import CreateKey
from kyros_collab_server.kernel.ids import new_id
from kyros_collab_server.kernel.principal import Principal, Role
from kyros_collab_server.mcp_face.sdk_gaps import HANDSHAKE_VERSIONS

KEYS = 4
KEY_SECONDS = 86_400
SESSION = b"mcp-session-id"


async def new_keys(kyros: Kyros, admin: Principal) -> list[str]:
    """Keys for the life of this process, known to nobody else; they expire by themselves."""
    keys = []
    for _ in range(KEYS):
        name = new_id("conformance")
        made = CreateKey(name=name, role=Role.AGENT, expires_in_seconds=KEY_SECONDS)
        keys.append((await kyros.perform(identity.create_key, made, actor=admin)).key)
    return keys


class KeyAdding:
    """Adds a key to HTTP requests without one."""

    def __init__(self, app: ASGIApp, keys: list[str]) -> None:
        self._app = app
        self._first = keys[0]
        self._next_key = cycle(keys)
        self._key_of_session: dict[bytes, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if b"authorization" in headers:
            await self._app(scope, receive, send)
            return
        key = self._first
        if headers.get(b"mcp-protocol-version", b"") in {b"", *HANDSHAKE_VERSIONS}:
            key = self._key_of_session.get(headers.get(SESSION, b"")) or next(self._next_key)
        added = (b"authorization", f"Bearer {key}".encode())
        scope = {**scope, "headers": [*scope["headers"], added]}

        async def watched_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                session = dict(message.get("headers", ())).get(SESSION)
                if session is not None:
                    self._key_of_session[session] = key
            await send(message)

        await self._app(scope, receive, watched_send)
