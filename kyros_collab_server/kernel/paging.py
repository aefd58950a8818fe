"""Pages and their cursors. A cursor is opaque, signed, and bound to what it continues."""

import base64
import hashlib
import hmac
import json
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from kyros_collab_server.kernel.errors import Invalid

T = TypeVar("T")

PageLimit = Annotated[int, Field(ge=1, le=100, description="Items a page holds at most.")]
Cursor = Annotated[str, Field(max_length=1024, description="Where the last page ended.")]


class Page(BaseModel, Generic[T]):
    """One page of a list, and the cursor of the next; `next_cursor` is null on the last."""

    model_config = ConfigDict(frozen=True)

    data: list[T]
    next_cursor: str | None = None
    total: int | None = None


class CursorSeal:
    """Seals and opens cursors with the deployment's secret (HMAC-SHA-256, 128 bits kept)."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.sha256(b"kyros cursor\x00" + secret).digest()

    def seal(self, scope: str, position: Any) -> str:
        """Return the cursor of a position in the list that `scope` names."""
        body = json.dumps(position, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._tag(scope, body) + body).decode().rstrip("=")

    def open(self, scope: str, cursor: str) -> Any:
        """Return the position that was sealed for this scope.

        Raises:
            Invalid: when the cursor is forged, torn, or of another list or workspace.
        """
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError:
            raw = b""
        tag, body = raw[:16], raw[16:]
        if len(tag) < 16 or not hmac.compare_digest(tag, self._tag(scope, body)):
            raise Invalid("cursor", "not a cursor of this list", fix="Start without a cursor.")
        return json.loads(body)

    def _tag(self, scope: str, body: bytes) -> bytes:
        return hmac.new(self._key, scope.encode() + b"\x00" + body, hashlib.sha256).digest()[:16]
