"""Decisions about keys: what a maker may hand on, and whether a token fits."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from kyros_collab_server.features.identity.model import KEY_PREFIX, CreateKey
from kyros_collab_server.kernel.errors import InsufficientScope, Invalid
from kyros_collab_server.kernel.principal import ROLE_SCOPES, Principal, Role, Scope


@dataclass(frozen=True)
class KeyRecord:
    """A stored key. `token_hash` is the SHA-256 of the whole token, lower-case hex."""

    id: str
    name: str
    agent: str | None
    principal: str
    scopes: tuple[str, ...]
    workspaces: tuple[str, ...]
    token_hash: str
    created_at: str
    expires_wall_ms: int | None = None
    expires_at: str | None = None
    revoked_at: str | None = None
    last_used_at: str | None = None
    last_used_wall_ms: int = 0


def new_token() -> tuple[str, str]:
    """Return `(key id, token)`; the secret part has 256 bits."""
    key_id = secrets.token_hex(6)
    return key_id, f"{KEY_PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"


def token_hash(token: str) -> str:
    """SHA-256 of a token. It has 256 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def key_id_of(token: str) -> str | None:
    """The key id inside a well-formed token, else None."""
    parts = token.split("_", 2)
    if not token.isascii() or len(parts) != 3 or parts[0] != KEY_PREFIX:
        return None
    return parts[1] if parts[1].isalnum() else None


def admits(record: KeyRecord, token: str, wall_ms: int) -> bool:
    """True when the token is this key's, and the key is neither revoked nor expired."""
    if not hmac.compare_digest(record.token_hash, token_hash(token)):
        return False
    if record.revoked_at is not None:
        return False
    return record.expires_wall_ms is None or wall_ms < record.expires_wall_ms


def granted_scopes(maker: Principal, command: CreateKey) -> tuple[str, ...]:
    """The scopes of a new key: of its role, or as listed, and never more than its maker's.

    Raises:
        Invalid: both a role and scopes are named.
        InsufficientScope: the key would exceed its maker.
    """
    if command.role is not None and command.scopes is not None:
        raise Invalid("scopes", "cannot stand beside role")
    if command.scopes is not None:
        wanted = frozenset(command.scopes)
    else:
        wanted = ROLE_SCOPES[command.role or Role.AGENT]
    if not wanted <= maker.scopes:
        raise InsufficientScope(sorted(scope.value for scope in wanted - maker.scopes))
    return tuple(scope.value for scope in Scope if scope in wanted)


def granted_workspaces(maker: Principal, command: CreateKey) -> tuple[str, ...]:
    """The workspaces of a new key: as listed, else its maker's own; never beyond them.

    Raises:
        Invalid: a listed workspace is not the maker's.
    """
    if command.workspaces is None:
        return maker.workspaces
    for workspace in command.workspaces:
        if not maker.may_enter(workspace):
            raise Invalid("workspaces", "names a workspace that you may not enter")
    return tuple(dict.fromkeys(command.workspaces))
